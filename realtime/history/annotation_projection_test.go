package history

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: http-api 144
func TestHTTP144Summarizers(t *testing.T) {
	type step struct {
		name, client string
		count        uint64
		remove       int // of the step with this number, from 1
	}
	for _, c := range []struct {
		annotationType, about, want string
		steps                       []step
	}{
		{"r:total.v1", "the count does not matter", `{"total":1}`, []step{{"a", "u1", 7, 0}, {"", "", 0, 0}, {remove: 1}}},
		{"r:total.v1", "nothing", `{"total":0}`, []step{{}, {remove: 1}}},
		{"r:flag.v1", "sorted", `{"total":2,"clientIds":["u1","u2"],"clipped":false}`, []step{{"", "u2", 0, 0}, {"", "u1", 0, 0}, {"x", "u1", 5, 0}}},
		{"r:flag.v1", "one of two goes", `{"total":0,"clientIds":[],"clipped":false}`, []step{{"", "u1", 0, 0}, {"", "u1", 0, 0}, {remove: 2}}},
		{"r:flag.v1", "comes back", `{"total":1,"clientIds":["u1"],"clipped":false}`, []step{{"", "u1", 0, 0}, {remove: 1}, {"", "u1", 0, 0}}},
		{
			"r:distinct.v1", "two names", `{"like":{"total":2,"clientIds":["u1","u2"],"clipped":false},"love":{"total":1,"clientIds":["u1"],"clipped":false}}`,
			[]step{{"love", "u1", 0, 0}, {"like", "u2", 0, 0}, {"like", "u1", 0, 0}, {"like", "u1", 0, 0}},
		},
		{
			"r:distinct.v1", "a name goes", `{"love":{"total":1,"clientIds":["u1"],"clipped":false}}`,
			[]step{{"love", "u1", 0, 0}, {"like", "u1", 0, 0}, {"like", "u1", 0, 0}, {remove: 2}},
		},
		{
			"r:unique.v1", "moves", `{"up":{"total":1,"clientIds":["u1"],"clipped":false}}`,
			[]step{{"down", "u1", 0, 0}, {"up", "u1", 0, 0}},
		},
		{
			"r:unique.v1", "goes from where it is", `{"up":{"total":1,"clientIds":["u2"],"clipped":false}}`,
			[]step{{"down", "u1", 0, 0}, {"up", "u1", 0, 0}, {"up", "u2", 0, 0}, {remove: 1}},
		},
		{"r:unique.v1", "once is enough", `{}`, []step{{"down", "u1", 0, 0}, {"up", "u1", 0, 0}, {remove: 1}, {remove: 2}}},
		{
			"r:multiple.v1", "counters", `{"vote":{"total":6,"clientCounts":{"u1":2},"totalUnidentified":4,"clipped":false,"totalClientIds":1}}`,
			[]step{{"vote", "u1", 0, 0}, {"vote", "", 4, 0}, {"vote", "u1", 1, 0}},
		},
		{
			"r:multiple.v1", "the whole counter goes, and no others", `{"vote":{"total":5,"clientCounts":{"u2":1},"totalUnidentified":4,"clipped":false,"totalClientIds":1}}`,
			[]step{{"vote", "u1", 3, 0}, {"vote", "u1", 3, 0}, {"vote", "", 4, 0}, {"vote", "u2", 1, 0}, {remove: 1}, {remove: 3}},
		},
		{
			"r:multiple.v1", "the name stays", `{"vote":{"total":0,"clientCounts":{},"totalUnidentified":0,"clipped":false,"totalClientIds":0}}`,
			[]step{{"vote", "u1", 3, 0}, {remove: 1}},
		},
	} {
		t.Run(c.annotationType+" "+c.about, func(t *testing.T) {
			a := annotations(t)
			var added []protocol.Annotation
			for _, s := range c.steps {
				if s.remove > 0 {
					a.remove(t, "m", added[s.remove-1].Serial)
				} else {
					added = append(added, a.create(t, "m", c.annotationType, s.name, s.client, s.count))
				}
			}
			if got := a.sums(t, c.annotationType); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// model is a log as one would sum it up on paper: all events, each time anew.
type model struct{ events []modelEvent }

type modelEvent struct {
	protocol.Annotation
	serial, of uint64
}

// sum is the summary of a type on a message of the events from first on.
func (m *model) sum(message, annotationType string, first uint64) any {
	kind, _ := protocol.ParseAnnotationType(annotationType)
	total, sets, counts, unknown := 0, map[string]map[string]bool{}, map[string]map[string]uint64{}, map[string]uint64{}
	leave := func(name, client string) {
		if delete(sets[name], client); len(sets[name]) == 0 {
			delete(sets, name)
		}
	}
	clearAll := func(client string) {
		for name := range sets {
			leave(name, client)
		}
	}
	for _, e := range m.events {
		if e.serial < first || e.MessageSerial != message || e.Type != annotationType || e.of > 0 && e.of < first {
			continue
		}
		switch {
		case kind == protocol.SummarizeTotal && e.of > 0:
			total--
		case kind == protocol.SummarizeTotal:
			total++
		case kind == protocol.SummarizeMultiple && e.of > 0:
			delete(counts[e.Name], e.ClientID)
		case kind == protocol.SummarizeMultiple:
			if counts[e.Name] == nil {
				counts[e.Name] = map[string]uint64{}
			}
			if e.ClientID == "" {
				unknown[e.Name] += cmp.Or(e.Count, 1)
			} else {
				counts[e.Name][e.ClientID] += cmp.Or(e.Count, 1)
			}
		case kind == protocol.SummarizeUnique && e.of > 0:
			clearAll(e.ClientID)
		case e.of > 0:
			leave(e.Name, e.ClientID)
		default:
			if kind == protocol.SummarizeUnique {
				clearAll(e.ClientID)
			}
			if sets[e.Name] == nil {
				sets[e.Name] = map[string]bool{}
			}
			sets[e.Name][e.ClientID] = true
		}
	}
	set := func(name string) map[string]any {
		return map[string]any{"total": len(sets[name]), "clientIds": append([]string{}, slices.Sorted(maps.Keys(sets[name]))...), "clipped": false}
	}
	all := map[string]any{}
	switch kind {
	case protocol.SummarizeTotal:
		return map[string]any{"total": total}
	case protocol.SummarizeFlag:
		return set("")
	case protocol.SummarizeMultiple:
		for name := range counts {
			n := unknown[name]
			for _, count := range counts[name] {
				n += count
			}
			all[name] = map[string]any{
				"total": n, "clientCounts": counts[name], "totalUnidentified": unknown[name], "clipped": false, "totalClientIds": len(counts[name]),
			}
		}
	default:
		for name := range sets {
			all[name] = set(name)
		}
	}
	return all
}

var someTypes = []string{"r:total.v1", "r:flag.v1", "r:distinct.v1", "r:unique.v1", "r:multiple.v1", "s:unique.v1"}

// TestProjections adds, deletes, trims, forgets and resets at random. A cache that
// follows, one that has room for nothing, and the model must agree.
func TestProjections(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		a := annotations(t)
		caches := []*AnnotationCache{NewAnnotationCache(0), NewAnnotationCache(1)}
		m, first := model{}, uint64(1)
		for range 150 {
			switch n := r.IntN(20); {
			case n < 9:
				one := protocol.Annotation{
					MessageSerial: fmt.Sprint("m", r.IntN(30)), Type: someTypes[r.IntN(len(someTypes))],
					ClientID: fmt.Sprint("u", r.IntN(3)), Count: uint64(r.IntN(3)),
				}
				if kind, _ := protocol.ParseAnnotationType(one.Type); kind.NeedsName() {
					one.Name = fmt.Sprint("n", r.IntN(2))
					if kind == protocol.SummarizeMultiple && r.IntN(2) == 0 {
						one.ClientID = ""
					}
				}
				if err := a.Create(t.Context(), &one); err != nil {
					t.Fatal(err)
				}
				serial, _ := ParseAnnotationSerial(one.Serial)
				m.events = append(m.events, modelEvent{one, serial, 0})
			case n < 15 && len(m.events) > 0:
				e := m.events[r.IntN(len(m.events))]
				found, err := a.Find(t.Context(), e.MessageSerial, e.Serial)
				if e.of > 0 || e.serial < first {
					if err == nil {
						t.Fatalf("seed %d: found %+v", seed, e)
					}
					continue
				}
				one, done, err := a.Delete(t.Context(), &found)
				known := slices.ContainsFunc(m.events, func(other modelEvent) bool { return other.of == e.serial })
				if err != nil || done == known {
					t.Fatalf("seed %d: deleted %+v: %v, %v", seed, e, done, err)
				}
				if done {
					serial, _ := ParseAnnotationSerial(one.Serial)
					m.events = append(m.events, modelEvent{one, serial, e.serial})
				}
			case n == 15:
				first = min(first+r.Uint64N(12), uint64(len(m.events)+1))
				if err := a.Store.Trim(t.Context(), a.Key(), headOf(t, a).Stream, first); err != nil {
					t.Fatal(err)
				}
			case n == 16 && r.IntN(8) == 0:
				if err := a.Store.Reset(t.Context(), a.Key(), protocol.NewMessageID()); err != nil {
					t.Fatal(err)
				}
				m, first = model{}, 1
			default:
				for _, cache := range caches {
					wantModel(t, seed, cache, a, &m, first)
				}
			}
		}
	}
}

func headOf(t *testing.T, a Annotations) storage.LogHead {
	head, _ := a.Store.Head(t.Context(), a.Key()) // none is as good as an empty one
	return head
}

// wantModel asks a cache for one summary, or for all.
func wantModel(t *testing.T, seed uint64, cache *AnnotationCache, a Annotations, m *model, first uint64) {
	t.Helper()
	message, annotationType := fmt.Sprint("m", rand.IntN(30)), someTypes[rand.IntN(len(someTypes))]
	one, err := cache.Summary(t.Context(), a, message, annotationType)
	if err != nil {
		t.Fatal(err)
	}
	list := []Summary{one}
	if rand.IntN(2) == 0 {
		if list, err = cache.Summaries(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		kinds := map[string]bool{}
		for _, e := range m.events {
			if e.serial >= first {
				kinds[e.MessageSerial+" "+e.Type] = true
			}
		}
		var got []string
		for _, s := range list {
			got = append(got, s.Message+" "+s.Type)
		}
		if want := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, want) {
			t.Fatalf("seed %d: summaries of %q, want %q", seed, got, want)
		}
	}
	for _, s := range list {
		want, _ := json.Marshal(m.sum(s.Message, s.Type, first))
		var got any
		if err := json.Unmarshal(s.JSON, &got); err != nil {
			t.Fatalf("seed %d: %s: %v", seed, s.JSON, err)
		}
		if text, _ := json.Marshal(got); string(text) != canonical(t, want) {
			t.Fatalf("seed %d: %s of %s from %d: got\n%s\nwant\n%s", seed, s.Type, s.Message, first, text, want)
		}
	}
	wantCosts(t, cache)
}

func canonical(t *testing.T, text []byte) string {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(v)
	return string(again)
}

// wantCosts counts again what the cache says that it takes.
func wantCosts(t *testing.T, cache *AnnotationCache) {
	t.Helper()
	all := 0
	for key, one := range cache.channels {
		p := &one.projection
		cost := 0
		for serial, m := range p.messages {
			cost += m.size(serial)
			for _, tally := range m.tallies {
				n := tallyCost + len(tally.text)
				for name, b := range tally.names {
					n += bucketCost + len(name)
					for client := range b.clients {
						n += clientCost + len(client)
					}
				}
				for client := range tally.holds {
					n += clientCost + len(client)
				}
				if n != tally.cost {
					t.Fatalf("%s: a tally of %d bytes counts %d", serial, n, tally.cost)
				}
			}
		}
		if cost != p.cost || one.users != 0 {
			t.Fatalf("a projection of %d bytes counts %d, with %d users", cost, p.cost, one.users)
		}
		all += channelCost + len(key.App) + len(key.Channel) + cost
	}
	if all != cache.bytes || all > cache.max || cache.order.Len() != len(cache.channels) {
		t.Fatalf("a cache of %d bytes counts %d of %d", all, cache.bytes, cache.max)
	}
}

// Checklist: http-api 150
func TestHTTP150ClippedSummaries(t *testing.T) {
	a := annotations(t)
	for i := range 100 {
		client := fmt.Sprintf("%s-%03d", strings.Repeat("ü", 10), (i*37)%100)
		for _, annotationType := range someTypes {
			a.create(t, "m", annotationType, "n", client, 2)
		}
	}
	a.create(t, "m", "r:multiple.v1", "few", "u", 2)
	frame := func(s Summary) []byte {
		o := protocol.SummaryMessage(a.Channel, "m", s.Type, s.JSON)
		o.MessageID = protocol.NewMessageID()
		return o.Frame(protocol.FormatJSON).Text()
	}
	for _, annotationType := range []string{"r:flag.v1", "r:distinct.v1", "r:unique.v1", "r:multiple.v1"} {
		a.MaxFrame = 0
		whole := len(frame(Summary{Type: annotationType, JSON: []byte(a.sums(t, annotationType))}))
		for _, c := range []struct {
			limit, ids int
		}{{whole, 100}, {whole - 1, 64}, {whole * 7 / 10, 64}, {whole / 2, 32}, {whole / 5, 8}, {1, 0}} {
			a.MaxFrame = c.limit
			s, err := NewAnnotationCache(0).Summary(t.Context(), a, "m", annotationType)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(frame(s)); n > c.limit && c.limit > 1 {
				t.Errorf("%s: a frame of %d bytes in %d", annotationType, n, c.limit)
			}
			text := string(s.JSON)
			if n := strings.Count(text, "üü-"); n != c.ids {
				t.Errorf("%s in %d of %d: %d ids, want %d", annotationType, c.limit, whole, n, c.ids)
			}
			// The first ids are named, in their order.
			if c.ids > 0 && (!strings.Contains(text, fmt.Sprintf("ü-%03d", c.ids-1)) || strings.Index(text, "ü-000") > strings.Index(text, "ü-001")) {
				t.Errorf("%s: %s", annotationType, text)
			}
			if clipped := strings.Contains(text, `"clipped":true`); clipped != (c.ids < 100) || s.Clipped != clipped {
				t.Errorf("%s: clipped %v at %d ids", annotationType, clipped, c.ids)
			}
			total := map[string]string{"r:multiple.v1": `"total":200,`}[annotationType]
			if !strings.Contains(text, cmp.Or(total, `"total":100,`)) {
				t.Errorf("%s: not the whole total: %s", annotationType, text)
			}
		}
	}
	// A list that is short enough is whole, whatever others are.
	a.MaxFrame = 1000
	if got := a.sums(t, "r:multiple.v1"); !strings.Contains(got, `"few":{"total":2,"clientCounts":{"u":2},"totalUnidentified":0,"clipped":false,"totalClientIds":1}`) ||
		!strings.Contains(got, `"clipped":true,"totalClientIds":100`) {
		t.Error(got)
	}
}

// A cache keeps the channels that are asked for, within its bytes.
func TestAnnotationCacheIsBounded(t *testing.T) {
	a := annotations(t)
	counting := &counted{History: a.Store}
	a.Store = counting
	cache := NewAnnotationCache(20_000)
	ask := func(i int) {
		t.Helper()
		a.Channel = fmt.Sprint("c", i)
		if s, err := cache.Summary(t.Context(), a, "m", "r:flag.v1"); err != nil || !strings.Contains(string(s.JSON), `"total":5,`) {
			t.Fatalf("%s, %v", s.JSON, err)
		}
		wantCosts(t, cache)
	}
	for i := range 50 {
		a.Channel = fmt.Sprint("c", i)
		for client := range 5 {
			a.create(t, "m", "r:flag.v1", "", fmt.Sprint(client), 0)
		}
		ask(i)
		ask(0)
	}
	if len(cache.channels) < 5 || len(cache.channels) > 20 {
		t.Errorf("%d channels", len(cache.channels))
	}
	counting.reads = 0
	if ask(0); counting.reads != 0 {
		t.Errorf("a channel that is always asked for was read %d times", counting.reads)
	}
	rebuilt := 0
	cache.Rebuilt = func(key storage.LogKey, took time.Duration) {
		if rebuilt++; key != a.Key() || took <= 0 {
			t.Errorf("%v was rebuilt in %s", key, took)
		}
	}
	if ask(0); rebuilt != 0 {
		t.Error("a channel that was there is rebuilt")
	}
	if ask(1); counting.reads != 1 || rebuilt != 1 {
		t.Errorf("a channel that had gone was read %d times, and rebuilt %d times", counting.reads, rebuilt)
	}
}

// counted counts reads.
type counted struct {
	storage.History
	reads int
}

func (c *counted) Read(ctx context.Context, key storage.LogKey, stream string, q storage.LogQuery) ([]storage.LogEntry, error) {
	c.reads++
	return c.History.Read(ctx, key, stream, q)
}

// Those who tell of changes do so one after the other, with totals that never fall.
func TestChangesAreToldInOrder(t *testing.T) {
	a := annotations(t)
	cache := NewAnnotationCache(1)
	var told []string
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			for range 10 {
				if err := a.Create(context.Background(), &protocol.Annotation{MessageSerial: "m", Type: "r:total.v1"}); err != nil {
					t.Error(err)
				}
				if err := cache.Change(context.Background(), a, "m", "r:total.v1", func(s Summary) error {
					told = append(told, fmt.Sprintf("%s %09s", s.Serial, s.JSON[9:len(s.JSON)-1]))
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if len(told) != 200 || !slices.IsSorted(told) || told[199] != annotationSerial(200)+" 000000200" {
		t.Errorf("%d told, %q", len(told), told)
	}
	wantCosts(t, cache)
}

// Who waits for a channel that somebody else has gives up with its context.
func TestWaitingForAChannelEnds(t *testing.T) {
	a, cache := annotations(t), NewAnnotationCache(0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := cache.Change(t.Context(), a, "m", "r:total.v1", func(Summary) error {
		_, err := cache.Summary(ctx, a, "m", "r:total.v1")
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := cache.Summary(t.Context(), a, "m", "r:total.v1"); err != nil {
		t.Error(err)
	}
	if _, err := cache.Summary(t.Context(), a, "m", "r:none.v1"); err == nil {
		t.Error("a type that is none has a summary")
	}
}
