package docs

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	appCall       = regexp.MustCompile(`post\("([^"]+)", (?:"""|#")(\{.*\})(?:"""|"#)\)`)
	interpolation = regexp.MustCompile(`\\#\(\w+\)|\$\w+`)
)

// call is an HTTP call that a snippet for a phone makes.
type call struct{ path, body string }

// callsOf are those of a block. Neither Kotlin nor Swift is here to compile it, so what
// counts is what it says to the backend of the guide.
func callsOf(b block) (all []call) {
	for _, m := range appCall.FindAllStringSubmatch(b.text, -1) {
		all = append(all, call{m[1], interpolation.ReplaceAllStringFunc(m[2], func(name string) string {
			return "a-" + strings.Trim(name, `\#()$`)
		})})
	}
	return all
}

// checkCall wants a call in a snippet, and a route in the same guide that takes it; the
// test of the guide makes it.
func checkCall(t testing.TB, b block) {
	calls := callsOf(b)
	if len(calls) == 0 {
		t.Error("it calls nothing that could be tried")
	}
	for _, c := range calls {
		if !json.Valid([]byte(c.body)) {
			t.Errorf("not JSON: %s", c.body)
		}
		if !slices.ContainsFunc(of(t, b.doc), func(other block) bool { return other.marks["file"] == "app"+c.path+"/route.js" }) {
			t.Errorf("%s has no route for %s", b.doc, c.path)
		}
	}
}
