package storagetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// appended are the positions that many calls have got.
type appended struct {
	mu    sync.Mutex
	texts map[storage.StreamPosition]string
}

func (a *appended) add(t *testing.T, at storage.StreamPosition, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if other, taken := a.texts[at]; taken {
		t.Errorf("%q and %q are both at %v", text, other, at)
	}
	a.texts[at] = text
}

// node is that of the i-th caller.
func (n nodes) node(i int) storage.Streams {
	if i%2 == 0 {
		return n.here
	}
	return n.there
}

func streamBeginRace(t *testing.T, n nodes) {
	const callers = 32
	key := unique()
	var positions [callers]storage.StreamPosition
	atOnce(callers, func(i int) {
		var err error
		if i%4 < 2 {
			positions[i], err = n.node(i).Head(t.Context(), key, fmt.Sprint("id", i), ample)
		} else {
			positions[i], err = n.node(i).Append(t.Context(), key, fmt.Sprint("id", i), []byte("x"), ample)
		}
		if err != nil {
			t.Error(err)
		}
	})
	for i, at := range positions {
		if at.Stream != positions[0].Stream {
			t.Fatalf("call %d is in stream %s, another in %s", i, at.Stream, positions[0].Stream)
		}
	}
	n.wantHead(t, key, "other", ample, positions[0].Stream, callers/2)
}

func streamAppendRace(t *testing.T, n nodes) {
	const callers, each = 16, 25
	key, got := unique(), appended{texts: map[storage.StreamPosition]string{}}
	atOnce(callers, func(i int) {
		last := uint64(0)
		for k := range each {
			text := fmt.Sprint(i, "-", k)
			at, err := n.node(i).Append(t.Context(), key, "id", []byte(text), ample)
			if err != nil {
				t.Error(err)
				return
			}
			if at.Serial <= last {
				t.Errorf("serial %d follows %d", at.Serial, last)
			}
			last = at.Serial
			got.add(t, at, text)
		}
	})
	read := 0
	for after := uint64(0); ; {
		page, err := n.there.After(t.Context(), key, after, 33)
		must(t, err)
		if page.First != 1 || page.Head != (storage.StreamPosition{Stream: "id", Serial: callers * each}) {
			t.Fatalf("first %d, head %v", page.First, page.Head)
		}
		if len(page.Entries) == 0 {
			break
		}
		if page.From != after+1 {
			t.Fatalf("what follows %d begins with %d", after, page.From)
		}
		for _, entry := range page.Entries {
			after++
			if want := got.texts[storage.StreamPosition{Stream: "id", Serial: after}]; string(entry) != want {
				t.Errorf("entry %d is %q, want %q", after, entry, want)
			}
			read++
		}
	}
	if read != callers*each {
		t.Errorf("%d entries were read, want %d", read, callers*each)
	}
}

// Whenever a stream ends, no position is given twice, and no serial is left out.
func streamResetRace(t *testing.T, n nodes) {
	const callers, each = 8, 25
	key, got := unique(), appended{texts: map[storage.StreamPosition]string{}}
	atOnce(callers, func(i int) {
		for k := range each {
			text := fmt.Sprint(i, "-", k)
			at, err := n.node(i).Append(t.Context(), key, "id"+text, []byte(text), ample)
			if err != nil {
				t.Error(err)
				return
			}
			got.add(t, at, text)
			if k%5 == i%5 {
				if err := n.node(i).Reset(t.Context(), key, at.Stream); err != nil {
					t.Error(err)
				}
			}
		}
	})
	count, most := map[string]uint64{}, map[string]uint64{}
	for at := range got.texts {
		count[at.Stream]++
		most[at.Stream] = max(most[at.Stream], at.Serial)
	}
	if len(count) < 2 {
		t.Error("no reset has ended a stream")
	}
	for id, serials := range count {
		if serials != most[id] {
			t.Errorf("stream %s has %d entries up to %d", id, serials, most[id])
		}
	}
}
