package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// histories are two holds on the logs of one store.
type histories struct{ here, there storage.History }

func (h histories) Close() error { return errors.Join(h.here.Close(), h.there.Close()) }

// TestHistory checks a history against its contract. open gives what two nodes have
// that share a store, which may be the same history twice.
func TestHistory(t *testing.T, open func(t *testing.T) (here, there storage.History)) {
	t.Attr("contract", "history")
	runAll(t, func(t *testing.T) histories {
		here, there := open(t)
		return histories{here, there}
	}, []subtest[histories]{
		{"missing", logMissing},
		{"serials, rows and totals", logCounts},
		{"entries come as they are", logEntries},
		{"slices are copied", logCopies},
		{"keys are apart", logKeys},
		{"several at once", logBatch},
		{"queries", logQueries},
		{"subjects", logSubjects},
		{"once", logOnce},
		{"after", logAfter},
		{"time never goes back", logTime},
		{"trim", logTrim},
		{"trim many", logTrimMany},
		{"reset", logReset},
		{"state", logStates},
		{"due", logDue},
		{"senseless calls", logSenseless},
		{"too large", logTooLarge},
		{"one of many begins", logBeginRace},
		{"many append", logAppendRace},
		{"many append once", logOnceRace},
		{"many append after", logAfterRace},
		{"ended context", logEnded},
		{"closed", logClosed},
	})
}

func logKey() storage.LogKey { return storage.LogKey{App: "app" + weird, Channel: unique()} }

// addTo appends one entry and demands that it succeeds.
func addTo(t *testing.T, h storage.History, a *storage.LogAppend) storage.LogEntry {
	t.Helper()
	if a.Fresh == "" {
		a.Fresh = "id"
	}
	h.Append(t.Context(), []*storage.LogAppend{a})
	must(t, a.Err)
	return a.Entry
}

// fill appends rows with the given payloads, the first at 1000 ms and each a second later.
func fill(t *testing.T, h storage.History, key storage.LogKey, payloads ...string) {
	t.Helper()
	appends := make([]*storage.LogAppend, len(payloads))
	for i, p := range payloads {
		appends[i] = &storage.LogAppend{Key: key, Fresh: "id", At: int64(1000 * (i + 1)), Row: true, Payload: []byte(p)}
	}
	h.Append(t.Context(), appends)
	for _, a := range appends {
		must(t, a.Err)
	}
}

// head is where a log stands, which has to exist.
func (h histories) head(t *testing.T, key storage.LogKey) storage.LogHead {
	t.Helper()
	one, err := h.here.Head(t.Context(), key)
	must(t, err)
	other, err := h.there.Head(t.Context(), key)
	must(t, err)
	if one != other {
		t.Fatalf("here the head is %+v, there %+v", one, other)
	}
	return one
}

func (h histories) wantHead(t *testing.T, key storage.LogKey, want storage.LogHead) {
	t.Helper()
	if got := h.head(t, key); got != want {
		t.Fatalf("head %+v, want %+v", got, want)
	}
}

// read reads from a node that has not written.
func (h histories) read(t *testing.T, key storage.LogKey, q storage.LogQuery) []storage.LogEntry {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	entries, err := h.there.Read(t.Context(), key, "id", q)
	must(t, err)
	return entries
}

func (h histories) wantSerials(t *testing.T, key storage.LogKey, q storage.LogQuery, want ...uint64) {
	t.Helper()
	got := []uint64{}
	for _, e := range h.read(t, key, q) {
		got = append(got, e.Serial)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%+v reads %v, want %v", q, got, want)
	}
}

func logMissing(t *testing.T, h histories) {
	key := logKey()
	if _, err := h.here.Head(t.Context(), key); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("head of nothing: %v", err)
	}
	h.wantSerials(t, key, storage.LogQuery{})
	latest, err := h.here.Latest(t.Context(), key, "id", []string{"x"})
	if must(t, err); len(latest) != 0 {
		t.Fatalf("latest of nothing: %v", latest)
	}
	must(t, h.here.Trim(t.Context(), key, "id", 5))
	must(t, h.here.Mark(t.Context(), key, "id", storage.LogState{Name: "degraded", Since: 1}))
	if _, err := h.here.Head(t.Context(), key); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("head of what nobody has begun: %v", err)
	}
}

func logCounts(t *testing.T, h histories) {
	key := logKey()
	row := func(p string) *storage.LogAppend {
		return &storage.LogAppend{Key: key, At: 5, Row: true, Payload: []byte(p)}
	}
	other := func(p string) *storage.LogAppend {
		return &storage.LogAppend{Key: key, At: 6, Payload: []byte(p), Fresh: "unused"}
	}
	wants := []storage.LogEntry{
		{Serial: 1, Row: 1, IsRow: true, At: 5, Total: 3, Size: 3},
		{Serial: 2, Row: 1, At: 6, Total: 3, Size: 4},
		{Serial: 3, Row: 2, IsRow: true, At: 6, Total: 5, Size: 2},
		{Serial: 4, Row: 2, At: 6, Total: 5, Size: 0},
	}
	for i, a := range []*storage.LogAppend{row("abc"), other("defg"), row("hi"), other("")} {
		if got := addTo(t, h.here, a); fmt.Sprint(got) != fmt.Sprint(wants[i]) || a.Stream != "id" {
			t.Fatalf("append %d: %+v in %q, want %+v", i, got, a.Stream, wants[i])
		}
	}
	h.wantHead(t, key, storage.LogHead{Stream: "id", Serial: 4, Row: 2, At: 6, Total: 5, First: 1})
	for i, e := range h.read(t, key, storage.LogQuery{Bare: true}) {
		if fmt.Sprint(e) != fmt.Sprint(wants[i]) {
			t.Fatalf("entry %+v, want %+v", e, wants[i])
		}
	}
	h.wantSerials(t, key, storage.LogQuery{Rows: true}, 1, 3)
	h.wantSerials(t, key, storage.LogQuery{Rows: true, Reverse: true, Limit: 1}, 3)
	h.wantSerials(t, key, storage.LogQuery{FromRow: 2}, 3, 4)
	h.wantSerials(t, key, storage.LogQuery{ToRow: 1}, 1, 2)
	h.wantSerials(t, key, storage.LogQuery{FromTotal: 4}, 3, 4)
	h.wantSerials(t, key, storage.LogQuery{FromTotal: 4, Rows: true}, 3)
}

func logEntries(t *testing.T, h histories) {
	key := logKey()
	texts := []string{weird, "", "\x00\x00", "\xff\xfe\x00\r\n", strings.Repeat("0123456789abcdef", 4<<10), "0000000000000001", "héllo 世界 \u2028"}
	for i, text := range texts {
		short := text[:min(len(text), 200)]
		addTo(t, h.here, &storage.LogAppend{
			Key: key, At: int64(i), Row: true, Subject: strings.ToValidUTF8(strings.ReplaceAll(short, "\x00", ""), ""),
			Once: fmt.Sprint(i, strings.ToValidUTF8(strings.ReplaceAll(short, "\x00", ""), "")), Payload: []byte(text),
		})
	}
	for i, e := range h.read(t, key, storage.LogQuery{}) {
		short := strings.ToValidUTF8(strings.ReplaceAll(texts[i][:min(len(texts[i]), 200)], "\x00", ""), "")
		if string(e.Payload) != texts[i] || e.Size != len(texts[i]) || e.Subject != short || e.Once != fmt.Sprint(i, short) {
			t.Fatalf("entry %d: %.80q %d %q %q", i, e.Payload, e.Size, e.Subject, e.Once)
		}
	}
	for _, e := range h.read(t, key, storage.LogQuery{Bare: true}) {
		if e.Payload != nil {
			t.Fatalf("a bare entry has the payload %.80q", e.Payload)
		}
	}
}

func logCopies(t *testing.T, h histories) {
	key, payload := logKey(), []byte("entry")
	addTo(t, h.here, &storage.LogAppend{Key: key, Payload: payload})
	payload[0] = 'X'
	for range 2 {
		read := h.read(t, key, storage.LogQuery{})
		if string(read[0].Payload) != "entry" {
			t.Fatalf("read %q", read[0].Payload)
		}
		read[0].Payload[1] = 'X'
	}
}

func logKeys(t *testing.T, h histories) {
	key := logKey()
	keys := []storage.LogKey{
		key,
		{App: key.App, Channel: key.Channel + " "},
		{App: key.App, Channel: strings.ToUpper(key.Channel)},
		{App: key.App + " ", Channel: key.Channel},
		{App: "", Channel: key.App + key.Channel},
		{App: key.App, Channel: "[presence-history]" + key.Channel},
		{App: key.App + ":x", Channel: "y"},
		{App: key.App, Channel: "x:y"},
	}
	for i, k := range keys {
		addTo(t, h.here, &storage.LogAppend{Key: k, Fresh: fmt.Sprint("id", i), Payload: fmt.Append(nil, i), Subject: "s", Once: "o"})
	}
	must(t, h.here.Reset(t.Context(), keys[1], "again"))
	for i, k := range keys {
		want, id := fmt.Sprint(i), fmt.Sprint("id", i)
		if i == 1 {
			want, id = "", "again"
		}
		read, err := h.there.Read(t.Context(), k, id, storage.LogQuery{Limit: 10})
		must(t, err)
		var got []byte
		for _, e := range read {
			got = append(got, e.Payload...)
		}
		if string(got) != want {
			t.Fatalf("%v has %q, want %q", k, got, want)
		}
	}
}

func logBatch(t *testing.T, h histories) {
	one, two := logKey(), logKey()
	var appends []*storage.LogAppend
	for i := range 40 {
		key := one
		if i%2 == 1 {
			key = two
		}
		appends = append(appends, &storage.LogAppend{Key: key, Fresh: "id", Row: true, Payload: fmt.Append(nil, i), Once: fmt.Sprint(i / 20 * 100), Subject: "s"})
		if i%20 > 1 {
			appends[i].Once = ""
		}
	}
	appends[10].Once = "0"          // of the first
	appends[11].After = new(uint64) // the subject has entries
	h.here.Append(t.Context(), appends)
	for i, a := range appends {
		want := error(nil)
		switch i {
		case 10:
			want = storage.ErrExists
		case 11:
			want = storage.ErrConflict
		}
		if !errors.Is(a.Err, want) {
			t.Fatalf("append %d: %v, want %v", i, a.Err, want)
		}
	}
	if e := appends[10].Entry; e.Serial != 1 || appends[10].Stream != "id" {
		t.Fatalf("what is there already: %+v", appends[10])
	}
	if errors.Is(appends[11].Err, storage.ErrExists) {
		t.Fatalf("a conflict says that the entry is there: %v", appends[11].Err)
	}
	for k, key := range []storage.LogKey{one, two} {
		var got, want []byte
		for i, e := range h.read(t, key, storage.LogQuery{}) {
			got = append(append(got, e.Payload...), ' ')
			if e.Serial != uint64(i+1) {
				t.Fatalf("entry %d has the serial %d", i, e.Serial)
			}
		}
		for i := k; i < 40; i += 2 {
			if i != 10 && i != 11 {
				want = fmt.Append(want, i, " ")
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("log %d has %q, want %q", k, got, want)
		}
	}
}

func logQueries(t *testing.T, h histories) {
	key := logKey()
	fill(t, h.here, key, "a", "bb", "ccc", "dd", "e", "ffffff", "g")
	for _, c := range []struct {
		q    storage.LogQuery
		want []uint64
	}{
		{storage.LogQuery{}, []uint64{1, 2, 3, 4, 5, 6, 7}},
		{storage.LogQuery{Reverse: true}, []uint64{7, 6, 5, 4, 3, 2, 1}},
		{storage.LogQuery{Limit: 3}, []uint64{1, 2, 3}},
		{storage.LogQuery{Limit: 3, Reverse: true}, []uint64{7, 6, 5}},
		{storage.LogQuery{From: 3, To: 5}, []uint64{3, 4, 5}},
		{storage.LogQuery{From: 3, To: 5, Reverse: true, Limit: 2}, []uint64{5, 4}},
		{storage.LogQuery{From: 8}, nil},
		{storage.LogQuery{From: 1 << 40}, nil},
		{storage.LogQuery{To: 1 << 40, From: 7}, []uint64{7}},
		{storage.LogQuery{From: 5, To: 4}, nil},
		{storage.LogQuery{FromRow: 6}, []uint64{6, 7}},
		{storage.LogQuery{ToRow: 2, Rows: true}, []uint64{1, 2}},
		{storage.LogQuery{FromRow: 2, ToRow: 3}, []uint64{2, 3}},
		{storage.LogQuery{FromRow: 9}, nil},
		{storage.LogQuery{FromAt: 3000}, []uint64{3, 4, 5, 6, 7}},
		{storage.LogQuery{FromAt: 3001}, []uint64{4, 5, 6, 7}},
		{storage.LogQuery{ToAt: 2999}, []uint64{1, 2}},
		{storage.LogQuery{FromAt: 2000, ToAt: 3000, Reverse: true}, []uint64{3, 2}},
		{storage.LogQuery{FromAt: 99999}, nil},
		{storage.LogQuery{ToAt: 1}, nil},
		{storage.LogQuery{FromTotal: 9}, []uint64{5, 6, 7}},
		{storage.LogQuery{FromTotal: 10, Limit: 1}, []uint64{6}},
		{storage.LogQuery{FromTotal: 17}, nil},
		{storage.LogQuery{From: 2, FromRow: 3, FromAt: 1, ToAt: 6000, To: 5, FromTotal: 8}, []uint64{4, 5}},
	} {
		h.wantSerials(t, key, c.q, c.want...)
	}
	other, err := h.here.Read(t.Context(), key, "other", storage.LogQuery{Limit: 10})
	if must(t, err); len(other) != 0 {
		t.Fatalf("the log of another id has %v", other)
	}
	for _, limit := range []int{0, -1} {
		none, err := h.here.Read(t.Context(), key, "id", storage.LogQuery{Limit: limit})
		if must(t, err); len(none) != 0 {
			t.Fatalf("limit %d reads %v", limit, none)
		}
	}
}

func logSubjects(t *testing.T, h histories) {
	key := logKey()
	for i, s := range []string{"a", "b", "a", "", "A", "a", "b", weird} {
		addTo(t, h.here, &storage.LogAppend{Key: key, Subject: s, Payload: fmt.Append(nil, "p", i), Row: i < 2})
	}
	h.wantSerials(t, key, storage.LogQuery{Subject: "a"}, 1, 3, 6)
	h.wantSerials(t, key, storage.LogQuery{Subject: "a", Reverse: true, Limit: 2}, 6, 3)
	h.wantSerials(t, key, storage.LogQuery{Subject: "a", From: 2, To: 5}, 3)
	h.wantSerials(t, key, storage.LogQuery{Subject: "a", Rows: true}, 1)
	h.wantSerials(t, key, storage.LogQuery{Subject: "b", From: 3, Reverse: true}, 7)
	h.wantSerials(t, key, storage.LogQuery{Subject: weird}, 8)
	h.wantSerials(t, key, storage.LogQuery{Subject: "nobody"})
	latest, err := h.there.Latest(t.Context(), key, "id", []string{"a", "b", "A", weird, "nobody", "a"})
	must(t, err)
	got := map[string]string{}
	for s, e := range latest {
		got[s] = fmt.Sprint(e.Serial, " ", string(e.Payload), " ", e.Subject == s)
	}
	want := map[string]string{"a": "6 p5 true", "b": "7 p6 true", "A": "5 p4 true", weird: "8 p7 true"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("latest %v, want %v", got, want)
	}
	must(t, h.here.Trim(t.Context(), key, "id", 7))
	h.wantSerials(t, key, storage.LogQuery{Subject: "a"})
	h.wantSerials(t, key, storage.LogQuery{Subject: "b"}, 7)
	if latest, err = h.there.Latest(t.Context(), key, "id", []string{"a", "b"}); err != nil || len(latest) != 1 || latest["b"].Serial != 7 {
		t.Fatalf("latest after a trim: %v, %v", latest, err)
	}
	if latest, err = h.there.Latest(t.Context(), key, "id", nil); err != nil || len(latest) != 0 {
		t.Fatalf("latest of no subject: %v, %v", latest, err)
	}
}

func logOnce(t *testing.T, h histories) {
	key := logKey()
	first := addTo(t, h.here, &storage.LogAppend{Key: key, At: 7, Row: true, Subject: "s", Once: weird, Payload: []byte("first")})
	again := &storage.LogAppend{Key: key, Fresh: "other", At: 9, Once: weird, Payload: []byte("again"), After: new(uint64)}
	h.there.Append(t.Context(), []*storage.LogAppend{again})
	if !errors.Is(again.Err, storage.ErrExists) || fmt.Sprint(again.Entry) != fmt.Sprint(first) || again.Stream != "id" {
		t.Fatalf("again: %v, %+v in %q; want %+v", again.Err, again.Entry, again.Stream, first)
	}
	h.wantSerials(t, key, storage.LogQuery{}, 1)
	addTo(t, h.here, &storage.LogAppend{Key: key, Once: strings.ToUpper(weird) + "x"})
	must(t, h.here.Trim(t.Context(), key, "id", 2))
	addTo(t, h.here, &storage.LogAppend{Key: key, Once: weird})
	h.wantSerials(t, key, storage.LogQuery{}, 2, 3)
}

func logAfter(t *testing.T, h histories) {
	key := logKey()
	try := func(subject string, after uint64, want error) {
		t.Helper()
		a := &storage.LogAppend{Key: key, Fresh: "id", Subject: subject, After: &after}
		h.here.Append(t.Context(), []*storage.LogAppend{a})
		if !errors.Is(a.Err, want) || (want == nil) != (a.Err == nil) {
			t.Fatalf("%s after %d: %v, want %v", subject, after, a.Err, want)
		}
	}
	try("a", 1, storage.ErrConflict)
	if _, err := h.here.Head(t.Context(), key); err != nil && !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
	try("a", 0, nil)
	try("b", 0, nil)
	try("a", 0, storage.ErrConflict)
	try("a", 2, storage.ErrConflict)
	try("a", 1, nil)
	try("b", 2, nil)
	h.wantSerials(t, key, storage.LogQuery{}, 1, 2, 3, 4)
	must(t, h.here.Trim(t.Context(), key, "id", 4))
	try("a", 3, storage.ErrConflict) // it is gone
	try("a", 0, nil)
	h.wantSerials(t, key, storage.LogQuery{}, 4, 5)
}

func logTime(t *testing.T, h histories) {
	key := logKey()
	for i, at := range []int64{100, 50, 200, 199} {
		want := []int64{100, 100, 200, 200}[i]
		if e := addTo(t, h.here, &storage.LogAppend{Key: key, At: at}); e.At != want {
			t.Fatalf("at %d became %d, want %d", at, e.At, want)
		}
	}
	h.wantSerials(t, key, storage.LogQuery{FromAt: 101}, 3, 4)
}

var _ io.Closer = histories{}
