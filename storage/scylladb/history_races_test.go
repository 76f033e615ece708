package scylladb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
)

func logKey() storage.LogKey { return storage.LogKey{App: "app", Channel: tables()} }

// appended appends an entry, which has to succeed.
func appended(t *testing.T, h *History, a *storage.LogAppend) storage.LogEntry {
	t.Helper()
	if a.Fresh == "" {
		a.Fresh = "id"
	}
	h.Append(t.Context(), []*storage.LogAppend{a})
	if a.Err != nil {
		t.Fatal(a.Err)
	}
	return a.Entry
}

// payloads are those of the stream "id" of a log, each with a blank behind it.
func payloads(t *testing.T, h *History, key storage.LogKey) (all string) {
	t.Helper()
	entries, err := h.Read(t.Context(), key, "id", storage.LogQuery{Limit: 10000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all += string(e.Payload) + " "
	}
	return all
}

// isBatch reports whether a request is a transaction that appends.
func isBatch(r cqltest.Request) bool {
	return strings.HasPrefix(r.Text, "BEGIN BATCH") && strings.Contains(r.Text, " IF ")
}

// Two sessions append to one log while the outcome of many transactions stays
// unknown: whether they were made or not, and whether the answer is an error or a
// connection that breaks. Everything that is acknowledged is there once, at the
// serial that was acknowledged, and nothing is there that was never tried.
func TestUnknownOutcomesOfAppends(t *testing.T) {
	const writers, turns = 6, 25
	s, o := server(t, cqltest.Options{})
	histories := []*History{openHistory(t, o, ""), openHistory(t, o, "")}
	key := logKey()
	appended(t, histories[0], &storage.LogAppend{Key: key, Payload: []byte("begin")})
	var unknown sync.Map
	s.Let(func(r cqltest.Request, run func() error) error {
		if !strings.Contains(r.Text, " IF ") || rand.IntN(4) > 0 {
			return nil
		}
		unknown.Store(rand.Int(), true)
		if rand.IntN(2) == 0 {
			if err := run(); err != nil {
				return err
			}
		}
		if rand.IntN(8) == 0 {
			return cqltest.ErrDrop
		}
		return cqltest.WriteTimeout([]string{"CAS", "SIMPLE"}[rand.IntN(2)])
	})
	var mu sync.Mutex
	given := map[uint64]string{1: "begin"}
	tried, failed := map[string]bool{"begin": true}, 0
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := range turns {
				var list []*storage.LogAppend
				for k := range 1 + n%3 {
					text := fmt.Sprint(w, ".", n, ".", k)
					a := &storage.LogAppend{Key: key, Fresh: "x", Subject: fmt.Sprint(w), Payload: []byte(text)}
					if n%2 == 0 {
						a.Once = text // the others would be added twice if they were tried again blindly
					}
					list = append(list, a)
				}
				mu.Lock()
				for _, a := range list {
					tried[string(a.Payload)] = true
				}
				mu.Unlock()
				histories[w%2].Append(t.Context(), list)
				mu.Lock()
				for _, a := range list {
					if a.Err != nil {
						failed++
						t.Logf("append: %v", a.Err)
						continue
					}
					if other, twice := given[a.Entry.Serial]; twice {
						t.Errorf("serial %d went to %s and %s", a.Entry.Serial, other, a.Payload)
					}
					given[a.Entry.Serial] = string(a.Payload)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	s.Let(nil)
	entries, err := histories[1].Read(t.Context(), key, "id", storage.LogQuery{Limit: 10000})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, e := range entries {
		text := string(e.Payload)
		if want, ok := given[e.Serial]; e.Serial != uint64(i+1) || ok && want != text || seen[text] || !tried[text] {
			t.Errorf("entry %d has the serial %d and the payload %s, want %s; seen before: %v, tried: %v", i, e.Serial, text, want, seen[text], tried[text])
		}
		seen[text] = true
	}
	for serial, text := range given {
		if !seen[text] {
			t.Errorf("%s was acknowledged with serial %d and is not there", text, serial)
		}
	}
	outcomes := 0
	unknown.Range(func(any, any) bool { outcomes++; return true })
	t.Logf("FIGURE appends from two sessions with unknown outcomes, CQL server of our own: %d entries, %d of %d acknowledged, %d outcomes unknown", len(entries), len(given), len(tried), outcomes)
	if outcomes < 10 || failed > len(tried)/10 {
		t.Errorf("%d outcomes were unknown, and %d appends failed", outcomes, failed)
	}
}

// Another node is faster, between the reading and the transaction.
func TestFasterNodes(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	slow, fast := openHistory(t, o, ""), openHistory(t, o, "")
	for _, begun := range []bool{true, false} {
		for what, c := range map[string]struct {
			mine storage.LogAppend
			do   func(key storage.LogKey)
			want error
			now  string
		}{
			"once": {storage.LogAppend{Once: "o"}, func(k storage.LogKey) {
				appended(t, fast, &storage.LogAppend{Key: k, Once: "o", Payload: []byte("fast")})
			}, storage.ErrExists, "fast "},
			"after": {storage.LogAppend{Subject: "s", After: new(uint64)}, func(k storage.LogKey) {
				appended(t, fast, &storage.LogAppend{Key: k, Subject: "s", Payload: []byte("fast")})
			}, storage.ErrConflict, "fast "},
			"other": {storage.LogAppend{Once: "o"}, func(k storage.LogKey) { appended(t, fast, &storage.LogAppend{Key: k, Payload: []byte("fast")}) }, nil, "fast slow "},
			"trim":  {storage.LogAppend{}, func(k storage.LogKey) { trimmed(t, fast, k, 2) }, nil, "slow "},
			"reset": {storage.LogAppend{}, func(k storage.LogKey) { reset(t, fast, k, "id") }, nil, "slow "},
		} {
			if what == "trim" && !begun {
				continue // there is nothing to trim
			}
			key := logKey()
			if begun {
				appended(t, fast, &storage.LogAppend{Key: key, Fresh: "old", Payload: []byte("first")})
				if what != "reset" {
					reset(t, fast, key, "id")
					appended(t, fast, &storage.LogAppend{Key: key, Payload: []byte("first")})
				}
				if c.now = "first " + c.now; what == "trim" || what == "reset" {
					c.now = "slow "
				}
			}
			s.Let(func(r cqltest.Request, _ func() error) error {
				if isBatch(r) {
					s.Let(nil)
					c.do(key)
				}
				return nil
			})
			c.mine.Key, c.mine.Fresh, c.mine.Payload = key, "id", []byte("slow")
			slow.Append(t.Context(), []*storage.LogAppend{&c.mine})
			if !errors.Is(c.mine.Err, c.want) || c.want == nil && c.mine.Err != nil {
				t.Errorf("%s, begun %v: %v, want %v", what, begun, c.mine.Err, c.want)
			}
			if got := payloads(t, slow, key); got != c.now {
				t.Errorf("%s, begun %v: the log has %q, want %q", what, begun, got, c.now)
			}
		}
	}
}

func trimmed(t *testing.T, h *History, key storage.LogKey, before uint64) {
	t.Helper()
	if err := h.Trim(t.Context(), key, "id", before); err != nil {
		t.Fatal(err)
	}
}

func reset(t *testing.T, h *History, key storage.LogKey, fresh string) {
	t.Helper()
	if err := h.Reset(t.Context(), key, fresh); err != nil {
		t.Fatal(err)
	}
}

// What was added and has gone before anybody could look is neither acknowledged nor
// added again.
func TestOutcomeThatNobodyCanKnow(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	h, other := openHistory(t, o, ""), openHistory(t, o, "")
	for what, meanwhile := range map[string]func(key storage.LogKey){
		"reset": func(key storage.LogKey) { reset(t, other, key, "new") },
		"trim":  func(key storage.LogKey) { trimmed(t, other, key, 3) },
	} {
		key := logKey()
		appended(t, h, &storage.LogAppend{Key: key})
		s.Let(func(r cqltest.Request, run func() error) error {
			if !isBatch(r) {
				return nil
			}
			s.Let(nil)
			if err := run(); err != nil {
				return err
			}
			meanwhile(key)
			return cqltest.WriteTimeout("CAS")
		})
		a := &storage.LogAppend{Key: key, Fresh: "id", Payload: []byte("x")}
		h.Append(t.Context(), []*storage.LogAppend{a})
		if !errors.Is(a.Err, errUnknown) || errors.Is(a.Err, storage.ErrConflict) || !strings.Contains(a.Err.Error(), o.place()) {
			t.Errorf("%s: %v", what, a.Err)
		}
		if got := payloads(t, h, key); got != "" {
			t.Errorf("%s: the log has %q", what, got)
		}
	}
}

// Trims and resets whose outcome is not known are made all the same, and once.
func TestUnknownOutcomesOfChanges(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	h := openHistory(t, o, "")
	for _, made := range []bool{false, true} {
		key := logKey()
		fault := func() {
			s.Let(func(r cqltest.Request, run func() error) error {
				if !strings.Contains(r.Text, " IF ") {
					return nil
				}
				s.Let(nil)
				if made {
					if err := run(); err != nil {
						return err
					}
				}
				return cqltest.WriteTimeout("CAS")
			})
		}
		fault()
		reset(t, h, key, "old")
		fault()
		reset(t, h, key, "id")
		for _, text := range []string{"a", "b", "c"} {
			appended(t, h, &storage.LogAppend{Key: key, Payload: []byte(text)})
		}
		fault()
		trimmed(t, h, key, 3)
		fault()
		if err := h.Mark(t.Context(), key, "id", storage.LogState{Name: "degraded", Since: 5}); err != nil {
			t.Fatal(err)
		}
		got, err := h.Head(t.Context(), key)
		if want := (storage.LogHead{Stream: "id", Serial: 3, First: 3, State: storage.LogState{Name: "degraded", Since: 5}}); err != nil || got != want {
			t.Errorf("made %v: the head is %+v, want %+v, %v", made, got, want, err)
		}
		if got := payloads(t, h, key); got != "c " {
			t.Errorf("made %v: the log has %q", made, got)
		}
	}
}

// Readers see no hole while others append and trim.
func TestReadersAmongTrims(t *testing.T) {
	_, o := server(t, cqltest.Options{})
	writer, reader := openHistory(t, o, ""), openHistory(t, o, "")
	key := logKey()
	const entries = 600
	var group sync.WaitGroup
	ended := make(chan struct{})
	group.Go(func() {
		defer close(ended)
		for n := 0; n < entries; {
			var list []*storage.LogAppend
			for range 1 + rand.IntN(20) {
				list = append(list, &storage.LogAppend{Key: key, Fresh: "id", Subject: fmt.Sprint(n % 3), Row: true})
				n++
			}
			writer.Append(t.Context(), list)
			for _, a := range list {
				if a.Err != nil {
					t.Error(a.Err)
				}
			}
			if n > 60 {
				if err := writer.Trim(t.Context(), key, "id", uint64(n-rand.IntN(60))); err != nil {
					t.Error(err)
				}
			}
		}
	})
	reads := 0
	for more := true; more; reads++ {
		select {
		case <-ended:
			more = false
		default:
		}
		q := storage.LogQuery{Limit: 1 + rand.IntN(80), Reverse: reads%2 == 0, Bare: reads%3 == 0}
		if reads%5 == 0 {
			q.Subject = "1"
		}
		list, err := reader.Read(t.Context(), key, "id", q)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(list); i++ {
			low, high := list[i-1].Serial, list[i].Serial
			if q.Reverse {
				low, high = high, low
			}
			if q.Subject == "" && high != low+1 || high <= low {
				t.Fatalf("%+v reads serial %d beside %d", q, low, high)
			}
		}
	}
	group.Wait()
	t.Logf("%d reads", reads)
}

// A log is trimmed between two pages of a reader, who begins anew.
func TestTrimsBetweenPages(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	h, other := openHistory(t, o, ""), openHistory(t, o, "")
	const entries = 3 * payloadPage
	for _, reverse := range []bool{false, true} {
		key := logKey()
		var list []*storage.LogAppend
		for range entries {
			list = append(list, &storage.LogAppend{Key: key, Fresh: "id", Subject: "s"})
		}
		h.Append(t.Context(), list)
		s.Let(func(r cqltest.Request, run func() error) error {
			if !strings.Contains(r.Text, "payload FROM") {
				return nil
			}
			s.Let(nil)
			err := run()
			trimmed(t, other, key, 2*payloadPage)
			return err
		})
		read, err := h.Read(t.Context(), key, "id", storage.LogQuery{Limit: entries, Reverse: reverse})
		if err != nil || len(read) != payloadPage+1 {
			t.Fatalf("reverse %v: %d entries, %v", reverse, len(read), err)
		}
		if reverse {
			slices.Reverse(read)
		}
		for i, e := range read {
			if e.Serial != uint64(2*payloadPage+i) {
				t.Errorf("reverse %v: entry %d has the serial %d", reverse, i, e.Serial)
			}
		}
	}
}

// An entry that is missing in the middle, which nothing here does, is an error and
// not passed over.
func TestHolesAreErrors(t *testing.T) {
	_, o := server(t, cqltest.Options{})
	h := openHistory(t, o, "")
	key := logKey()
	for range 3 {
		appended(t, h, &storage.LogAppend{Key: key, Subject: "s", At: 5})
	}
	if err := h.session.Query("DELETE FROM "+h.table+itsKey, logOf(key), []byte("id"), []byte(entryPart), 2).Exec(); err != nil {
		t.Fatal(err)
	}
	for _, q := range []storage.LogQuery{{}, {Reverse: true}, {Subject: "s"}, {FromAt: 5}, {From: 2, To: 2}} {
		q.Limit = 10
		if read, err := h.Read(t.Context(), key, "id", q); !errors.Is(err, errHole) {
			t.Errorf("%+v reads %v, %v", q, read, err)
		}
	}
	if read, err := h.Read(t.Context(), key, "id", storage.LogQuery{From: 3, Limit: 10}); err != nil || len(read) != 1 {
		t.Errorf("behind the hole there is %v, %v", read, err)
	}
}

// The lock of a log is forgotten when nobody wants it, and waiting for it ends.
func TestLocksAreForgotten(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	h := openHistory(t, o, "")
	key := logKey()
	held, met := make(chan struct{}), make(chan struct{})
	s.Let(func(r cqltest.Request, _ func() error) error {
		if isBatch(r) {
			s.Let(nil)
			close(met)
			<-held
		}
		return nil
	})
	var group sync.WaitGroup
	group.Go(func() { appended(t, h, &storage.LogAppend{Key: key}) })
	<-met
	ctx, cancel := contextFor(t, 20*time.Millisecond)
	defer cancel()
	a := &storage.LogAppend{Key: key, Fresh: "id"}
	if h.Append(ctx, []*storage.LogAppend{a}); a.Err == nil || !strings.Contains(a.Err.Error(), "deadline") {
		t.Errorf("waiting for the lock: %v", a.Err)
	}
	appended(t, h, &storage.LogAppend{Key: logKey()}) // others need not wait
	close(held)
	group.Wait()
	if len(h.locks.held) > 0 {
		t.Errorf("%d locks are left", len(h.locks.held))
	}
}
