package redis

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

func openCache(t *testing.T, o Options, prefix string) *Cache {
	t.Helper()
	c, err := OpenCache(context.Background(), o, CacheOptions{Prefix: prefix, MaxValueSize: 1 << 20}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCacheSuite(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		storagetest.TestCache(t, func(t *testing.T) storage.Cache { return openCache(t, o, ownPrefix(t, o)) })
	})
}

func TestCacheKeys(t *testing.T) {
	server := redistest.Start(t)
	c := openCache(t, at(server), "")
	if err := c.Set(t.Context(), "app:1:x", []byte("v"), 90*time.Second); err != nil {
		t.Fatal(err)
	}
	if value := server.MustDo("GET", "sockudo_cache:app:1:x"); value != "v" {
		t.Errorf("the value is %q", value)
	}
	if err := c.Set(t.Context(), "short", []byte("v"), time.Microsecond); err != nil {
		t.Errorf("a time to live of less than a millisecond: %v", err)
	}
	if err := c.Set(t.Context(), strings.Repeat("k", 1025), nil, time.Second); err == nil {
		t.Error("a key of 1025 bytes is taken")
	}
	other := openCache(t, at(server), "other")
	if _, err := other.Get(t.Context(), "app:1:x"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a value under another prefix: %v", err)
	}
}

// A value that is stored here is seen there, and lives on when its writer is closed.
func TestCacheIsShared(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		prefix := ownPrefix(t, o)
		here := openCache(t, o, prefix)
		o.PoolSize = 3
		there := openCache(t, o, prefix)
		if ok, err := here.SetIfAbsent(t.Context(), "k", []byte("v"), time.Minute); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := there.SetIfAbsent(t.Context(), "k", []byte("w"), time.Minute); ok || err != nil {
			t.Errorf("the same key again: %v, %v", ok, err)
		}
		_ = here.Close()
		if value, err := there.Get(t.Context(), "k"); err != nil || string(value) != "v" {
			t.Errorf("%q, %v", value, err)
		}
	})
}

func TestFullServer(t *testing.T) {
	server := redistest.Start(t)
	c := openCache(t, at(server), "")
	if err := c.Set(t.Context(), "there", []byte("v"), time.Minute); err != nil {
		t.Fatal(err)
	}
	server.MustDo("CONFIG", "SET", "maxmemory", "1")
	_, absent := c.SetIfAbsent(t.Context(), "k", []byte("v"), time.Minute)
	_, swapped := c.CompareAndSwap(t.Context(), "there", []byte("v"), []byte("w"), time.Minute)
	for name, err := range map[string]error{"Set": c.Set(t.Context(), "k", []byte("v"), time.Minute), "SetIfAbsent": absent, "CompareAndSwap": swapped} {
		if !errors.Is(err, storage.ErrFull) || !strings.Contains(err.Error(), server.Addr()) {
			t.Errorf("%s on a server without memory: %v", name, err)
		}
	}
	if value, err := c.Get(t.Context(), "there"); err != nil || string(value) != "v" {
		t.Errorf("%q, %v", value, err)
	}
}

// A cluster is as well as all of its masters.
func TestCheckOfACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	c := openCache(t, Options{Cluster: true, Addresses: cluster.Addrs()}, "")
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, node := range cluster.Nodes {
		node.Stop()
		if err := c.Check(t.Context()); err == nil {
			t.Errorf("the check passes without the node on port %d", node.Port)
		}
		node.Restart()
		until(t, "check with all nodes", func() bool { return c.Check(t.Context()) == nil })
	}
}
