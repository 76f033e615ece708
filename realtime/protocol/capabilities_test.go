package protocol

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// tokenRights are the capabilities of a token claim.
func tokenRights(t testing.TB, claim string) *Capabilities {
	t.Helper()
	c, err := tokenCapabilities(json.RawMessage(claim))
	if err != nil {
		t.Fatalf("%s: %v", claim, err)
	}
	return c
}

func signinRights(t testing.TB, text string) *Capabilities {
	t.Helper()
	c, e := ParseSigninCapabilities(json.RawMessage(text))
	if e != nil {
		t.Fatalf("%s: %v", text, e)
	}
	return c
}

func TestOperationsHaveTwoSpellings(t *testing.T) {
	if len(operationsByName) != 28 { // 4 of one word, 12 of several
		t.Errorf("there are %d names", len(operationsByName))
	}
	for op := range Operation(len(operationNames)) {
		for _, name := range []string{op.String(), strings.ReplaceAll(op.String(), "-", "_")} {
			c := tokenRights(t, `{"a":["`+name+`"]}`)
			for other := range Operation(len(operationNames)) {
				if got := c.Allows(other, "a"); got != (other == op) {
					t.Errorf("with %s, %s is %v", name, other, got)
				}
			}
		}
	}
	if got := Operation(16).String(); got != "operation 16" {
		t.Errorf("an operation that there is not is called %q", got)
	}
	if tokenRights(t, `{"*":["push-subscribe"]}`).Allows(16, "a") {
		t.Error("an operation that there is not is permitted")
	}
}

func TestCapabilityPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern   string
		yes, no   string // names, separated by blanks
		unmatched string // patterns that are not covered
		covered   string
	}{
		{pattern: "*", yes: "a presence-x #server-to-user-u", covered: "* a* *a a*b"},
		{pattern: "orders", yes: "orders", no: "Orders orders1 order xorders", unmatched: "orders* *orders * ord*ers"},
		{pattern: "ns:*", yes: "ns:a ns:", no: "ns NS:a xns:a", covered: "ns:* ns:a* ns:*b", unmatched: "ns* * n*:"},
		{pattern: "*.eu", yes: "a.eu .eu", no: "eu a.eux a.EU", covered: "*.eu *x.eu a*.eu", unmatched: "*eu a.eu* *"},
		{pattern: "a*b", yes: "ab axb a*b aabb", no: "a b ba xab abx", covered: "a*b ax*b a*xb", unmatched: "a* *b *"},
		{pattern: "ab*ba", yes: "abba abxba", no: "aba ab ba", covered: "ab*ba abb*ba", unmatched: "a*a"},
		{pattern: "a*b*", yes: "a*b*", no: "ab axb axbx a*b", unmatched: "a*b a* a*b*"},
		{pattern: "**", yes: "**", no: "a *", unmatched: "* a*"},
		{pattern: "é*", yes: "é éa", no: "\xc3 e", covered: "é*", unmatched: "\xc3*"},
	} {
		caps := tokenRights(t, body(t, map[string][]string{c.pattern: {"subscribe"}}))
		check := func(what, names string, want bool, allowed func(Operation, string) bool) {
			for name := range strings.FieldsSeq(names) {
				if allowed(OpSubscribe, name) != want {
					t.Errorf("%s: %s %q is %v", c.pattern, what, name, !want)
				}
				if allowed(OpPublish, name) {
					t.Errorf("%s: permits to publish on %q", c.pattern, name)
				}
			}
		}
		check("channel", c.yes, true, caps.Allows)
		check("channel", c.no, false, caps.Allows)
		check("pattern", c.covered, true, caps.AllowsPattern)
		check("pattern", c.unmatched, false, caps.AllowsPattern)
		if caps.Allows(OpSubscribe, "") != (c.pattern == "*") {
			t.Errorf("%s and the empty name", c.pattern)
		}
	}
}

func body(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWithoutCapabilities(t *testing.T) {
	for name, c := range map[string]*Capabilities{"none": nil, "zero": {}, "signin without lists": signinRights(t, `{}`)} {
		for op := range Operation(len(operationNames)) {
			want := op == OpSubscribe || op == OpPublish || op == OpHistory || op == OpPresence
			if c.Allows(op, "a") != want || c.AllowsPattern(op, "a*") != want {
				t.Errorf("%s: %s is %v and %v", name, op, c.Allows(op, "a"), c.AllowsPattern(op, "a*"))
			}
		}
		for _, pattern := range []string{"a", "", "a**", "*a*"} {
			if c.AllowsPattern(OpSubscribe, pattern) {
				t.Errorf("%s: %q passes as a pattern", name, pattern)
			}
		}
	}
}

func TestSigninCapabilities(t *testing.T) {
	c := signinRights(t, `{"subscribe":["orders:*","news"],"publish":[],"presence":null,"message_update_own":["orders:*"],"push-admin":["*"]}`)
	for _, want := range []struct {
		op      Operation
		channel string
		allowed bool
	}{
		{OpSubscribe, "orders:1", true},
		{OpSubscribe, "news", true},
		{OpSubscribe, "other", false},
		{OpPublish, "orders:1", false},   // an empty list permits nothing
		{OpHistory, "other", true},       // no list, unrestricted
		{OpPresence, "presence-x", true}, // null is no list
		{OpMessageUpdateOwn, "orders:1", true},
		{OpMessageUpdateOwn, "news", false},
		{OpMessageUpdateAny, "orders:1", false}, // no list, denied
		{OpPushAdmin, "anything", true},
	} {
		if got := c.Allows(want.op, want.channel); got != want.allowed {
			t.Errorf("%s on %s is %v", want.op, want.channel, got)
		}
	}
	if len(c.grants) != 3 {
		t.Errorf("a pattern of two lists is kept twice: %+v", c.grants)
	}
	for _, nothing := range []string{"", "null"} {
		if c, e := ParseSigninCapabilities(json.RawMessage(nothing)); c != nil || e != nil {
			t.Errorf("%q became %+v, %v", nothing, c, e)
		}
	}
}

func TestSigninCapabilitiesThatAreRefused(t *testing.T) {
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint("c", i)
	}
	signinRights(t, body(t, map[string][]string{"subscribe": many[:100], "publish": many[1:]}))
	for text, says := range map[string]string{
		`[]`:                                "capabilities are not a JSON object",
		`"{}"`:                              "capabilities are not a JSON object",
		`{"subscribe":`:                     "capabilities are not valid JSON",
		`{} {}`:                             "capabilities are not valid JSON",
		`{"subscibe":["a"]}`:                `unknown operation "subscibe"`,
		`{"Subscribe":["a"]}`:               `unknown operation "Subscribe"`,
		`{"subscribe":"a"}`:                 "subscribe must be a list of patterns",
		`{"subscribe":[1]}`:                 "subscribe must be a list of patterns",
		`{"subscribe":[null]}`:              "subscribe must be a list of patterns",
		`{"publish":{"a":1}}`:               "publish must be a list of patterns",
		`{"history":["a",""]}`:              "history has an empty pattern",
		`{"history":["a"],"history":["*"]}`: "there twice",
		`{"message-update-own":["a"],"message_update_own":["*"]}`: "list message-update-own twice",
		body(t, map[string][]string{"presence": many}):            "presence has more than 100 patterns",
		`{"subscribe":["` + strings.Repeat("x", 64<<10) + `"]}`:   "longer than 65536 bytes",
		`{"` + strings.Repeat("x", 10<<10) + `":["a"]}`:           `unknown operation "xxx`,
		"{\"subscribe\":[\"\xff\"]}":                              "not valid UTF-8",
	} {
		c, e := ParseSigninCapabilities(json.RawMessage(text))
		if c != nil || e == nil || !strings.Contains(e.Message, says) {
			t.Errorf("%.80s: %v, want %q", text, e, says)
			continue
		}
		checkSigninError(t, e)
	}
}

func checkSigninError(t *testing.T, e *Error) {
	t.Helper()
	if e.Code != CodeUnauthorized || e.Close || !strings.HasPrefix(e.Message, "Authentication error: user_data: capabilities ") || len(e.Message) > 512 {
		t.Errorf("refused with %+v", e)
	}
}

// words are all texts of up to n letters.
func words(letters string, n int) []string {
	all := []string{""}
	for from := 0; n > 0; n-- {
		end := len(all)
		for _, word := range all[from:end] {
			for _, letter := range letters {
				all = append(all, word+string(letter))
			}
		}
		from = end
	}
	return all
}

// TestAllowsPatternCoversAllNames tries every pattern of capabilities against every
// pattern of a subscription: whenever the latter is permitted, so is every name that
// it matches. Names go two letters beyond what the patterns can tell apart.
func TestAllowsPatternCoversAllNames(t *testing.T) {
	var patterns []string
	for _, word := range words("ab*", 4) {
		if strings.Contains(word, "*") {
			patterns = append(patterns, word)
		}
	}
	names := words("abc", 6)
	permitted := 0
	for _, granted := range words("ab*", 4)[1:] {
		c := &Capabilities{listed: allOperations, grants: []grant{newGrant("c", 1<<OpSubscribe), newGrant(granted, 1<<OpSubscribe)}}
		for _, pattern := range patterns {
			if !c.AllowsPattern(OpSubscribe, pattern) {
				continue
			}
			permitted++
			prefix, suffix, _ := strings.Cut(pattern, "*")
			for _, name := range names {
				matched := len(name) >= len(prefix)+len(suffix) && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix)
				if matched && !c.Allows(OpSubscribe, name) {
					t.Fatalf("%q permits %q, and does not permit %q", granted, pattern, name)
				}
			}
		}
		if strings.Count(granted, "*") == 1 && !c.AllowsPattern(OpSubscribe, granted) {
			t.Errorf("%q does not permit itself", granted)
		}
	}
	if permitted < 100 {
		t.Errorf("only %d pairs were permitted, which shows nothing", permitted)
	}
}

func TestAllowsDoesNotAllocate(t *testing.T) {
	c := signinRights(t, `{"subscribe":["orders:*","*.eu","a*b","x"],"publish":["y"]}`)
	if n := testing.AllocsPerRun(100, func() {
		_ = c.Allows(OpSubscribe, "somewhere:else") || c.AllowsPattern(OpSubscribe, "some*where") || c.Allows(OpPushAdmin, "x")
	}); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}

func FuzzSigninCapabilities(f *testing.F) {
	for _, text := range []string{
		`{"subscribe":["orders:*","news"],"publish":[],"presence":null,"message_update_own":["a*b"],"push-admin":["*"]}`,
		`{"message-update-own":["a"],"message_update_own":["*"]}`, `{"subscribe":[null,""],"x":1}`, `[]`, `null`, "", "{\"history\":[\"\xff\"]}", `{"history":["\ud800*"]} `,
	} {
		f.Add(text, "orders:1")
	}
	f.Fuzz(func(t *testing.T, text, channel string) {
		c, e := ParseSigninCapabilities(json.RawMessage(text))
		if e != nil {
			if c != nil {
				t.Fatalf("%q became %+v", text, c)
			}
			checkSigninError(t, e)
			return
		}
		for op := range Operation(len(operationNames)) {
			checkList(t, c, op, text, channel)
		}
	})
}

// checkList looks in the text itself whether an operation is permitted.
func checkList(t *testing.T, c *Capabilities, op Operation, text, channel string) {
	t.Helper()
	var lists map[string][]string
	if text != "" && json.Unmarshal([]byte(text), &lists) != nil {
		t.Fatalf("accepted %q", text)
	}
	patterns := lists[op.String()]
	if patterns == nil {
		patterns = lists[strings.ReplaceAll(op.String(), "-", "_")]
	}
	want := op.free()
	if patterns != nil {
		want = false
		for _, p := range patterns {
			prefix, suffix, wild := strings.Cut(p, "*")
			long := strings.Count(p, "*") == 1 && len(channel) >= len(p)-1
			want = want || p == channel || wild && long && strings.HasPrefix(channel, prefix) && strings.HasSuffix(channel, suffix)
		}
	}
	if got := c.Allows(op, channel); got != want {
		t.Fatalf("%q: %s on %q is %v", text, op, channel, got)
	}
}

func BenchmarkAllows(b *testing.B) {
	c := tokenRights(b, manyPatterns(100))
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Allows(OpSubscribe, "orders:1234") // none of them
	}
}
