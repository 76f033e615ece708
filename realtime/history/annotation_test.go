package history

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// annotations are those of a channel in a store of its own.
func annotations(t testing.TB) Annotations {
	t.Helper()
	store := memory.NewHistory(0)
	t.Cleanup(func() { _ = store.Close() })
	return Annotations{Store: store, App: "app", Channel: "chat", Now: 1_700_000_000_000}
}

// create adds an annotation, written as "type name client count".
func (a Annotations) create(t testing.TB, message, annotationType, name, client string, count uint64) protocol.Annotation {
	t.Helper()
	one := protocol.Annotation{MessageSerial: message, Type: annotationType, Name: name, ClientID: client, Count: count}
	if err := a.Create(t.Context(), &one); err != nil {
		t.Fatal(err)
	}
	return one
}

func (a Annotations) remove(t testing.TB, message, serial string) (one protocol.Annotation, done bool) {
	t.Helper()
	found, err := a.Find(t.Context(), message, serial)
	if err != nil {
		t.Fatal(err)
	}
	one, done, err = a.Delete(t.Context(), &found)
	if err != nil {
		t.Fatal(err)
	}
	return one, done
}

// sums is the summary of a type on message m.
func (a Annotations) sums(t testing.TB, annotationType string) string {
	t.Helper()
	s, err := NewAnnotationCache(0).Summary(t.Context(), a, "m", annotationType)
	if err != nil {
		t.Fatal(err)
	}
	return string(s.JSON)
}

func TestAnnotationSerials(t *testing.T) {
	for _, n := range []uint64{1, 42, 1<<64 - 1} {
		if got, ok := ParseAnnotationSerial(annotationSerial(n)); got != n || !ok {
			t.Errorf("%d: %d, %v", n, got, ok)
		}
	}
	for _, text := range []string{
		"", "ann:", "ann:1", "ann:0000000000000000000x", "ann:+0000000000000000001", "ann:99999999999999999999", "anN:00000000000000000001", "ann:000000000000000000001",
	} {
		if n, ok := ParseAnnotationSerial(text); ok {
			t.Errorf("%q is %d", text, n)
		}
	}
}

func TestFindAndDelete(t *testing.T) {
	a := annotations(t)
	if _, err := a.Find(t.Context(), "m", annotationSerial(1)); !errors.Is(err, ErrNoAnnotation) {
		t.Error("without a log:", err)
	}
	first := a.create(t, "m", "r:distinct.v1", "like", "u1", 3)
	if first.Serial != "ann:00000000000000000001" || first.ID == "" || first.At != a.Now {
		t.Errorf("%+v", first)
	}
	deleted, done := a.remove(t, "m", first.Serial)
	want := protocol.Annotation{
		Action: "annotation.delete", Serial: "ann:00000000000000000002", MessageSerial: "m", Type: "r:distinct.v1", Name: "like", ClientID: "u1", Count: 3, At: a.Now,
	}
	if fmt.Sprint(deleted) != fmt.Sprint(want) || !done {
		t.Errorf("got %+v, %v, want %+v", deleted, done, want)
	}
	if _, done := a.remove(t, "m", first.Serial); done {
		t.Error("deleted twice")
	}
	for serial, want := range map[string]error{
		"ann:00000000000000000000": ErrNoAnnotation, "ann:00000000000000000003": ErrNoAnnotation, "else": ErrNoAnnotation, deleted.Serial: ErrAnnotationNoCreate,
	} {
		if _, err := a.Find(t.Context(), "m", serial); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", serial, err, want)
		}
	}
	if _, err := a.Find(t.Context(), "n", deleted.Serial); !errors.Is(err, ErrAnnotatesAnother) {
		t.Error(err)
	}
	if head, _ := a.Store.Head(t.Context(), a.Key()); head.Serial != 2 {
		t.Errorf("the log has %d entries", head.Serial)
	}
}

// Many nodes delete the same annotation, and one of them does it.
func TestDeletesAtOnce(t *testing.T) {
	a := annotations(t)
	one := a.create(t, "m", "r:total.v1", "", "", 0)
	found, err := a.Find(t.Context(), "m", one.Serial)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	done := make(chan bool, 16)
	for range cap(done) {
		group.Go(func() {
			_, did, err := a.Delete(context.Background(), &found)
			done <- did && err == nil
		})
	}
	group.Wait()
	close(done)
	times := 0
	for did := range done {
		if did {
			times++
		}
	}
	if head, _ := a.Store.Head(t.Context(), a.Key()); times != 1 || head.Serial != 2 {
		t.Errorf("%d deletes, %d entries", times, head.Serial)
	}
}

// An annotation that was found before its log was reset takes nothing from the next.
func TestDeleteAfterAReset(t *testing.T) {
	a := annotations(t)
	old := a.create(t, "m", "r:total.v1", "", "", 0)
	found, err := a.Find(t.Context(), "m", old.Serial)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Store.Reset(t.Context(), a.Key(), "next"); err != nil {
		t.Fatal(err)
	}
	a.create(t, "m", "r:total.v1", "", "", 0)
	if _, _, err := a.Delete(t.Context(), &found); err != nil {
		t.Fatal(err)
	}
	if got := a.sums(t, "r:total.v1"); got != `{"total":1}` {
		t.Error(got)
	}
	if _, done := a.remove(t, "m", old.Serial); !done {
		t.Error("the annotation of the new log counts as deleted")
	}
}

func TestListOfAnnotations(t *testing.T) {
	a := annotations(t)
	if page, err := a.List(t.Context(), "m", "", 0, 2); err != nil || len(page.Items) > 0 || page.Next != "" {
		t.Errorf("without a log: %+v, %v", page, err)
	}
	for i := range 5 {
		a.create(t, "m", "r:total.v1", "", "", uint64(i+1))
		a.create(t, "n", "r:total.v1", "", "", 9)
		a.create(t, "m", "r:flag.v1", "", "u", 0)
	}
	for _, c := range []struct {
		annotationType string
		limit          int
		want           string
	}{
		{"", 4, "1 3 4 6|7 9 10 12|13 15"},
		{"", 5, "1 3 4 6 7|9 10 12 13 15"},
		{"r:total.v1", 2, "1 4|7 10|13"},
		{"r:flag.v1", 100, "3 6 9 12 15"},
		{"r:multiple.v1", 1, ""},
	} {
		var pages []string
		for after := uint64(0); ; {
			page, err := a.List(t.Context(), "m", c.annotationType, after, c.limit)
			if err != nil {
				t.Fatal(err)
			}
			var serials []string
			for _, one := range page.Items {
				n, _ := ParseAnnotationSerial(one.Serial)
				serials = append(serials, fmt.Sprint(n))
			}
			pages = append(pages, strings.Join(serials, " "))
			if page.Next == "" {
				break
			}
			after, _ = ParseAnnotationSerial(page.Next)
		}
		if got := strings.Join(pages, "|"); got != c.want {
			t.Errorf("%s by %d: %s, want %s", c.annotationType, c.limit, got, c.want)
		}
	}
}

// A page looks at a bounded number of entries, and says where it goes on.
func TestListIsBounded(t *testing.T) {
	a := annotations(t)
	for range annotationScan + 2*annotationChunk {
		a.create(t, "m", "r:total.v1", "", "", 0)
	}
	a.create(t, "m", "r:flag.v1", "", "u", 0)
	page, err := a.List(t.Context(), "m", "r:flag.v1", 0, 10)
	if err != nil || len(page.Items) > 0 || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	after, _ := ParseAnnotationSerial(page.Next)
	if page, err = a.List(t.Context(), "m", "r:flag.v1", after, 10); err != nil || len(page.Items) != 1 || page.Next != "" {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestAnnotationPageJSON(t *testing.T) {
	page := AnnotationPage{}
	if got := string(page.AppendJSON(nil, "c", "m", 7)); got != `{"channel":"c","messageSerial":"m","limit":7,"hasMore":false,"nextCursor":null,"items":[]}` {
		t.Error(got)
	}
	page = AnnotationPage{Items: []protocol.Annotation{{Action: "a", At: 1}, {Action: "b", At: 2}}, Next: "ann:2"}
	const want = `{"channel":"c","messageSerial":"m","limit":2,"hasMore":true,"nextCursor":"ann:2","items":[{"action":"a","timestamp":1},{"action":"b","timestamp":2}]}`
	if got := string(page.AppendJSON(nil, "c", "m", 2)); got != want {
		t.Error(got)
	}
}

// What is older than versions may be is not there, even while the log still has it.
func TestAgeOfAnnotations(t *testing.T) {
	a := annotations(t)
	a.Age = time.Minute
	old := a.create(t, "m", "r:total.v1", "", "", 0)
	a.Now += 30_000
	a.create(t, "m", "r:total.v1", "", "", 0)
	cache := NewAnnotationCache(0)
	total := func(want string) {
		t.Helper()
		if s, err := cache.Summary(t.Context(), a, "m", "r:total.v1"); err != nil || string(s.JSON) != want {
			t.Errorf("%s, %v, want %s", s.JSON, err, want)
		}
	}
	total(`{"total":2}`)
	a.Now += 30_001
	total(`{"total":1}`)
	if _, err := a.Find(t.Context(), "m", old.Serial); !errors.Is(err, ErrNoAnnotation) {
		t.Error(err)
	}
	if page, err := a.List(t.Context(), "m", "", 0, 10); err != nil || len(page.Items) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	a.Age = time.Hour
	total(`{"total":2}`)
	a.Age = time.Minute
	a.Now += 60_000
	total(`{"total":0}`)
	if err := a.Log().Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if head, err := a.Store.Head(t.Context(), a.Key()); err != nil || head.First != 3 {
		t.Errorf("%+v, %v", head, err)
	}
	if s, err := cache.Summaries(t.Context(), a); err != nil || len(s) > 0 {
		t.Errorf("%v, %v", s, err)
	}
	a.create(t, "m", "r:total.v1", "", "", 0)
	total(`{"total":1}`)
}

var errDown = errors.New("store is down")

// failing is a store that fails.
type failing struct{ storage.History }

func (failing) Head(context.Context, storage.LogKey) (storage.LogHead, error) {
	return storage.LogHead{}, errDown
}

func TestAStoreThatFails(t *testing.T) {
	a := annotations(t)
	a.create(t, "m", "r:total.v1", "", "", 0)
	a.Store = failing{a.Store}
	cache := NewAnnotationCache(0)
	for _, f := range []func() error{
		func() error { _, err := a.Find(t.Context(), "m", annotationSerial(1)); return err },
		func() error { _, err := a.List(t.Context(), "m", "", 0, 1); return err },
		func() error { _, err := cache.Summaries(t.Context(), a); return err },
		func() error { _, err := cache.Summary(t.Context(), a, "m", "r:total.v1"); return err },
	} {
		if err := f(); !errors.Is(err, errDown) {
			t.Error(err)
		}
	}
}
