package history

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Rows that come meanwhile are on no page, in neither direction.
func TestPageIsOfOneMoment(t *testing.T) {
	f := newFixture(t)
	f.publish(3)
	f.store.before = func(string) { f.publish(1) }
	for _, oldest := range []bool{false, true} {
		head := f.page(Query{Limit: 100, OldestFirst: oldest})
		rows := numbers(head)
		slices.Sort(rows)
		for i, n := range rows {
			if n != uint64(i+1) || n > head.Floor.Head.Row {
				t.Fatalf("rows %v under the head %+v", rows, head.Floor.Head)
			}
		}
		if uint64(len(rows)) != head.Floor.Head.Row || head.More || head.Floor.Newest.Row != head.Floor.Head.Row {
			t.Errorf("%d rows, floor %+v", len(rows), head.Floor)
		}
	}
}

// A row that goes while a page is read is either on it or not counted any more.
func TestTrimMeanwhile(t *testing.T) {
	for call := range 8 {
		for _, q := range []Query{
			{Limit: 100},
			{Limit: 100, OldestFirst: true},
			{Limit: 3, OldestFirst: true},
			{Limit: 3},
			{Limit: 100, Bounds: Bounds{StartTime: new(int64(base))}},
			{Limit: 100, OldestFirst: true, Bounds: Bounds{StartTime: new(int64(base))}},
			{Limit: 4, OldestFirst: true, Bounds: Bounds{EndTime: new(int64(base + 100))}},
		} {
			f := newFixture(t)
			f.publish(10)
			calls := 0
			f.store.before = func(string) {
				if calls == call {
					f.trim(6)
				}
				calls++
			}
			p := f.page(q)
			rows := numbers(p)
			if q.OldestFirst && (len(rows) == 0 || rows[0] != p.Floor.Oldest.Row) {
				t.Errorf("call %d, %+v: rows %v of %d to %d", call, q, rows, p.Floor.Oldest.Row, p.Floor.Newest.Row)
			}
			if !p.More && uint64(len(rows)) != p.Floor.Rows() {
				t.Errorf("call %d, %+v: rows %v of %d", call, q, rows, p.Floor.Rows())
			}
			if q.Bounds == (Bounds{}) && p.Truncated != (p.Floor.Oldest.Row > 1) {
				t.Errorf("call %d, %+v: truncated %v", call, q, p.Truncated)
			}
		}
	}
}

// A reset while a page is read gives the page of the new stream, or refuses a cursor
// of the old one.
func TestResetMeanwhile(t *testing.T) {
	for call := range 5 {
		for _, resumed := range []bool{false, true} {
			f := newFixture(t)
			f.publish(10)
			q, want := Query{Limit: 100}, 10
			if resumed {
				q.Cursor, want = f.page(Query{Limit: 3}).Next, 7
			}
			old, calls := f.page(Query{Limit: 1}).Floor.Head.Stream, 0
			f.store.before = func(string) {
				if calls++; calls == call+1 {
					if err := f.store.Reset(t.Context(), f.Key, "fresh"); err != nil {
						t.Fatal(err)
					}
				}
			}
			p, err := f.Page(t.Context(), q)
			if err != nil {
				if q := (&QueryError{}); !resumed || !errors.As(err, &q) || q.Message != "Expired history cursor: channel stream changed" {
					t.Errorf("call %d: %v", call, err)
				}
				continue
			}
			// Either all of the old stream, or nothing of the new one.
			if was := p.Floor.Head.Stream == old; was && len(p.Rows) != want || !was && len(p.Rows) > 0 || !was && resumed {
				t.Errorf("call %d: %d rows of %+v", call, len(p.Rows), p.Floor.Head)
			}
		}
	}
}

// A log that is reset all the time is not read for ever.
func TestMovedAlways(t *testing.T) {
	f := newFixture(t)
	f.publish(1)
	n := 0
	f.store.before = func(string) {
		if n++; n > 1000 {
			t.Fatal("no end")
		}
		if err := f.store.Reset(t.Context(), f.Key, strings.Repeat("x", n)); err != nil {
			t.Fatal(err)
		}
		f.publish(1)
	}
	if p, err := f.Page(t.Context(), Query{Limit: 1}); !errors.Is(err, ErrMoved) {
		t.Errorf("%+v, %v", p, err)
	}
}

// holed is a store that has lost a row in the middle.
type holed struct{ storage.History }

func (h holed) Read(ctx context.Context, key storage.LogKey, stream string, q storage.LogQuery) ([]storage.LogEntry, error) {
	read, err := h.History.Read(ctx, key, stream, q)
	return slices.DeleteFunc(read, func(e storage.LogEntry) bool { return e.Row == 5 }), err
}

func TestHole(t *testing.T) {
	f := newFixture(t)
	f.publish(10)
	f.Store = holed{f.store}
	for _, q := range []Query{{Limit: 100}, {Limit: 5, OldestFirst: true}, {Limit: 100, Bounds: Bounds{StartTime: new(int64(0))}}} {
		if p, err := f.Page(t.Context(), q); !errors.Is(err, ErrHole) {
			t.Errorf("%+v: %+v, %v", q, p, err)
		}
	}
	if p := f.page(Query{Limit: 4}); !slices.Equal(numbers(p), []uint64{10, 9, 8, 7}) || !p.More {
		t.Errorf("rows %v", numbers(p))
	}
}

func TestBounds(t *testing.T) {
	f := newFixture(t)
	f.publish(10)
	f.trim(3)
	most := ^uint64(0)
	for _, c := range []struct {
		b         Bounds
		rows      []uint64
		truncated bool
	}{
		{Bounds{}, []uint64{3, 4, 5, 6, 7, 8, 9, 10}, true},
		{Bounds{StartSerial: new(uint64(2)), EndSerial: new(uint64(4))}, []uint64{3, 4}, true},
		{Bounds{StartSerial: new(uint64(3)), EndSerial: new(uint64(4))}, []uint64{3, 4}, false},
		{Bounds{EndSerial: new(uint64(0))}, nil, true},
		{Bounds{StartSerial: &most}, nil, false},
		{Bounds{EndSerial: &most, StartSerial: new(uint64(10))}, []uint64{10}, false},
		{Bounds{StartTime: new(int64(base + 2)), EndTime: new(int64(base + 4))}, []uint64{3, 4, 5}, false},
		{Bounds{StartTime: new(int64(base + 1)), EndTime: new(int64(base + 2))}, []uint64{3}, true},
		{Bounds{StartTime: new(int64(-5)), EndTime: new(int64(0))}, nil, true},
		{Bounds{EndTime: new(int64(-1))}, nil, true},
		{Bounds{StartTime: new(int64(base + 50))}, nil, false},
		{Bounds{StartTime: new(int64(base + 5)), EndSerial: new(uint64(7))}, []uint64{6, 7}, false},
	} {
		p := f.page(Query{Limit: 100, OldestFirst: true, Bounds: c.b})
		if !slices.Equal(numbers(p), c.rows) || p.Truncated != c.truncated {
			t.Errorf("%s: rows %v, truncated %v", c.b.append(nil).end(), numbers(p), p.Truncated)
		}
		// Page by page, in both directions.
		for _, oldest := range []bool{true, false} {
			q, got := Query{Limit: 1, OldestFirst: oldest, Bounds: c.b}, []uint64(nil)
			for more := true; more; {
				p := f.page(q)
				got, q.Cursor, more = append(got, numbers(p)...), p.Next, p.More
				if more != (p.Next != "") {
					t.Fatalf("more %v, next %q", more, p.Next)
				}
			}
			if !oldest {
				slices.Reverse(got)
			}
			if !slices.Equal(got, c.rows) {
				t.Errorf("%s: pages of %v", c.b.append(nil).end(), got)
			}
		}
	}
}

// Nothing is left, but there was something: a reader from the beginning has missed it.
func TestTruncatedEntirely(t *testing.T) {
	f := newFixture(t)
	if p := f.page(Query{Limit: 1}); p.Truncated {
		t.Error("what never was is truncated")
	}
	f.publish(3)
	cursor := f.page(Query{Limit: 1}).Next
	f.trim(4)
	for _, c := range []struct {
		b    Bounds
		want bool
	}{
		{Bounds{}, true},
		{Bounds{StartSerial: new(uint64(3))}, true},
		{Bounds{StartSerial: new(uint64(4))}, false},
		{Bounds{StartTime: new(int64(base + 2))}, true},
		{Bounds{StartTime: new(int64(base + 3))}, false},
	} {
		if p := f.page(Query{Limit: 1, Bounds: c.b}); p.Truncated != c.want || len(p.Rows) > 0 {
			t.Errorf("%s: truncated %v", c.b.append(nil).end(), p.Truncated)
		}
	}
	if _, err := f.Page(t.Context(), Query{Limit: 1, Cursor: cursor}); err == nil || err.Error() != "Expired history cursor: cursor points before retained history" {
		t.Errorf("%v", err)
	}
}

func TestUntilAttach(t *testing.T) {
	f := newFixture(t)
	f.publish(5)
	q := Query{Limit: 2, Socket: true, UntilAttach: true, Attach: new(uint64(3))}
	p := f.page(q)
	text, err := p.Append(nil)
	if err != nil || !slices.Equal(numbers(p), []uint64{3, 2}) || !strings.Contains(string(text), `"bounds":{"start_serial":null,"end_serial":3,"start_time_ms":null,"end_time_ms":null,"until_attach":true,"attach_serial":3}`) {
		t.Errorf("rows %v: %s", numbers(p), text)
	}
	q.Cursor = p.Next
	if p := f.page(q); !slices.Equal(numbers(p), []uint64{1}) {
		t.Errorf("rows %v", numbers(p))
	}
	for _, c := range []struct {
		q    Query
		text string
	}{
		{Query{Limit: 2, Socket: true, Cursor: q.Cursor}, "History cursor bounds do not match the request"},
		{Query{Limit: 2, Socket: true, UntilAttach: true}, "No attach_serial is recorded for channel 'orders'"},
	} {
		if _, err := f.Page(t.Context(), c.q); err == nil || err.Error() != c.text {
			t.Errorf("%v", err)
		}
	}
	// Nothing was there at the subscription, and an end before it counts.
	if p := f.page(Query{Limit: 2, UntilAttach: true, Attach: new(uint64(0))}); len(p.Rows) > 0 {
		t.Errorf("rows %v", numbers(p))
	}
	if p := f.page(Query{Limit: 1, UntilAttach: true, Attach: new(uint64(3)), Bounds: Bounds{EndSerial: new(uint64(2))}}); !slices.Equal(numbers(p), []uint64{2}) {
		t.Errorf("rows %v", numbers(p))
	}
}

// version adds a version of a message, the first one as a row.
func (f *fixture) version(message, action, data string, row uint64) {
	f.Helper()
	r := &Record{Event: "e", Channel: "orders", MessageID: "m-" + message, Data: json.RawMessage(`"` + data + `"`), Action: action, MessageSerial: message, VersionSerial: message + data, VersionAt: base, HistorySerial: row}
	if action != "create" {
		r.Name = "e"
	}
	f.add(&storage.LogAppend{Row: action == "create", Subject: message, Payload: r.Append(nil), At: base})
}

func TestLatestVersions(t *testing.T) {
	f := newFixture(t)
	f.Retention.Versions = true
	latest := 0
	f.store.before = func(call string) {
		if call == "latest" {
			latest++
		}
	}
	var substituted, current, gone int
	f.Shown = func(s, c, g int) { substituted, current, gone = substituted+s, current+c, gone+g }
	f.version("a", "create", "1", 0)
	f.version("b", "create", "2", 0)
	check := func(want ...string) {
		t.Helper()
		items := shown(t, f.page(Query{Limit: 10, OldestFirst: true})).Items
		if len(items) != len(want) {
			t.Fatalf("%d items", len(items))
		}
		for i, w := range want {
			message := items[i]["message"].(map[string]any)
			size, _ := json.Marshal(message)
			got := strings.Join([]string{items[i]["event_name"].(string), items[i]["operation_kind"].(string), message["event"].(string), message["data"].(string)}, " ")
			if got != w || items[i]["serial"] != float64(i+1) || len(size) == 0 {
				t.Errorf("item %d: %s, want %s: %v", i, got, w, items[i])
			}
		}
	}
	check("sockudo:message.create message.create sockudo:message.create 1", "sockudo:message.create message.create sockudo:message.create 2")
	if latest > 0 {
		t.Error("versions were looked for, and there are none")
	}
	f.version("a", "append", "1x", 1)
	f.version("c", "create", "3", 0)
	f.version("a", "update", "new", 1)
	check("sockudo:message.update message.update sockudo:message.update new", "sockudo:message.create message.create sockudo:message.create 2", "sockudo:message.create message.create sockudo:message.create 3")
	if latest != 1 {
		t.Errorf("versions were looked for %d times", latest)
	}
	if substituted != 1 || current != 4 || gone != 0 {
		t.Errorf("%d messages were substituted, %d current and %d gone", substituted, current, gone)
	}
	// The size is that of what is shown, for a socket with the stream.
	p := f.page(Query{Limit: 1, OldestFirst: true, Socket: true})
	text, err := p.Append(nil)
	var raw struct {
		Items []struct {
			Message json.RawMessage
			Size    int    `json:"payload_size_bytes"`
			ID      string `json:"message_id"`
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &raw)
	}
	if one := raw.Items[0]; err != nil || one.Size != len(one.Message) || one.ID != "m-a" || !strings.Contains(string(one.Message), `"name":"e","stream_id":"`+p.Floor.Head.Stream+`","serial":5,`) {
		t.Errorf("%v: %s", err, text)
	}
	// Without versions, rows are shown as they were stored.
	f.Retention.Versions = false
	check("e append e 1", "e append e 2", "e append e 3")
}

// The versions go between the rows and their versions.
func TestResetBeforeVersions(t *testing.T) {
	f := newFixture(t)
	f.Retention.Versions = true
	f.version("a", "create", "1", 0)
	f.version("a", "update", "2", 1)
	f.store.before = func(call string) {
		if call == "latest" {
			if err := f.store.Reset(t.Context(), f.Key, "fresh"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p := f.page(Query{Limit: 1}); len(p.Rows) > 0 || p.Floor.Head.Stream != "fresh" {
		t.Errorf("%+v", p)
	}
}

// A message whose changes are kept and whose row is the only version that is left is
// shown as it was stored.
func TestVersionsGone(t *testing.T) {
	f := newFixture(t)
	f.Retention.Versions = true
	f.version("a", "create", "1", 0)
	f.version("b", "create", "2", 0)
	f.version("b", "update", "3", 2)
	f.Store = forgetful{f.store}
	items := shown(t, f.page(Query{Limit: 2})).Items
	if items[0]["event_name"] != "sockudo:message.update" || items[1]["event_name"] != "e" {
		t.Errorf("%v", items)
	}
}

// forgetful is a store without the versions of a message.
type forgetful struct{ storage.History }

func (s forgetful) Latest(ctx context.Context, key storage.LogKey, stream string, subjects []string) (map[string]storage.LogEntry, error) {
	latest, err := s.History.Latest(ctx, key, stream, subjects)
	delete(latest, "a")
	return latest, err
}

func TestUnreadableRow(t *testing.T) {
	f := newFixture(t)
	f.add(&storage.LogAppend{Row: true, Payload: []byte(`[]`), At: base})
	if text, err := f.page(Query{Limit: 1}).Append(nil); err == nil || !strings.Contains(err.Error(), `row 1 of channel "orders"`) {
		t.Errorf("%s, %v", text, err)
	}
}
