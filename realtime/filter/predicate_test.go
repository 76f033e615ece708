package filter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

var (
	usual = Limits{MaxEvents: 50, MaxEventLength: 200}
	allOn = Switches{Events: true, Tags: true}
)

func compile(t testing.TB, filter string) *Predicate {
	t.Helper()
	p, err := Compile(json.RawMessage(filter), nil, usual)
	if err != nil {
		t.Fatalf("%.200s: %v", filter, err)
	}
	return p
}

// withExpression is a filter that is an expression.
func withExpression(expression string) string {
	return string(append(protocol.AppendString([]byte(`{"expression":`), expression), '}'))
}

func order() *Message {
	return &Message{
		Event: "created", Channel: "orders", Data: json.RawMessage(`"{\"id\":7,\"items\":[{\"price\":5},{\"price\":12}]}"`),
		Tags:    protocol.Tags{{Key: "amount", Value: "12.5"}, {Key: "region", Value: "eu-west"}},
		Headers: []protocol.Header{{Name: "tenant", Value: json.RawMessage(`"acme"`)}, {Name: "rank", Value: json.RawMessage(`2`)}},
	}
}

// Checklist: protocol 169
func TestEventNames(t *testing.T) {
	for filter, want := range map[string]bool{
		`{"events":["created","paid"]}`: true, `{"events":["created","created"]}`: true, `{"events":["paid"]}`: false,
		`{"events":["Created"]}`: false, `{"events":["create"]}`: false, `{"events":[]}`: true, `{"events":null}`: true,
	} {
		if got := compile(t, filter).Match(order(), allOn); got != want {
			t.Errorf("%s: %v", filter, got)
		}
	}
}

// Each part has to allow a message, and counts only while its switch is on.
func TestPartsAndSwitches(t *testing.T) {
	for _, test := range []struct {
		filter                      string
		both, events, tags, neither bool
	}{
		{`{"events":["created"]}`, true, true, true, true},
		{`{"events":["paid"]}`, false, false, true, true},
		{`{"tags":{"key":"region","cmp":"eq","val":"us"}}`, false, true, false, true},
		{`{"expression":"data.id == '7'"}`, false, true, false, true},
		{`{"expression":"abs(event)"}`, false, true, false, true},
		{`{"events":["created"],"tags":{"key":"region","cmp":"ex"},"expression":"headers.tenant == 'acme'"}`, true, true, true, true},
		{`{"events":["paid"],"tags":{"key":"region","cmp":"ex"},"expression":"headers.tenant == 'acme'"}`, false, false, true, true},
		{`{"events":["created"],"tags":{"key":"region","cmp":"nex"},"expression":"headers.tenant == 'acme'"}`, false, true, false, true},
		{`{"events":["created"],"tags":{"key":"region","cmp":"ex"},"expression":"headers.tenant == 'other'"}`, false, true, false, true},
	} {
		p := compile(t, test.filter)
		for on, want := range map[Switches]bool{
			{Events: true, Tags: true}: test.both, {Events: true}: test.events, {Tags: true}: test.tags, {}: test.neither,
		} {
			if got := p.Match(order(), on); got != want {
				t.Errorf("%s with %+v: %v", test.filter, on, got)
			}
		}
	}
}

// Checklist: protocol 174
func TestFilterAndTagsFilter(t *testing.T) {
	us, eu := json.RawMessage(`{"key":"region","cmp":"eq","val":"us"}`), json.RawMessage(`{"key":"region","cmp":"sw","val":"eu"}`)
	for _, test := range []struct {
		name               string
		filter, tagsFilter json.RawMessage
		want               bool
	}{
		{"filter alone", us, nil, false},
		{"tags_filter alone", nil, us, false},
		{"filter alone that passes", eu, nil, true},
		{"tags_filter alone that passes", nil, eu, true},
		{"filter wins and passes", eu, us, true},
		{"filter wins and does not pass", us, eu, false},
		{"a compound filter wins", json.RawMessage(`{"events":[]}`), us, true},
		{"null is absent", json.RawMessage(`null`), us, false},
		{"neither", nil, nil, true},
		{"both null", json.RawMessage(`null`), json.RawMessage(`null`), true},
	} {
		p, err := Compile(test.filter, test.tagsFilter, usual)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := p.Match(order(), allOn); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	one, other := compile(t, string(us)), compile(t, `{"tags":`+string(us)+`}`)
	third, err := Compile(nil, us, usual)
	if err != nil || one.Key() != other.Key() || one.Key() != third.Key() {
		t.Errorf("keys %q, %q, %q, %v", one.Key(), other.Key(), third.Key(), err)
	}
}

func TestNothingAskedIsNoPredicate(t *testing.T) {
	for _, filter := range []string{"", "null", `{"events":[]}`, `{"events":null,"tags":null,"expression":null}`} {
		p, err := Compile(json.RawMessage(filter), nil, usual)
		if p != nil || err != nil || p.Key() != "" || !p.Match(order(), allOn) {
			t.Errorf("%q: %v, %v", filter, p, err)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, group := range [][]string{
		{`{"events":["b","a"]}`, `{ "events" : [ "a", "b", "a" ], "tags": null }`, `{"events":["\u0061","b"]}`},
		{`{"key":"k","cmp":"in","vals":["b","a"]}`, `{"vals":["a","b","b"],"cmp":"in","key":"k","op":null,"nodes":[]}`},
		{`{"key":"k","cmp":"eq","val":1}`, `{"key":"k","cmp":"eq","val":"1","vals":[]}`},
		{`{"key":"k","cmp":"ex"}`, `{"key":"k","cmp":"ex","val":"ignored"}`},
		{`{"expression":"a"}`, `{"expression":{"language":"jmespath","source":"a"}}`},
		{`{"key":"k","cmp":"eq","val":"true"}`, `{"tags":{"key":"k","cmp":"eq","val":true}}`},
		{`{"op":"and","nodes":[{"key":"k","cmp":"ex"}]}`},
		{`{"op":"or","nodes":[{"key":"k","cmp":"ex"}]}`},
		{`{"events":["a"],"expression":"a"}`},
	} {
		first := compile(t, group[0]).Key()
		for _, filter := range group {
			p := compile(t, filter)
			if p.Key() != first {
				t.Errorf("%s has the key %s, %s has %s", filter, p.Key(), group[0], first)
			}
			if again := compile(t, p.Key()); again.Key() != first {
				t.Errorf("the key %s has the key %s", first, again.Key())
			}
		}
	}
}

// Checklist: protocol 170
func TestEventNameLimits(t *testing.T) {
	list := func(n, length int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf(`"%0*d"`, length, i)
		}
		return `{"events":[` + strings.Join(names, ",") + `]}`
	}
	for _, test := range []struct {
		filter string
		limits Limits
		want   string
	}{
		{list(50, 200), usual, ""},
		{list(51, 3), usual, "filter.events has 51 names, more than 50"},
		{list(1, 201), usual, `filter.events[0] has 201 bytes, more than 200: "` + strings.Repeat("0", 40) + `"`},
		{list(64, 256), Limits{MaxEvents: 1000, MaxEventLength: 1000}, ""},
		{list(65, 3), Limits{MaxEvents: 1000, MaxEventLength: 1000}, "filter.events has 65 names, more than 64"},
		{list(1, 257), Limits{MaxEvents: 1000, MaxEventLength: 1000}, `filter.events[0] has 257 bytes, more than 256: "` + strings.Repeat("0", 40) + `"`},
		{list(3, 3), Limits{MaxEvents: 2, MaxEventLength: 2}, "filter.events has 3 names, more than 2"},
	} {
		_, err := Compile(json.RawMessage(test.filter), nil, test.limits)
		if got := fmt.Sprint(err); got != test.want && (err != nil || test.want != "") {
			t.Errorf("%.60s: %v, want %s", test.filter, err, test.want)
		}
	}
}

// Checklist: protocol 176
func TestCompileRefuses(t *testing.T) {
	for filter, want := range map[string]string{
		`[]`:                            `filter must be an object, and is []`,
		`"x"`:                           `filter must be an object, and is "x"`,
		`{"event":["a"]}`:               `filter has the unknown member "event"`,
		`{"events":["a"],"tag":{}}`:     `filter has the unknown member "tag"`,
		`{"Events":["a"]}`:              `filter has the unknown member "Events"`,
		`{"events":"a"}`:                `filter.events must be an array of strings, and is "a"`,
		`{"events":["a",7]}`:            `filter.events[1] must be a string, and is 7`,
		`{"events":["a",null]}`:         `filter.events[1] must be a string, and is null`,
		`{"events":[""]}`:               `filter.events[0] is empty`,
		`{"tags":7}`:                    `filter.tags must be an object, and is 7`,
		`{"expression":7}`:              `filter.expression must be a string or an object, and is 7`,
		`{"expression":""}`:             `filter.expression is empty`,
		`{"expression":"a ="}`:          `filter.expression: unexpected '=' at byte 2`,
		`{"expression":"a["}`:           `filter.expression: unexpected the end`,
		`{"expression":{"source":"a"}}`: `filter.expression.language must be "jmespath", and is missing`,
		`{"expression":{"language":"sql","source":"a"}}`:       `filter.expression.language must be "jmespath", and is "sql"`,
		`{"expression":{"language":"jmespath"}}`:               `filter.expression.source must be a string, and is missing`,
		`{"expression":{"language":"jmespath","source":""}}`:   `filter.expression is empty`,
		`{"expression":{"language":"jmespath","query":"a"}}`:   `filter.expression has the unknown member "query"`,
		withExpression(strings.Repeat("a", 4097)):              `filter.expression: 4097 bytes are more than 4096`,
		withExpression("[" + strings.Repeat("a,", 255) + "a]"): `filter.expression: more than 256 parts`,
		withExpression(strings.Repeat("!", 32) + "a"):          `filter.expression: nested more than 32 deep`,
		`{"events":["a"]`: `filter must be an object, and is {"events":["a"]`,
	} {
		if p, err := Compile(json.RawMessage(filter), nil, usual); err == nil || err.Error() != want || p != nil {
			t.Errorf("%.80s: %v\nwant %s", filter, err, want)
		}
	}
	if _, err := Compile(nil, json.RawMessage(`{"events":["a"]}`), usual); err == nil || err.Error() != `tags_filter has the unknown member "events"` {
		t.Errorf("a compound tags_filter: %v", err)
	}
	compile(t, withExpression(strings.Repeat("a", 4096)))
}
