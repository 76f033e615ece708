package jmespath

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// large is a document of about 64 KiB of the kind that makes evaluations expensive.
func large() map[string]any {
	var numbers, texts, objects []any
	members := map[string]any{}
	for i := range 6000 {
		numbers = append(numbers, float64(i*7919%6000))
	}
	for i := range 500 {
		texts = append(texts, strings.Repeat("x", 20)+fmt.Sprint(i*7919%500))
		objects = append(objects, map[string]any{"a": float64(i % 7), "b": "text"})
		members[fmt.Sprint(i)] = true
	}
	return map[string]any{
		"numbers": numbers, "texts": texts, "objects": objects, "members": members,
		"long": []any{strings.Repeat("x", 16000) + "a", strings.Repeat("x", 16000) + "b"},
	}
}

// hostile are expressions that would take or make far too much without a bound.
var hostile = []string{
	"[@,@][]" + strings.Repeat(" | [@,@][]", 28),
	strings.Repeat("[@,@] | ", 28) + "to_string(@)",
	strings.Repeat("[@,@] | ", 28) + "@ == @",
	strings.Repeat("[@,@] | ", 28) + "contains([@], [@[0], @[1]])",
	strings.Repeat("{a: @, b: @} | ", 28) + "to_string(@)",
	strings.Repeat("{a: @, b: @} | ", 28) + "[@, {a: @.a, b: b}] | [0] == [1]",
	"long" + strings.Repeat(" | [@,@][]", 12) + " | sort(@)",
	"long" + strings.Repeat(" | [@,@][]", 12) + " | max(@)",
	"long" + strings.Repeat(" | [@,@][]", 10) + " | join(@[0], @)",
	"long" + strings.Repeat(" | [@,@][]", 10) + " | join('', @)",
	"long" + strings.Repeat(" | [@,@][]", 10) + " | [*].reverse(@)",
	"long" + strings.Repeat(" | [@,@][]", 10) + " | [*].[length(@), contains(@, 'b'), ends_with(@, 'c')]",
	"long" + strings.Repeat(" | [join('', @), join('', @)]", 20),
	"[long]" + strings.Repeat(" | [to_string(@)]", 20),
	"numbers | [*].to_string(@)" + strings.Repeat(" | [*].to_string([@])", 8),
	"numbers | sort_by(@, &(@))" + strings.Repeat(" | sort_by(@, &@)", 8),
	"numbers" + strings.Repeat(" | reverse(@)[::-1]", 8),
	"numbers[*].{a: @, b: @, c: @} | [*].merge(@, @)",
	"members | map(&merge(@, @), [@,@,@,@,@,@,@,@][]" + strings.Repeat(" | [@,@][]", 8) + ")",
	"objects[?a == `1`][] | map(&map(&map(&@, [@, @]), [@, @]), @)" + strings.Repeat(" | [@,@][]", 12),
}

// Whatever an expression does, it ends within its steps.
func TestCostIsBounded(t *testing.T) {
	document := large()
	for _, expression := range hostile {
		e, err := Compile(expression)
		if err != nil {
			t.Errorf("%.60s: %v", expression, err)
			continue
		}
		if value, err := e.Search(document); !errors.Is(err, ErrCost) {
			t.Errorf("%.60s: %.60v, %v", expression, value, err)
		}
	}
}

// What people ask of a document as large as it may be is far below the bound.
func TestUsualCostIsPaid(t *testing.T) {
	document := large()
	for _, expression := range []string{
		"objects[?a > `3` && b == 'text'] | length(@) > `100`", "length(numbers[?@ == `5`]) == `1`", "sort_by(objects, &a)[0].a == `0`",
		"members.*", "contains(texts, 'y') == `false`", "to_string(objects)", "max(numbers) == `5999`", "objects == objects",
		"!long[?contains(@, 'y')]", "sum(numbers) > avg(numbers)", "keys(members)", "sort(texts)",
	} {
		if value, err := search(t, expression, document); err != nil || !Truth(value) {
			t.Errorf("%s: %.60v, %v", expression, value, err)
		}
	}
}

// A document may be nested as deeply as encoding/json reads it.
func TestDeepDocument(t *testing.T) {
	const depth = 9000
	document := value(t, `{"a":`+strings.Repeat("[", depth)+strings.Repeat("]", depth)+`}`)
	for _, expression := range []string{"a == a", "to_string(a)", "[a, a][][]", "a[0][0]"} {
		if _, err := search(t, expression, document); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

func FuzzSearch(f *testing.F) {
	const document = `{"a":[{"b":1,"c":"x"},{"b":[2,3],"c":null}],"b":{"d":null,"e":"é"},"n":[3,1,2],"s":["b","a"]}`
	for _, parts := range suites(f) {
		for _, part := range parts {
			for i, c := range part.Cases {
				if given, err := json.Marshal(part.Given); err == nil && i%3 == 0 {
					f.Add(c.Expression, string(given))
				}
			}
		}
	}
	for _, expression := range []string{
		"[@,@][] | [@,@][] | [@,@]", "sort_by(a, &c)[-1]", "{x: n, y: s} | values(@)[]", "merge(b, {d: to_string(@)})", "map(&max_by(a, &c), n)",
		"join(',', s) == 'b,a' && !b.d", "a[?b > `0`].{c: c, n: length(c)} | [::2]", `b."e" || reverse('x'y')`,
	} {
		f.Add(expression, document)
	}
	f.Fuzz(func(t *testing.T, expression, document string) {
		e, err := Compile(expression)
		if err != nil {
			return
		}
		if e.root.depth > MaxDepth {
			t.Fatalf("%q is %d deep", expression, e.root.depth)
		}
		var value any
		if len(document) > 1<<16 || json.Unmarshal([]byte(document), &value) != nil {
			return
		}
		first, err := e.Search(value)
		again, errAgain := e.Search(value)
		if !errors.Is(errAgain, err) || Truth(first) != Truth(again) {
			t.Fatalf("%q on %s is %v, %v and then %v, %v", expression, document, first, err, again, errAgain)
		}
		if err != nil && !errors.Is(err, ErrCost) && !errors.Is(err, ErrType) && !errors.Is(err, ErrRange) {
			t.Fatalf("%q on %s: %v", expression, document, err)
		}
		r := run{MaxSteps}
		if err == nil && r.weigh(first) == nil {
			if _, err := json.Marshal(first); err != nil {
				t.Fatalf("%q on %s: %v", expression, document, err)
			}
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	document := value(b, `{"event":"created","data":{"id":7,"items":[{"price":5},{"price":12}]},"headers":{"tenant":"acme"}}`)
	for name, expression := range map[string]string{
		"field":      "data.id == `7`",
		"conditions": "data.id == `7` && headers.tenant == 'acme'",
		"array":      "data.items[?price > `10`]",
		"function":   "starts_with(event, 'cre') || contains(headers.tenant, 'x')",
	} {
		b.Run(name, func(b *testing.B) {
			e, err := Compile(expression)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if v, err := e.Search(document); err != nil || !Truth(v) {
					b.Fatal(v, err)
				}
			}
		})
	}
}

// The most expensive evaluations that the bound lets through.
func BenchmarkHostile(b *testing.B) {
	document := large()
	var all []*Expression
	for _, expression := range hostile {
		e, err := Compile(expression)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, e)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = all[i%len(all)].Search(document)
	}
}
