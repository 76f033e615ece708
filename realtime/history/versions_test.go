package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

func TestVersionJSON(t *testing.T) {
	v := Version{
		Channel: "chat-1", Action: "append", Content: Content{new("chat.message"), json.RawMessage(`"abc"`), json.RawMessage(`{"headers":{"a":1}}`)},
		Fragment: json.RawMessage(`"c"`), MessageSerial: "m", VersionSerial: "v2", HistorySerial: 41, DeliverySerial: 58, At: 1700000000456,
		ClientID: "u1", Description: "typo", Metadata: json.RawMessage(`{"ip":"x"}`),
	}
	const want = `{"event":"sockudo:message.append","channel":"chat-1","data":"abc","name":"chat.message","serial":58,"extras":{"headers":{"a":1}},` +
		`"action":"append","message_serial":"m","history_serial":41,"delivery_serial":58,` +
		`"version":{"serial":"v2","client_id":"u1","timestamp_ms":1700000000456,"description":"typo","metadata":{"ip":"x"}}}`
	if got := string(v.AppendJSON(nil, true)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := string(v.LatestJSON()); got != `{"channel":"chat-1","item":`+want+`}` {
		t.Error(got)
	}
	if got := string(v.AppendJSON(nil, false)); got != strings.Replace(want, `"abc"`, `"c"`, 1) {
		t.Error(got)
	}
	v.Action = "update"
	if got := string(v.AppendJSON(nil, false)); !strings.Contains(got, `"data":"abc"`) {
		t.Error("an update shows a fragment:", got)
	}
	bare := Version{Channel: "c", Action: "delete", MessageSerial: "m", VersionSerial: "v", HistorySerial: 1, DeliverySerial: 2}
	if got := string(bare.AppendJSON(nil, true)); got != `{"event":"sockudo:message.delete","channel":"c","serial":2,"action":"delete","message_serial":"m",`+
		`"history_serial":1,"delivery_serial":2,"version":{"serial":"v","timestamp_ms":0}}` {
		t.Error(got)
	}
}

// versioned is the log of a channel with a message of n versions among others.
func versioned(t *testing.T, n int) (l Log, stream string) {
	t.Helper()
	l = Log{Store: memory.NewHistory(0), Key: Key("app", "chat"), Now: 1_700_000_000_000}
	t.Cleanup(func() { _ = l.Store.Close() })
	for i := range n {
		for _, subject := range []string{"m", "other"} {
			a := &storage.LogAppend{Key: l.Key, Fresh: "s", At: l.Now + int64(i), Row: i == 0, Subject: subject, Payload: fmt.Appendf(nil, "v%03d", i+1)}
			if l.Store.Append(t.Context(), []*storage.LogAppend{a}); a.Err != nil {
				t.Fatal(a.Err)
			}
			stream = a.Stream
		}
	}
	return l, stream
}

func versionOf(e *storage.LogEntry) (Version, error) {
	n := strings.TrimPrefix(string(e.Payload), "v")
	return Version{
		Channel: "chat", Action: MutationAppend, Content: Content{Data: json.RawMessage(`"all"`)}, Fragment: json.RawMessage(`"f` + n + `"`),
		MessageSerial: e.Subject, VersionSerial: string(e.Payload), DeliverySerial: e.Serial,
	}, nil
}

// Checklist: http-api 140
func TestHTTP140VersionsPageBothWays(t *testing.T) {
	l, stream := versioned(t, 7)
	for _, c := range []struct {
		oldest bool
		limit  int
		want   string
	}{
		{false, 3, "v007 v006 v005|v004 v003 v002|v001"},
		{true, 3, "v001 v002 v003|v004 v005 v006|v007"},
		{false, 7, "v007 v006 v005 v004 v003 v002 v001"},
		{true, 1, "v001|v002|v003|v004|v005|v006|v007"},
		{false, 100, "v007 v006 v005 v004 v003 v002 v001"},
	} {
		q := VersionQuery{Message: "m", OldestFirst: c.oldest, Limit: c.limit}
		var pages []string
		for more := true; more; {
			p, found, err := l.Versions(t.Context(), stream, q, versionOf)
			if err != nil || !found {
				t.Fatal(found, err)
			}
			var serials []string
			for _, v := range p.Items {
				serials = append(serials, v.VersionSerial)
			}
			pages = append(pages, strings.Join(serials, " "))
			var page struct {
				Direction  string
				Limit      int
				HasMore    bool    `json:"has_more"`
				NextCursor *string `json:"next_cursor"`
				Items      []struct{ Data, Event string }
			}
			if err := json.Unmarshal(p.AppendJSON(nil), &page); err != nil {
				t.Fatal(err)
			}
			if page.Direction != q.Direction() || page.Limit != c.limit || page.HasMore != p.More || (page.NextCursor != nil) != p.More {
				t.Errorf("%+v", page)
			}
			for i, item := range page.Items {
				if item.Data != "f"+strings.TrimPrefix(p.Items[i].VersionSerial, "v") {
					t.Errorf("%s has the data %q", p.Items[i].VersionSerial, item.Data)
				}
			}
			if more = p.More; more {
				q.Cursor = *page.NextCursor
			}
		}
		if got := strings.Join(pages, "|"); got != c.want {
			t.Errorf("oldest first %v by %d: %s, want %s", c.oldest, c.limit, got, c.want)
		}
	}
}

func TestVersionsThatAreNotThere(t *testing.T) {
	l, stream := versioned(t, 3)
	for name, q := range map[string]VersionQuery{
		"no such message": {Message: "n", Limit: 10}, "nor backwards": {Message: "n", OldestFirst: true, Limit: 10},
	} {
		if p, found, err := l.Versions(t.Context(), stream, q, versionOf); found || err != nil || len(p.Items) > 0 {
			t.Errorf("%s: %+v, %v, %v", name, p, found, err)
		}
	}
	// A chain may have lost its beginning, and all of it may be too old.
	if err := l.Store.Trim(t.Context(), l.Key, stream, 3); err != nil {
		t.Fatal(err)
	}
	p, found, err := l.Versions(t.Context(), stream, VersionQuery{Message: "m", OldestFirst: true, Limit: 10}, versionOf)
	if err != nil || !found || len(p.Items) != 2 || p.More {
		t.Errorf("%+v, %v, %v", p, found, err)
	}
	l.Retention = Retention{Versions: true, Age: time.Second, VersionAge: time.Minute}
	l.Now += time.Hour.Milliseconds()
	if _, found, err := l.Versions(t.Context(), stream, VersionQuery{Message: "m", Limit: 10}, versionOf); found || err != nil {
		t.Error("what is too old was found:", err)
	}
	broken := errors.New("broken")
	l.Now -= time.Hour.Milliseconds()
	_, _, err = l.Versions(t.Context(), stream, VersionQuery{Message: "m", Limit: 10}, func(*storage.LogEntry) (Version, error) { return Version{}, broken })
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestApply(t *testing.T) {
	raw := func(text string) json.RawMessage {
		if text == "" {
			return nil
		}
		return json.RawMessage(text)
	}
	name := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	for _, c := range []struct {
		about             string
		mutation          Mutation
		name, data, extra string // before
		want              string
	}{
		{"nothing is given", Mutation{Action: "update"}, "n", `"d"`, `{"a":1}`, `n|"d"|{"a":1}`},
		{"replaced whole", Mutation{Action: "update", Content: Content{Data: raw(`{"b":2}`)}}, "n", `{"a":1}`, `{"a":1}`, `n|{"b":2}|{"a":1}`},
		{"an empty text", Mutation{Action: "update", Content: Content{Name: new(""), Data: raw(`""`)}}, "n", `"d"`, "", `(empty)|""|`},
		{"cleared", Mutation{Action: "update", ClearName: true, ClearData: true, ClearExtras: true}, "n", `"d"`, `{"a":1}`, `||`},
		{"a delete keeps", Mutation{Action: "delete"}, "n", `"d"`, "", `n|"d"|`},
		{"a delete clears", Mutation{Action: "delete", ClearData: true}, "n", `"d"`, "", `n||`},
		{"appended", Mutation{Action: "append", Content: Content{Data: raw(`"lo\n"`)}}, "n", `"He\"l"`, `{"a":1}`, `n|"He\"llo\n"|{"a":1}`},
		{"appended to nothing", Mutation{Action: "append", Content: Content{Data: raw(`"lo"`)}}, "n", "", "", `n|"lo"|`},
		{"appended with extras", Mutation{Action: "append", Content: Content{Data: raw(`""`), Extras: raw(`{"b":2}`)}}, "n", `"x"`, `{"a":1}`, `n|"x"|{"b":2}`},
		{"extras of nothing", Mutation{Action: "update", Content: Content{Extras: raw(`{}`)}}, "n", "", `{"a":1}`, `n||`},
		{
			"headers of the server",
			Mutation{Action: "update"},
			"n", "",
			`{"x":{"headers":{"sockudo_action":1}},"headers":{"a":1.50,"sockudo_action":"message.create","b":"sockudo_"},"y":null}`,
			`n||{"x":{"headers":{"sockudo_action":1}},"headers":{"a":1.50,"b":"sockudo_"},"y":null}`,
		},
		{"headers of the server alone", Mutation{Action: "update", Content: Content{Extras: raw(`{"headers":{"sockudo_message_serial":"m"}}`)}}, "n", "", `{"a":1}`, `n||`},
	} {
		after, err := c.mutation.Apply(Content{name(c.name), raw(c.data), raw(c.extra)})
		if err != nil {
			t.Errorf("%s: %v", c.about, err)
		}
		shown := ""
		if after.Name != nil {
			shown = *after.Name
			if shown == "" {
				shown = "(empty)"
			}
		}
		if got := shown + "|" + string(after.Data) + "|" + string(after.Extras); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.about, got, c.want)
		}
	}
	for _, data := range []string{`{"a":1}`, `1`, `[]`, `true`} {
		m := Mutation{Action: "append", Content: Content{Data: raw(`"x"`)}}
		if _, err := m.Apply(Content{Data: raw(data)}); !errors.Is(err, ErrAppendData) || err.Error() != "append requires string message data" {
			t.Errorf("appended to %s: %v", data, err)
		}
	}
}

// The vector is that of the specification.
func TestReceiptKey(t *testing.T) {
	const want = "idempotency:mutation:v1:a4463a21e54081745507a95048b9d99057476d0a92bff594b564d7ae4cec4c7b"
	if got := ReceiptKey("app-id", "orders", "m-1", "message.append", "op-1"); got != want {
		t.Error(got)
	}
	if ReceiptKey("a", "b", "c", "d", "e") == ReceiptKey("a", "b\x00c", "", "d", "e") || len(want) > storage.MaxLogText {
		t.Error("keys are not apart, or too long")
	}
}

func TestFingerprint(t *testing.T) {
	base := func() *Mutation {
		return &Mutation{Action: "update", Content: Content{new("n"), json.RawMessage(`{"a": [1, 2.50], "b":{}}`), nil}, ClientID: new("u"), Metadata: json.RawMessage(`{"x":1,"y":2}`)}
	}
	same := base()
	same.Data, same.Metadata = json.RawMessage(`{"b":{},"a":[1,2.50]}`), json.RawMessage(`{"y":2,"x":1}`)
	want := base().Fingerprint(nil)
	if same.Fingerprint(nil) != want {
		t.Error("spaces and order make a difference")
	}
	seen := map[string]string{want: "the first"}
	for name, change := range map[string]func(*Mutation){
		"action": func(m *Mutation) { m.Action = "delete" }, "no name": func(m *Mutation) { m.Name = nil }, "empty name": func(m *Mutation) { m.Name = new("") },
		"number": func(m *Mutation) { m.Data = json.RawMessage(`{"a":[1,2.5],"b":{}}`) }, "text": func(m *Mutation) { m.Data = json.RawMessage(`"{}"`) },
		"extras": func(m *Mutation) { m.Extras = json.RawMessage(`{}`) }, "clear": func(m *Mutation) { m.ClearExtras = true }, "clear data": func(m *Mutation) { m.ClearData = true },
		"client": func(m *Mutation) { m.ClientID = new("v") }, "description": func(m *Mutation) { m.Description = new("u") },
		"no metadata": func(m *Mutation) { m.Metadata = nil },
	} {
		m := base()
		change(m)
		got := m.Fingerprint(nil)
		if other, known := seen[got]; known {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[got] = name
	}
	if base().Fingerprint(new("")) == want || base().Fingerprint(new("a")) == base().Fingerprint(new("")) {
		t.Error("the actor makes no difference")
	}
}
