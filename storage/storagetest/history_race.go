package storagetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// racers is how many append at once, on two nodes, and turns how often each.
const racers, turns = 8, 12

// race runs the racers, half of them on each node.
func (h histories) race(run func(on storage.History, racer int)) {
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() {
			on := h.here
			if i%2 == 1 {
				on = h.there
			}
			run(on, i)
		})
	}
	all.Wait()
}

func logBeginRace(t *testing.T, h histories) {
	key := logKey()
	streams := make([]string, racers)
	h.race(func(on storage.History, i int) {
		a := &storage.LogAppend{Key: key, Fresh: fmt.Sprint("id", i)}
		on.Append(t.Context(), []*storage.LogAppend{a})
		if a.Err != nil {
			t.Errorf("append %d: %v", i, a.Err)
		}
		streams[i] = a.Stream
	})
	for _, s := range streams {
		if s != streams[0] {
			t.Fatalf("the log was begun as %v", streams)
		}
	}
	if head := h.head(t, key); head.Serial != racers || head.Stream != streams[0] {
		t.Fatalf("head %+v", head)
	}
}

func logAppendRace(t *testing.T, h histories) {
	key := logKey()
	addTo(t, h.here, &storage.LogAppend{Key: key, Row: true})
	var mu sync.Mutex
	given := map[uint64]string{1: ""}
	h.race(func(on storage.History, i int) {
		last := uint64(0)
		for n := range turns {
			var appends []*storage.LogAppend
			for k := range 1 + n%3 {
				appends = append(appends, &storage.LogAppend{Key: key, Fresh: "x", Row: true, At: int64(n), Payload: fmt.Append(nil, i, " ", n, " ", k)})
			}
			on.Append(t.Context(), appends)
			for _, a := range appends {
				if a.Err != nil {
					t.Errorf("append: %v", a.Err)
					return
				}
				if a.Entry.Serial <= last || a.Entry.Row != a.Entry.Serial {
					t.Errorf("after serial %d came %+v", last, a.Entry)
				}
				last = a.Entry.Serial
				mu.Lock()
				if other, twice := given[last]; twice {
					t.Errorf("serial %d went to %q and %q", last, other, a.Payload)
				}
				given[last] = string(a.Payload)
				mu.Unlock()
			}
		}
	})
	entries := h.read(t, key, storage.LogQuery{})
	if len(entries) != len(given) || h.head(t, key).Serial != uint64(len(given)) {
		t.Fatalf("%d entries of %d, head %+v", len(entries), len(given), h.head(t, key))
	}
	at, total := int64(0), uint64(0)
	for i, e := range entries {
		total += uint64(e.Size)
		if e.Serial != uint64(i+1) || given[e.Serial] != string(e.Payload) || e.At < at || e.Total != total {
			t.Fatalf("entry %d: %+v, payload %q, given %q", i, e, e.Payload, given[e.Serial])
		}
		at = e.At
	}
}

func logOnceRace(t *testing.T, h histories) {
	key := logKey()
	for n := range turns {
		var mu sync.Mutex
		serials := map[uint64]int{}
		added := 0
		h.race(func(on storage.History, i int) {
			a := &storage.LogAppend{Key: key, Fresh: "id", Once: fmt.Sprint(n), Payload: fmt.Append(nil, i)}
			on.Append(t.Context(), []*storage.LogAppend{a})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.Err == nil:
				added++
			case !errors.Is(a.Err, storage.ErrExists):
				t.Errorf("once: %v", a.Err)
			}
			serials[a.Entry.Serial]++
		})
		if added != 1 || len(serials) != 1 || serials[uint64(n+1)] != racers {
			t.Fatalf("turn %d: %d were added, serials %v", n, added, serials)
		}
	}
}

func logAfterRace(t *testing.T, h histories) {
	key := logKey()
	h.race(func(on storage.History, _ int) {
		for done := 0; done < turns; {
			newest := uint64(0)
			if latest, err := on.Latest(t.Context(), key, "id", []string{"s"}); err != nil {
				t.Errorf("latest: %v", err)
				return
			} else if e, ok := latest["s"]; ok {
				newest = e.Serial
			}
			a := &storage.LogAppend{Key: key, Fresh: "id", Subject: "s", After: &newest, Payload: fmt.Append(nil, newest)}
			on.Append(t.Context(), []*storage.LogAppend{a})
			switch {
			case a.Err == nil:
				done++
			case !errors.Is(a.Err, storage.ErrConflict) || errors.Is(a.Err, storage.ErrExists):
				t.Errorf("after %d: %v", newest, a.Err)
				return
			}
		}
	})
	entries := h.read(t, key, storage.LogQuery{})
	if len(entries) != racers*turns {
		t.Fatalf("%d entries", len(entries))
	}
	for i, e := range entries {
		if string(e.Payload) != fmt.Sprint(i) {
			t.Fatalf("entry %d followed %s", i+1, e.Payload)
		}
	}
}
