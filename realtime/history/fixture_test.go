package history

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// base is when the first row of a test is published, in Unix milliseconds.
const base = 1_700_000_000_000

// store is a store in memory that lets a test act between the calls of a reader.
type store struct {
	storage.History
	// before is called ahead of each call, with its name, unless it is nil.
	before func(call string)
}

func (s *store) hook(call string) {
	if s.before != nil {
		s.before(call)
	}
}

func (s *store) Head(ctx context.Context, key storage.LogKey) (storage.LogHead, error) {
	s.hook("head")
	return s.History.Head(ctx, key)
}

func (s *store) Read(ctx context.Context, key storage.LogKey, stream string, q storage.LogQuery) ([]storage.LogEntry, error) {
	s.hook("read")
	return s.History.Read(ctx, key, stream, q)
}

func (s *store) Latest(ctx context.Context, key storage.LogKey, stream string, subjects []string) (map[string]storage.LogEntry, error) {
	s.hook("latest")
	return s.History.Latest(ctx, key, stream, subjects)
}

func (s *store) Append(ctx context.Context, appends []*storage.LogAppend) {
	s.hook("append")
	s.History.Append(ctx, appends)
}

// fixture is the log of a channel in a store.
type fixture struct {
	*testing.T
	Log
	store *store
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s := &store{History: memory.NewHistory(0)}
	return &fixture{t, Log{Store: s, Key: Key("app", "orders"), Now: base + 1000}, s}
}

// publish adds rows, one millisecond after the other, and returns the serial of the
// last one.
func (f *fixture) publish(n int) uint64 {
	f.Helper()
	var last uint64
	for range n {
		head, _ := f.store.History.Head(f.Context(), f.Key)
		e := &protocol.Envelope{App: "app", Channel: "orders", Event: "e", Data: json.RawMessage(fmt.Sprintf(`"%d"`, head.Row+1)), MessageID: fmt.Sprint("m", head.Row+1)}
		at := base + int64(head.Row)
		last = f.add(&storage.LogAppend{At: at, Row: true, Payload: RecordOf(e, at).Append(nil)})
	}
	return last
}

func (f *fixture) add(a *storage.LogAppend) uint64 {
	f.Helper()
	a.Key = f.Key
	if a.Fresh == "" {
		a.Fresh = protocol.NewMessageID()
	}
	f.store.History.Append(f.Context(), []*storage.LogAppend{a})
	if a.Err != nil {
		f.Fatal(a.Err)
	}
	return a.Entry.Serial
}

func (f *fixture) trim(before uint64) {
	f.Helper()
	head, err := f.store.History.Head(f.Context(), f.Key)
	if err == nil {
		err = f.store.History.Trim(f.Context(), f.Key, head.Stream, before)
	}
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) page(q Query) *Page {
	f.Helper()
	p, err := f.Page(f.Context(), q)
	if err != nil {
		f.Fatal(err)
	}
	return p
}

// numbers are those of the rows of a page.
func numbers(p *Page) (rows []uint64) {
	for _, r := range p.Rows {
		rows = append(rows, r.Row)
	}
	return rows
}

// shown is the page as readers get it.
func shown(t testing.TB, p *Page) (page struct {
	Items      []map[string]any
	Continuity map[string]any
},
) {
	t.Helper()
	text, err := p.Append(nil)
	if err == nil {
		err = json.Unmarshal(text, &page)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return page
}
