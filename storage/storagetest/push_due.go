package storagetest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// due are the names of what is due, in the order in which it comes.
func (p pushes) due(t *testing.T, table string, now int64, limit int) string {
	t.Helper()
	records, err := p.there.Due(t.Context(), table, now, limit)
	must(t, err)
	var names []string
	for _, r := range records {
		names = append(names, r.Key.Name)
	}
	return strings.Join(names, " ")
}

func (p pushes) eventuallyDue(t *testing.T, table string, now int64, limit int, want string) {
	t.Helper()
	got := ""
	defer func() {
		if t.Failed() {
			t.Logf("due at %d are %q, want %q", now, got, want)
		}
	}()
	eventually(t, "due "+want, func() bool {
		got = p.due(t, table, now, limit)
		return got == want
	})
}

func pushDue(t *testing.T, p pushes) {
	const second = 1000
	key := pushKeyOf("x")
	at := func(name string, due int64) storage.PushChange {
		c := putOf(named(key, name), "value of "+name)
		c.Due = due
		return c
	}
	c := at("c", 30*second)
	p.apply(t, c, at("a", 10*second), at("never", 0), at("b", 20*second), at("d", 40*second))
	p.eventuallyDue(t, key.Table, 40*second, 10, "a b c d")
	p.eventuallyDue(t, key.Table, 40*second-1, 10, "a b c")
	p.eventuallyDue(t, key.Table, 40*second, 2, "a b")
	p.eventuallyDue(t, key.Table, 10*second-1, 10, "")
	for _, limit := range []int{0, -1} {
		if got := p.due(t, key.Table, 40*second, limit); got != "" {
			t.Fatalf("limit %d lists %s", limit, got)
		}
	}
	records, err := p.there.Due(t.Context(), key.Table, 30*second, 3)
	must(t, err)
	sameRecord(t, records[2], c)
	// Put off, put earlier, never again, gone, and made by adding.
	made := addOf(named(key, "made"), 1)
	made.Due = 50 * second
	p.apply(t, at("a", 60*second), at("d", 5*second), at("b", 0), deleteOf(c.Key), made)
	p.eventuallyDue(t, key.Table, 100*second, 10, "d made a")
	again := addOf(made.Key, 1)
	again.Due = second
	p.apply(t, again) // which leaves it
	p.eventuallyDue(t, key.Table, 100*second, 10, "d made a")
	p.apply(t, deleteOf(made.Key), deleteOf(named(key, "a")), at("d", 0))
	p.eventuallyDue(t, key.Table, 1<<50, 10, "")
}

// pushDueApps has one table in several apps, with more than comes at once.
func pushDueApps(t *testing.T, p pushes) {
	key := pushKeyOf("x")
	want := ""
	var changes []storage.PushChange
	for i := range 150 {
		c := putOf(named(key, fmt.Sprint(i)), "")
		c.Key.App, c.Key.Group = fmt.Sprint(key.App, i%3), fmt.Sprint(i%7)
		c.Due = int64(200-i) * 2000
		changes = append(changes, c)
		want = fmt.Sprint(i, " ", want)
	}
	p.apply(t, changes...)
	p.eventuallyDue(t, key.Table, 1<<45, 1000, strings.TrimSpace(want))
	p.eventuallyDue(t, key.Table, 1<<45, 3, "149 148 147")
	// Whoever works off what is due finds all of it.
	seen := map[string]bool{}
	eventually(t, "end of what is due", func() bool {
		records, err := p.here.Due(t.Context(), key.Table, 1<<45, 40)
		must(t, err)
		var gone []storage.PushChange
		for _, r := range records {
			if !seen[r.Key.Name] {
				gone = append(gone, on(deleteOf(r.Key), r.Version))
			}
			seen[r.Key.Name] = true
		}
		p.apply(t, gone...)
		return len(records) == 0 && len(seen) == 150
	})
}

// pushCalls are all calls.
func pushCalls(s storage.PushStore, key storage.PushKey) []call {
	return []call{
		{"Get", func(ctx context.Context) error {
			_, err := s.Get(ctx, key)
			return err
		}},
		{"List", func(ctx context.Context) error {
			_, err := s.List(ctx, storage.PushQuery{App: key.App, Table: key.Table, Limit: 1})
			return err
		}},
		{"Apply", func(ctx context.Context) error { return s.Apply(ctx, putOf(key, "new")) }},
		{"Apply of two", func(ctx context.Context) error { return s.Apply(ctx, putOf(key, "new"), deleteOf(named(key, "z"))) }},
		{"Due", func(ctx context.Context) error {
			_, err := s.Due(ctx, key.Table, 1, 1)
			return err
		}},
	}
}

func pushEnded(t *testing.T, p pushes) {
	c := putOf(pushKeyOf("a"), "old")
	p.apply(t, c)
	testEnded(t, pushCalls(p.here, c.Key))
	p.want(t, c)
}

func pushClosed(t *testing.T, p pushes) {
	c := putOf(pushKeyOf("a"), "old")
	p.apply(t, c)
	testClosed(t, p.here, pushCalls(p.here, c.Key))
}
