package filter

import (
	"encoding/json"
	"testing"
)

const threeLeaves = `{"op":"and","nodes":[{"key":"region","cmp":"sw","val":"eu"},{"key":"amount","cmp":"gt","val":1},{"key":"test","cmp":"nex"}]}`

func TestNamesAndTagsTakeNoMemory(t *testing.T) {
	for _, filter := range []string{
		`{"events":["a","b","created"]}`, threeLeaves, `{"key":"region","cmp":"in","vals":["eu-west","us"]}`,
		`{"op":"not","nodes":[{"key":"region","cmp":"gt","val":1}]}`,
	} {
		p, m := compile(t, filter), order()
		if n := testing.AllocsPerRun(100, func() {
			if !p.Match(m, allOn) {
				t.Error("no match")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", filter, n)
		}
	}
}

// BenchmarkMatch is what each further predicate costs: the document of a message is
// made once, which BenchmarkDocument shows.
func BenchmarkMatch(b *testing.B) {
	for name, filter := range map[string]string{
		"events": `{"events":["a","b","created"]}`, "tags": threeLeaves,
		"expression": withExpression("data.id == `7` && headers.tenant == 'acme'"),
	} {
		b.Run(name, func(b *testing.B) {
			p, m := compile(b, filter), order()
			b.ReportAllocs()
			for b.Loop() {
				if !p.Match(m, allOn) {
					b.Fatal("no match")
				}
			}
		})
	}
}

func BenchmarkDocument(b *testing.B) {
	p := compile(b, withExpression("data.id == `7` && headers.tenant == 'acme'"))
	data := json.RawMessage(`"{\"id\":7,\"status\":\"paid\",\"customer\":{\"id\":4711,\"name\":\"Ada\"},\"items\":[{\"sku\":\"a-1\",\"price\":5},` +
		`{\"sku\":\"b-2\",\"price\":12}],\"total\":17,\"note\":\"deliver in the morning\"}"`)
	b.ReportAllocs()
	for b.Loop() {
		m := order()
		m.Data = data
		if !p.Match(m, allOn) {
			b.Fatal("no match")
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	filter := json.RawMessage(`{"events":["created","paid"],"tags":` + threeLeaves + `,"expression":"headers.tenant == 'acme'"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(filter, nil, usual); err != nil {
			b.Fatal(err)
		}
	}
}
