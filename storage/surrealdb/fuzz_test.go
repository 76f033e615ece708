package surrealdb

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/surrealdb/surrealdb.go/pkg/models"

	"github.com/sockudo/caddy-sockudo/storage"
)

// encoded is a value as it goes over the wire.
func encoded(t testing.TB, v any) []byte {
	t.Helper()
	data, err := codec.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSound(t *testing.T) {
	for name, v := range map[string]any{
		"nothing": nil, "a number": 1 << 40, "a text": strings.Repeat("x", 70000), "an empty list": []any{}, "an empty map": map[string]any{},
		"lists":     []any{[]any{}, []any{1, []any{"a", nil, true, 1.5}}, map[string]any{"a": []any{}, "b": map[string]any{"c": -1}}},
		"a record":  models.NewRecordID("t", []any{"a", 1}),
		"an answer": ok([]any{map[string]any{"id": "a", "content": []any{"k", models.None}}}),
	} {
		data := encoded(t, v)
		if err := sound(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range min(len(data), 100) {
			if sound(data[:n]) == nil {
				t.Errorf("%s: the first %d of %d bytes are a value too", name, n, len(data))
			}
		}
		if sound(append(data, 0)) == nil {
			t.Errorf("%s: with a byte behind it", name)
		}
	}
	for name, data := range map[string][]byte{
		"an endless list":   {0x9f, 0x01, 0x9f, 0xff, 0xff},
		"an endless map":    {0xbf, 0x61, 'a', 0x01, 0xff},
		"text in pieces":    {0x7f, 0x61, 'a', 0x61, 'b', 0xff},
		"an endless of one": {0x81, 0x9f, 0xff},
	} {
		if err := sound(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, data := range map[string][]byte{
		"an end without a beginning": {0xff}, "an end in a list": {0x82, 0x01, 0xff}, "a long list": {0x9a, 0xff, 0xff, 0xff, 0xff, 0x01},
		"a long text": {0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "a long map": {0xbb, 0x80, 0, 0, 0, 0, 0, 0, 1, 1},
		"a tag of nothing": {0xc6}, "an endless tag": {0xdf, 0x01}, "a reserved length": {0x1c},
	} {
		if err := sound(data); !errors.Is(err, errUnsound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := sound(bytes.Repeat([]byte{0x81}, 50<<20)); !errors.Is(err, errDeep) {
		t.Errorf("many lists in each other: %v", err)
	}
}

// FuzzAnswer reads messages that a server may send. None makes the reader panic.
func FuzzAnswer(f *testing.F) {
	f.Add(encoded(f, map[string]any{"id": "1", "result": ok([]any{map[string]any{"id": "a", "content": []any{"k", `{"secret":"s"}`}}})}))
	f.Add(encoded(f, map[string]any{"id": "1", "error": map[string]any{"code": -1, "message": "no {"}}))
	f.Add(encoded(f, map[string]any{"id": 1, "result": []any{map[string]any{"status": "ERR", "result": "no"}}}))
	f.Add([]byte{0xa1, 0x66, 'r', 'e', 's', 'u', 'l', 't', 0x81, 0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		if sound(data) != nil {
			return
		}
		result, err := answerTo(data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "{\n") {
				if _, said := errors.AsType[*serverError](err); said {
					t.Errorf("%q is shown", err)
				}
			}
			return
		}
		var records []record
		if err := answerOf(result, &records); err != nil {
			return
		}
		for _, r := range records {
			app, _, err := r.app()
			if app == nil {
				t.Error("a record is no app, not even a broken one")
			}
			if err == nil && (app.Key == "" || app.Secret == "") {
				t.Errorf("%q is an app without key or secret", data)
			}
		}
	})
}

// FuzzRecord reads records that anybody may have written. What can be read is the
// same after it was written here.
func FuzzRecord(f *testing.F) {
	f.Add("id", "key", `{"secret":"s","policy":{"limits":{"max_connections":"7"}}}`)
	f.Add("id", "key", `{"id":"other","key":"other","secret":"s","enabled":true,"max_connections":8,"webhooks":[{"url":"https://a.example"}]}`)
	f.Add("", "", "{")
	f.Fuzz(func(t *testing.T, id, key, payload string) {
		before := record{ID: encoded(t, id), Content: encoded(t, []any{key, payload})}
		app, _, err := before.app()
		if err != nil {
			return
		}
		text, err := storage.MarshalApp(app)
		if err != nil {
			return // such as namespaces that no store takes
		}
		again, _, err := record{ID: before.ID, Content: encoded(t, []any{app.Key, string(text)})}.app()
		if err != nil {
			t.Fatalf("%q became %q, which cannot be read: %v", payload, text, err)
		}
		first, err := storage.AppVersion(app)
		if err != nil {
			return
		}
		second, err := storage.AppVersion(again)
		if err != nil || first != second || again.ID != id || !slices.Equal([]byte(again.Key), []byte(key)) {
			t.Errorf("%q became %q: version %s is %s, %v", payload, text, first, second, err)
		}
	})
}
