package jmespath

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func search(t testing.TB, expression string, document any) (any, error) {
	t.Helper()
	e, err := Compile(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return e.Search(document)
}

func value(t testing.TB, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// What the compliance suite does not ask.
func TestSearch(t *testing.T) {
	document := value(t, `{"z":{"a":false},"b":"text","a":[3,1,2],"m":[{"k":"b","n":1},{"k":"a","n":2},{"k":"b","n":3}],"l":"<&>","e":{"y":1,"x":2}}`)
	for expression, want := range map[string]string{
		`!z.a`:                            `true`, // not "(!z).a"
		`!m[?k == 'c']`:                   `true`,
		`!z.a && b`:                       `"text"`,
		`!b == z.a`:                       `true`, // (!b) == z.a
		`'\\'`:                            `"\\\\"`,
		`'it\'s'`:                         `"it's"`,
		"`\"a\\`b\"`":                     "\"a`b\"",
		`values(e)`:                       `[2,1]`,
		`e.*`:                             `[2,1]`,
		`keys(@)`:                         `["a","b","e","l","m","z"]`,
		`sort_by(m, &k)[].n`:              `[2,1,3]`,
		`max_by(m, &k).n`:                 `1`,
		`min_by(m, &k).n`:                 `2`,
		`max_by(c || ` + "`[]`" + `, &k)`: `null`,
		`to_string(l)`:                    `"<&>"`,
		`to_string([l])`:                  `"[\"<&>\"]"`,
		`to_string(e)`:                    `"{\"x\":2,\"y\":1}"`,
		`to_number('1e3')`:                `1000`,
		`to_number(' 1')`:                 `null`,
		`to_number('0x10')`:               `null`,
		`to_number('1e999')`:              `null`,
		`to_number('')`:                   `null`,
		`length('héllo')`:                 `5`,
		`reverse('hé')`:                   `"éh"`,
		`contains(b, ` + "`1`" + `)`:      `false`,
		`contains(m, {k: 'a', n: ` + "`2`" + `})`: `true`,
		`m[0] == {n: ` + "`1`" + `, k: 'b'}`:      `true`,
		`m[0] == {n: ` + "`1`" + `, j: 'b'}`:      `false`,
		`a == a[::]`:                              `true`,
		`a == e`:                                  `false`,
		`b == a`:                                  `false`,
		`b < 'u'`:                                 `null`, // only numbers are in an order
		`avg(a[?@ > ` + "`9`" + `])`:              `null`,
		`type(&)`:                                 ``,
		`map(&n, m)`:                              `[1,2,3]`,
		`map(&j, m)`:                              `[null,null,null]`,
		`a[-4]`:                                   `null`,
		`a[5:0:-2]`:                               `[2]`,
		`b[0:1]`:                                  `null`,
		`[a, b] | [0][1]`:                         `1`,
	} {
		e, err := Compile(expression)
		if want == "" {
			if err == nil {
				t.Errorf("%s compiles", expression)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got, err := e.Search(document); err != nil || !reflect.DeepEqual(got, value(t, want)) {
			t.Errorf("%s: %#v, %v; want %s", expression, got, err, want)
		}
	}
}

func TestTruth(t *testing.T) {
	for text, want := range map[string]bool{
		`null`: false, `false`: false, `""`: false, `[]`: false, `{}`: false,
		`true`: true, `0`: true, `" "`: true, `[null]`: true, `{"a":null}`: true,
	} {
		if got := Truth(value(t, text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// Checklist: protocol 176
func TestCompileSaysWhatIsWrong(t *testing.T) {
	for expression, want := range map[string]string{
		``:                                     `unexpected the end`,
		`a.`:                                   `unexpected the end`,
		`a b`:                                  `unexpected "b" at byte 2`,
		`a[?b == ]`:                            `unexpected "]" at byte 8`,
		`&a`:                                   `unexpected "&" at byte 0`,
		`a = b`:                                `unexpected '=' at byte 2`,
		`"a"(b)`:                               `unexpected "(" at byte 3`,
		`a ✓`:                                  `unexpected '✓' at byte 2`,
		"a == `paid`":                          "the literal `paid` is not JSON, in which strings have double quotes at byte 5",
		`'open`:                                `no end of the '\'' at byte 0`,
		`"\x"`:                                 `"\"\\x\"" is not a JSON string at byte 0`,
		`a[99999999999]`:                       `"99999999999" is not an integer of 32 bits at byte 2`,
		`a[-]`:                                 `"-" is not an integer of 32 bits at byte 2`,
		`a[::0]`:                               `the step of a slice must not be 0`,
		`a[0:1:2:3]`:                           `unexpected ":" at byte 7`,
		`a[1 2]`:                               `unexpected "2" at byte 4`,
		`lower(a)`:                             `there is no function "lower" at byte 0`,
		`length()`:                             `"length" at byte 0 takes 1 arguments, not 0`,
		`not_null()`:                           `"not_null" at byte 0 takes at least 1 arguments, not 0`,
		`length(a,)`:                           `unexpected ")" at byte 9`,
		`sort_by(a, b)`:                        `"sort_by" at byte 0 takes an expression with & before it as argument 2`,
		`length(&a)`:                           `"length" at byte 0 takes no expression with & before it there`,
		"a\xff":                                `not valid UTF-8`,
		strings.Repeat("a", 4097):              `4097 bytes are more than 4096`,
		"[" + strings.Repeat("a,", 255) + "a]": `more than 256 parts`,
		strings.Repeat("!", 32) + "a":          `nested more than 32 deep`,
		"a" + strings.Repeat(".a", 32):         `nested more than 32 deep`,
		strings.Repeat("(", 4000):              `nested more than 32 deep`,
		strings.Repeat("[", 4000):              `nested more than 32 deep`,
		strings.Repeat("a[?", 1300):            `nested more than 32 deep`,
	} {
		if _, err := Compile(expression); err == nil || err.Error() != want {
			t.Errorf("%.40q: %v, want %s", expression, err, want)
		}
	}
	for _, expression := range []string{
		strings.Repeat(" ", 4095) + "a",
		"[" + strings.Repeat("a,", 254) + "a]",
		strings.Repeat("!", 31) + "a",
		"a" + strings.Repeat(".a", 31),
		strings.Repeat("(", 200) + "a" + strings.Repeat(")", 200),
	} {
		if _, err := Compile(expression); err != nil {
			t.Errorf("%.40q: %v", expression, err)
		}
	}
}

func TestWrongTypesFail(t *testing.T) {
	document := value(t, `{"s":"x","n":1,"o":{},"a":[1,"x"],"none":[]}`)
	for _, expression := range []string{
		"length(n)", "abs(s)", "keys(a)", "sum(a)", "sort(a)", "max(a)", "sort_by(a, &@)", "sort_by([o], &@)", "join(',', a)",
		"contains(n, s)", "starts_with(s, n)", "map(&@, s)", "merge(o, a)", "reverse(o)", "a[*].abs(@)", "[length(n)]", "{x: length(n)}",
		"s || n && length(n)", "length(n) || s", "!length(n)", "length(n) == n", "n == length(n)", "a[?length(n) == n]", "length(length(n))",
		"a[?abs(@)]", "abs(s).b", "abs(s)[*]", "abs(s)[]", "abs(s).*", "max_by(a, &@)", "values(s)", "to_string(abs(s))",
	} {
		got, err := search(t, expression, document)
		if expression == "s || n && length(n)" { // what is not needed is not evaluated
			if got != "x" || err != nil {
				t.Errorf("%s: %v, %v", expression, got, err)
			}
			continue
		}
		if !errors.Is(err, ErrType) {
			t.Errorf("%s: %v, %v", expression, got, err)
		}
	}
	if got, err := search(t, "to_string([sum([a, a])])", map[string]any{"a": 1.7e308}); !errors.Is(err, ErrRange) {
		t.Errorf("a number that is too large: %v, %v", got, err)
	}
}

// One compiled expression and one document serve many searches at once, which change
// neither.
func TestSearchesAtOnce(t *testing.T) {
	const text = `{"a":[3,1,2],"o":{"x":[2,1]}}`
	document := value(t, text)
	var all []*Expression
	for _, expression := range []string{
		"sort(a)", "reverse(a)", "merge(o, {x: a})", "sort_by(a, &@)", "a[]", "o.*[]", "reverse(`[1,2]`)", "sort(`[2,1]`)", "to_array(a)", "[a, a][]",
	} {
		e, err := Compile(expression)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 50 {
				for _, e := range all {
					if _, err := e.Search(document); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wait.Wait()
	if !reflect.DeepEqual(document, value(t, text)) {
		t.Errorf("the document has become %v", document)
	}
	if got, _ := all[6].Search(nil); !reflect.DeepEqual(got, []any{2.0, 1.0}) {
		t.Errorf("the literal has become %v", got)
	}
}
