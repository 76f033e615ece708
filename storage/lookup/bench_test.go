package lookup_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/lookup"
	"github.com/sockudo/caddy-sockudo/storage/sql"
)

// BenchmarkAppByKey looks apps up by their keys, 100 of them and 8 callers, with
// the cache and without, over each database.
func BenchmarkAppByKey(b *testing.B) {
	for dialect, o := range map[string]sql.Options{
		"sqlite":   {Dialect: sql.SQLite, Path: b.TempDir() + "/apps.db"},
		"postgres": {Dialect: sql.Postgres, DSN: cmp.Or(os.Getenv("TEST_POSTGRES_DSN"), "postgres://root@127.0.0.1:5432/test")},
		"mysql":    {Dialect: sql.MySQL, DSN: cmp.Or(os.Getenv("TEST_MYSQL_DSN"), "root@tcp(127.0.0.1:3306)/test")},
	} {
		for name, options := range map[string]lookup.Options{"on": {}, "off": {Off: true}} {
			b.Run(dialect+"/cache="+name, func(b *testing.B) { benchLookups(b, o, options) })
		}
	}
}

func benchLookups(b *testing.B, o sql.Options, options lookup.Options) {
	ctx := context.Background()
	store, err := sql.OpenAppManager(ctx, o, "bench_lookup_apps", nil)
	if err != nil {
		b.Fatal(err)
	}
	apps := lookup.New(store, options)
	b.Cleanup(func() {
		for n := range 100 {
			_ = store.DeleteApp(ctx, fmt.Sprint("app-", n), storage.AnyVersion)
		}
		_ = apps.Close()
	})
	for n := range 100 {
		app := &storage.App{ID: fmt.Sprint("app-", n), Key: fmt.Sprint("key-", n), Secret: "secret", Enabled: true}
		if err := apps.PutApp(ctx, app, storage.NoVersion); err != nil {
			b.Fatal(err)
		}
	}
	times := make([]time.Duration, b.N)
	var callers sync.WaitGroup
	b.ResetTimer()
	for c := range 8 {
		callers.Go(func() {
			for i := c; i < b.N; i += 8 {
				start := time.Now()
				if _, err := apps.AppByKey(ctx, fmt.Sprint("key-", i%100)); err != nil {
					b.Error(err)
					return
				}
				times[i] = time.Since(start)
			}
		})
	}
	callers.Wait()
	b.StopTimer()
	slices.Sort(times)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s")
	b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "p99-ns")
}
