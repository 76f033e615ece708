package history

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

func TestParseDirection(t *testing.T) {
	for word, oldest := range map[string]bool{
		"": false, "newest_first": false, "Backwards": false, "REVERSE": false, "oldest_first": true, "Forwards": true, "forward": true,
	} {
		if got, err := ParseDirection(word); err != nil || got != oldest {
			t.Errorf("%s: %v, %v", word, got, err)
		}
	}
	for _, word := range []string{"newest", "oldest_first "} {
		if _, err := ParseDirection(word); err == nil || err.Error() != "Invalid direction '"+word+"'. Accepted values: newest_first, oldest_first, backwards, forwards" {
			t.Errorf("%q: %v", word, err)
		}
	}
}

func TestCursorForm(t *testing.T) {
	f := newFixture(t)
	stream := "5f0c1f6e-7f1c-4a52-9a0e-0d3f6f3f9a11"
	plain, err := base64.RawURLEncoding.DecodeString(f.next(&Query{Bounds: Bounds{StartSerial: new(uint64(3)), EndTime: new(int64(-4))}}, stream, 40))
	const want = `{"version":1,"app_id":"app","channel":"orders","stream_id":"5f0c1f6e-7f1c-4a52-9a0e-0d3f6f3f9a11","serial":40,"direction":"newest_first","bounds":{"start_serial":3,"end_serial":null,"start_time_ms":null,"end_time_ms":-4}}`
	if err != nil || string(plain) != want {
		t.Errorf("%s, %v", plain, err)
	}
}

// encoded is JSON as a cursor.
func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestCursorRefusals(t *testing.T) {
	f := newFixture(t)
	f.publish(9)
	f.trim(5)
	stream := f.page(Query{Limit: 1}).Floor.Head.Stream
	good := `{"version":1,"app_id":"app","channel":"orders","stream_id":"` + stream + `","serial":7,"direction":"newest_first","bounds":{"start_serial":null,"end_serial":null,"start_time_ms":null,"end_time_ms":null}}`
	if p, err := f.Page(t.Context(), Query{Limit: 9, Cursor: encoded(good)}); err != nil || len(p.Rows) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, c := range []struct{ cursor, text string }{
		{"?", "Invalid history cursor: it is not URL-safe base64 without padding"},
		{encoded(good) + "=", "Invalid history cursor: it is not URL-safe base64 without padding"},
		{encoded(good + "x"), "Invalid history cursor: it is not the JSON of a cursor"},
		{encoded(`{}`), "Invalid history cursor: it is not the JSON of a cursor"},
		{encoded(`{"version":-1}`), "Invalid history cursor: it is not the JSON of a cursor"},
		{encoded(strings.Replace(good, `"serial":7`, `"serial":"7"`, 1)), "Invalid history cursor: a member has another form"},
		{strings.Repeat("A", MaxCursor+1), "History cursor exceeds 16 KiB"},
		{encoded(`{"version":2}`), "Unsupported history cursor version: 2"},
		{encoded(strings.Replace(good, `"app"`, `"other"`, 1)), "History cursor app does not match the request"},
		{encoded(strings.Replace(good, `orders`, `other`, 1)), "History cursor channel does not match the request"},
		{encoded(strings.Replace(good, `newest`, `oldest`, 1)), "History cursor direction does not match the request"},
		{encoded(strings.Replace(good, `"end_serial":null`, `"end_serial":1`, 1)), "History cursor bounds do not match the request"},
		{encoded(strings.Replace(good, stream, "x", 1)), "Expired history cursor: channel stream changed"},
		{encoded(strings.Replace(good, `"serial":7`, `"serial":4`, 1)), "Expired history cursor: cursor points before retained history"},
		{encoded(strings.Replace(good, `"serial":7`, `"serial":0`, 1)), "Expired history cursor: cursor points before retained history"},
	} {
		_, err := f.Page(t.Context(), Query{Limit: 9, Cursor: c.cursor})
		if q := (&QueryError{}); !errors.As(err, &q) || q.Message != c.text {
			t.Errorf("%.80s: %v, want %s", c.cursor, err, c.text)
		}
	}
	// One ahead of the log is followed by nothing that was not there.
	ahead := strings.Replace(good, `"serial":7`, `"serial":18446744073709551615`, 1)
	if p, err := f.Page(t.Context(), Query{Limit: 9, Cursor: encoded(ahead)}); err != nil || len(p.Rows) != 5 {
		t.Errorf("%+v, %v", p, err)
	}
	ahead = strings.Replace(ahead, "newest_first", "oldest_first", 1)
	if p, err := f.Page(t.Context(), Query{Limit: 9, OldestFirst: true, Cursor: encoded(ahead)}); err != nil || len(p.Rows) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestQueryRefusals(t *testing.T) {
	f := newFixture(t)
	for text, q := range map[string]Query{
		"History limit must be greater than 0":                              {},
		"start_serial must be less than or equal to end_serial":             {Limit: 1, Bounds: Bounds{StartSerial: new(uint64(2)), EndSerial: new(uint64(1))}},
		"start_time_ms must be less than or equal to end_time_ms":           {Limit: 1, Bounds: Bounds{StartTime: new(int64(2)), EndTime: new(int64(1))}},
		"Invalid history cursor: it is not the JSON of a cursor":            {Limit: 1, Cursor: "AA"},
		"History cursor exceeds 16 KiB":                                     {Limit: 1, Cursor: strings.Repeat("A", MaxCursor+4)},
		"Invalid history cursor: it is not URL-safe base64 without padding": {Limit: 1, Cursor: "A"},
	} {
		if _, err := f.Page(t.Context(), q); err == nil || err.Error() != text {
			t.Errorf("%v, want %s", err, text)
		}
	}
	f.Key = PresenceKey("app", "presence-x")
	for text, q := range map[string]Query{
		"Presence history limit must be greater than 0":                   {},
		"Invalid presence history cursor: it is not the JSON of a cursor": {Limit: 1, Cursor: "AA"},
		"Presence history cursor exceeds 16 KiB":                          {Limit: 1, Cursor: strings.Repeat("A", MaxCursor+4)},
		"Unsupported presence history cursor version: 3":                  {Limit: 1, Cursor: encoded(`{"version":3}`)},
		"Presence history cursor app does not match the request":          {Limit: 1, Cursor: encoded(`{"version":1}`)},
	} {
		if _, err := f.Page(t.Context(), q); err == nil || err.Error() != text {
			t.Errorf("%v, want %s", err, text)
		}
	}
}

// FuzzCursor reads what clients send as a cursor: it never panics, and nobody comes to
// rows that are not in the log.
func FuzzCursor(f *testing.F) {
	f.Add(`{"version":1,"app_id":"app","channel":"orders","stream_id":"s","serial":40,"direction":"newest_first","bounds":{"start_serial":null}}`, false)
	f.Add(`{"version":1,"app_id":"app","channel":"orders","stream_id":"s","serial":2,"direction":"oldest_first"}`, true)
	f.Add("", true)
	f.Fuzz(func(t *testing.T, text string, oldest bool) {
		l := newFixture(t)
		l.add(&storage.LogAppend{Fresh: "s", Row: true, Payload: []byte(`{}`), At: base})
		l.publish(3)
		for _, c := range []string{text, encoded(text)} {
			p, err := l.Page(t.Context(), Query{Limit: 2, OldestFirst: oldest, Cursor: c})
			if q := (&QueryError{}); err != nil && !errors.As(err, &q) {
				t.Error(err)
			}
			if err == nil && (len(p.Rows) > 2 || len(p.Rows) > 0 && p.Rows[0].Row > 4) {
				t.Errorf("%q: rows %v", c, numbers(p))
			}
		}
	})
}
