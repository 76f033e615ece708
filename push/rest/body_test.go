package rest

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// Checklist: push 6
func TestContentTypes(t *testing.T) {
	s := newSite(t)
	for contentType, status := range map[string]int{
		"application/json": 201, "application/merge+json; charset=utf-8": 201, "Application/JSON;charset=UTF-8": 201, "text/vnd.x+json": 201, "application/json; q=;;": 201,
		"text/plain": 400, "": 400, "json": 400, "+json": 400, "application/jsonp": 400, "application/xml": 400,
	} {
		got := s.send("POST", "templates", templateBody("t"), http.Header{"Content-Type": {contentType}}, appKey, appSecret)
		if got.status != status {
			t.Errorf("%q: %d %s", contentType, got.status, got.body)
		}
		if status == 400 {
			got.fails(t, 400, "invalid_input", "expected application/json content type")
		}
	}
	for _, rt := range routes {
		if rt.method == "POST" && rt.path != "deadLetters/{deadLetterId}/replay" { // which has no body
			got := s.send("POST", rt.example(), "{}", http.Header{"Content-Type": {"text/plain"}}, appKey, appSecret)
			got.fails(t, 400, "invalid_input", "content type")
		}
	}
}

// What can be read in two ways is refused, and what is unknown is ignored.
// Checklist: push 7, 11
func TestBodies(t *testing.T) {
	s := newSite(t)
	for name, c := range map[string]struct {
		body string
		want string // nothing if it is fine
	}{
		"nothing":              {"", "valid JSON"},
		"half":                 {`{"templateId":"t"`, "valid JSON"},
		"more after it":        {templateBody("t") + "{}", "more after"},
		"a comma":              {templateBody("t") + ",", "after"},
		"no UTF-8":             {strings.Replace(templateBody("t"), "Hello", "\xff", 1), "UTF-8"},
		"twice":                {`{"templateId":"a",` + templateBody("t")[1:], "twice: templateId"},
		"twice, escaped":       {`{"template\u0049d":"a",` + templateBody("t")[1:], "twice: templateId"},
		"twice, in other case": {`{"TemplateID":"a",` + templateBody("t")[1:], "twice: templateId"},
		"twice, by folding":    {`{"ſ":1,"S":2,` + templateBody("t")[1:], "twice: S"},
		"twice, deeper":        {`{"x":[{"y":{"a":1,"A":2}}],` + templateBody("t")[1:], "twice: A"},
		"unknown":              {`{"x":[{"y":{"a":1,"b":null}}],` + templateBody("t")[1:], ""},
		"deep":                 {`{"x":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + "," + templateBody("t")[1:], "in each other"},
		"not so deep":          {`{"x":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + "," + templateBody("t")[1:], ""},
		"very deep":            {strings.Repeat(`{"a":`, 100000), "in each other"},
		"an array":             {"[]", "body"},
		"null":                 {"null", "templateId"},
		"a type":               {`{"templateId":7}`, "templateId: it cannot be a JSON number"},
		"a key of two cases":   {strings.Replace(templateBody("t"), `"en":`, `"EN":{"title":"T","body":"B"},"en":`, 1), ""},
	} {
		got := s.do("POST", "templates", c.body)
		if c.want != "" {
			got.fails(t, 400, "invalid_input", c.want)
		} else if got.status != 201 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	// A refusal repeats little.
	long := s.do("POST", "templates", `{"`+strings.Repeat("é", 1000)+`":1,"`+strings.Repeat("é", 1000)+`":1}`)
	if long.fails(t, 400, "invalid_input", "twice"); len(long.body) > 700 {
		t.Errorf("%d bytes: %s", len(long.body), long.body)
	}
}

// Names that fold to the same are those that the decoder takes for one another.
func TestFold(t *testing.T) {
	for _, name := range []string{"id", "ID", "Id", "ıd", "İd", "ſ", "s", "S", "K", "k", "K", "é", "É", "Σ", "σ", "ς", "", "\x00"} {
		for _, other := range []string{"id", "s", "k", "é", "σ"} {
			text, err := json.Marshal(map[string]int{name: 1})
			if err != nil {
				t.Fatal(err)
			}
			field := reflect.StructField{Name: "F", Type: reflect.TypeFor[int](), Tag: reflect.StructTag(`json:"` + other + `"`)}
			v := reflect.New(reflect.StructOf([]reflect.StructField{field}))
			if err := json.Unmarshal(text, v.Interface()); err != nil {
				t.Fatal(err)
			}
			if taken := v.Elem().Field(0).Int() == 1; taken && fold(name) != fold(other) {
				t.Errorf("the decoder takes %q for %q", name, other)
			}
		}
	}
}
