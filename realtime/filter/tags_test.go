package filter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Checklist: protocol 171, 173
func TestComparisons(t *testing.T) {
	for _, test := range []struct {
		leaf             string
		present, missing bool
	}{
		{`"cmp":"eq","val":"eu-west"`, true, false},
		{`"cmp":"eq","val":"EU-WEST"`, false, false},
		{`"cmp":"neq","val":"us"`, true, true},
		{`"cmp":"neq","val":"eu-west"`, false, true},
		{`"cmp":"in","vals":["us","eu-west","zz"]`, true, false},
		{`"cmp":"in","vals":["us"]`, false, false},
		{`"cmp":"nin","vals":["us"]`, true, true},
		{`"cmp":"nin","vals":["zz","eu-west","us"]`, false, true},
		{`"cmp":"ex"`, true, false},
		{`"cmp":"nex"`, false, true},
		{`"cmp":"sw","val":"eu-"`, true, false},
		{`"cmp":"sw","val":"west"`, false, false},
		{`"cmp":"ew","val":"-west"`, true, false},
		{`"cmp":"ew","val":"eu"`, false, false},
		{`"cmp":"ct","val":"u-w"`, true, false},
		{`"cmp":"ct","val":"x"`, false, false},
		{`"cmp":"gt","val":"1"`, false, false}, // the tag is not a number
		{`"cmp":"gte","val":"1"`, false, false},
		{`"cmp":"lt","val":"1"`, false, false},
		{`"cmp":"lte","val":"1"`, false, false},
		{`"cmp":"ex","val":"ignored","vals":null`, true, false},
		{`"cmp":"eq","val":"eu-west","nodes":[],"op":null`, true, false},
	} {
		for key, want := range map[string]bool{"region": test.present, "other": test.missing} {
			filter := fmt.Sprintf(`{"key":%q,%s}`, key, test.leaf)
			p := compile(t, filter)
			if got := p.Match(order(), allOn); got != want {
				t.Errorf("%s: %v", filter, got)
			}
			if got := p.Match(&Message{}, allOn); key == "other" && got != want {
				t.Errorf("%s without tags: %v", filter, got)
			}
		}
	}
}

// Checklist: protocol 171, 173
func TestNumbers(t *testing.T) {
	for _, test := range []struct {
		tag, leaf string
		want      bool
	}{
		{"12.5", `"cmp":"gt","val":12`, true},
		{"12.5", `"cmp":"gt","val":"12.5"`, false},
		{"12.5", `"cmp":"gte","val":"1.25e1"`, true},
		{"12.5", `"cmp":"lt","val":"100"`, true}, // as texts, the order is the other one
		{"12.5", `"cmp":"lt","val":"12.5"`, false},
		{"12.5", `"cmp":"lte","val":"12.50"`, true},
		{"12.5", `"cmp":"lte","val":"12.4"`, false},
		{"12.5", `"cmp":"gt","val":"x"`, false},
		{"12.5", `"cmp":"lt","val":"x"`, false},
		{"12.5", `"cmp":"eq","val":12.5`, true},
		{"12.50", `"cmp":"eq","val":12.5`, false}, // as texts
		{"true", `"cmp":"eq","val":true`, true},
		{"-.5", `"cmp":"gt","val":"-1."`, true},
		{"+2", `"cmp":"gt","val":"1E0"`, true},
		{"1e999", `"cmp":"gt","val":"1e300"`, true},
		{"-1e999", `"cmp":"lt","val":0`, true},
		{"0x10", `"cmp":"gt","val":1`, false},
		{"1_0", `"cmp":"gt","val":1`, false},
		{"inf", `"cmp":"gt","val":1`, false},
		{"NaN", `"cmp":"lte","val":1`, false},
		{" 5", `"cmp":"gt","val":1`, false},
		{"5 ", `"cmp":"gt","val":1`, false},
		{"", `"cmp":"gte","val":0`, false},
		{".", `"cmp":"gte","val":0`, false},
		{"1e", `"cmp":"gte","val":0`, false},
		{"1e+", `"cmp":"gte","val":0`, false},
		{"--1", `"cmp":"lt","val":0`, false},
		{"1.2.3", `"cmp":"gt","val":0`, false},
		{"", `"cmp":"eq","val":"x"`, false},
		{"", `"cmp":"in","vals":["","x"]`, true},
	} {
		m := &Message{Tags: protocol.Tags{{Key: "n", Value: test.tag}}}
		if got := compile(t, `{"key":"n",`+test.leaf+`}`).Match(m, allOn); got != test.want {
			t.Errorf("%q %s: %v", test.tag, test.leaf, got)
		}
	}
}

func TestBranches(t *testing.T) {
	const yes, no = `{"key":"region","cmp":"ex"}`, `{"key":"region","cmp":"nex"}`
	for filter, want := range map[string]bool{
		`{"op":"and","nodes":[` + yes + `]}`:                                   true,
		`{"op":"and","nodes":[` + yes + `,` + yes + `]}`:                       true,
		`{"op":"and","nodes":[` + yes + `,` + no + `]}`:                        false,
		`{"op":"or","nodes":[` + no + `,` + yes + `]}`:                         true,
		`{"op":"or","nodes":[` + no + `,` + no + `]}`:                          false,
		`{"op":"not","nodes":[` + no + `]}`:                                    true,
		`{"op":"not","nodes":[` + yes + `]}`:                                   false,
		`{"op":"and","nodes":[` + yes + `,{"op":"not","nodes":[` + no + `]}]}`: true,
		`{"op":"not","nodes":[{"op":"or","nodes":[` + no + `,` + yes + `]}]}`:  false,
		`{"op":"and","nodes":[` + yes + `],"key":null,"cmp":null,"vals":[]}`:   true,
	} {
		if got := compile(t, filter).Match(order(), allOn); got != want {
			t.Errorf("%s: %v", filter, got)
		}
	}
}

// Checklist: protocol 172
func TestTagFiltersRefused(t *testing.T) {
	const leaf = `{"key":"k","cmp":"ex"}`
	nested := func(depth int) string {
		return strings.Repeat(`{"op":"not","nodes":[`, depth-1) + leaf + strings.Repeat(`]}`, depth-1)
	}
	wide := func(nodes int) string {
		return `{"op":"or","nodes":[` + strings.Repeat(leaf+",", nodes-2) + leaf + `]}`
	}
	values := func(n int) string { return `{"key":"k","cmp":"in","vals":[` + strings.Repeat(`"v",`, n-1) + `"v"]}` }
	long := func(n int) string { return strings.Repeat("x", n) }
	for filter, want := range map[string]string{
		`{"op":"not","nodes":[` + leaf + `,` + leaf + `]}`: `filter.nodes must be one node for not, and is 2`,
		`{"op":"not","nodes":[]}`:                          `filter.nodes must be one node for not, and is 0`,
		`{"op":"and","nodes":[]}`:                          `filter.nodes must be at least one node`,
		`{"op":"or"}`:                                      `filter.nodes must be at least one node`,
		`{"op":"and","nodes":{}}`:                          `filter.nodes must be an array, and is {}`,
		`{"op":"and","nodes":[7]}`:                         `filter.nodes[0] must be an object, and is 7`,
		`{"op":"and","nodes":[null]}`:                      `filter.nodes[0] must be an object, and is null`,
		`{"op":"xor","nodes":[` + leaf + `]}`:              `filter.op must be "and", "or" or "not", and is "xor"`,
		`{"op":"eq","nodes":[` + leaf + `]}`:               `filter.op must be "and", "or" or "not", and is "eq"`,
		`{"op":7,"nodes":[` + leaf + `]}`:                  `filter.op must be "and", "or" or "not", and is 7`,
		`{"op":"and","key":"a","nodes":[` + leaf + `]}`:    `filter.key must not stand beside op`,
		`{"op":"and","vals":["a"],"nodes":[` + leaf + `]}`: `filter.vals must not stand beside op`,
		`{"nodes":[` + leaf + `]}`:                         `filter.op is missing, which nodes need`,
		`{"key":"a","cmp":"ex","nodes":[` + leaf + `]}`:    `filter.op is missing, which nodes need`,
		`{}`:                                                      `filter.key must be a string, and is missing`,
		`{"cmp":"ex"}`:                                            `filter.key must be a string, and is missing`,
		`{"key":7,"cmp":"ex"}`:                                    `filter.key must be a string, and is 7`,
		`{"key":"","cmp":"ex"}`:                                   `filter.key is empty`,
		`{"KEY":"a","cmp":"ex"}`:                                  `filter has the unknown member "KEY"`,
		`{"key":"a"}`:                                             `filter.cmp must be one of eq neq in nin ex nex sw ew ct gt gte lt lte, and is missing`,
		`{"key":"a","cmp":"like","val":"x"}`:                      `filter.cmp must be one of eq neq in nin ex nex sw ew ct gt gte lt lte, and is "like"`,
		`{"key":"a","cmp":"and","val":"x"}`:                       `filter.cmp must be one of eq neq in nin ex nex sw ew ct gt gte lt lte, and is "and"`,
		`{"key":"a","cmp":"eq"}`:                                  `filter.val is missing`,
		`{"key":"a","cmp":"eq","val":null}`:                       `filter.val is missing`,
		`{"key":"a","cmp":"eq","val":""}`:                         `filter.val is empty`,
		`{"key":"a","cmp":"eq","val":{}}`:                         `filter.val must be a string, a number or a boolean, and is {}`,
		`{"key":"a","cmp":"eq","val":["b"]}`:                      `filter.val must be a string, a number or a boolean, and is ["b"]`,
		`{"key":"a","cmp":"in"}`:                                  `filter.vals must be an array of values, at least one, and is missing`,
		`{"key":"a","cmp":"in","vals":[]}`:                        `filter.vals must be an array of values, at least one, and is missing`,
		`{"key":"a","cmp":"in","vals":"b"}`:                       `filter.vals must be an array of values, at least one, and is "b"`,
		`{"key":"a","cmp":"in","vals":["b",null]}`:                `filter.vals[1] must be a string, a number or a boolean, and is null`,
		`{"key":"` + long(257) + `","cmp":"ex"}`:                  `filter.key has 257 bytes, more than 256: "` + long(40) + `"`,
		`{"key":"a","cmp":"eq","val":"` + long(1025) + `"}`:       `filter.val has 1025 bytes, more than 1024: "` + long(40) + `"`,
		`{"key":"a","cmp":"in","vals":["` + long(1025) + `"]}`:    `filter.vals[0] has 1025 bytes, more than 1024: "` + long(40) + `"`,
		values(129):                                               `filter.vals has 129 values, more than 128`,
		nested(17):                                                `filter` + strings.Repeat(".nodes[0]", 16) + `: the filter is nested more than 16 deep`,
		wide(129):                                                 `filter.nodes[127]: the filter has more than 128 nodes`,
		`{"tags":{"op":"or","nodes":[` + leaf + `,{"key":"a"}]}}`: `filter.tags.nodes[1].cmp must be one of eq neq in nin ex nex sw ew ct gt gte lt lte, and is missing`,
	} {
		if p, err := Compile(json.RawMessage(filter), nil, usual); err == nil || err.Error() != want || p != nil {
			t.Errorf("%.80s: %v\nwant %s", filter, err, want)
		}
	}
	for _, filter := range []string{
		nested(16), wide(128), values(128), `{"key":"` + long(256) + `","cmp":"eq","val":"` + long(1024) + `"}`,
	} {
		compile(t, filter)
	}
	if _, err := Compile(nil, json.RawMessage(`{"cmp":"ex"}`), usual); err == nil || err.Error() != "tags_filter.key must be a string, and is missing" {
		t.Errorf("tags_filter without a key: %v", err)
	}
}
