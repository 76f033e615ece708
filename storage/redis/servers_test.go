package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// process owns the servers that tests share.
var process redistest.Process

func TestMain(m *testing.M) {
	if address := os.Getenv(holderVariable); address != "" {
		if err := holdSlots(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	if addresses := os.Getenv(queueVariable); addresses != "" {
		fmt.Fprintln(os.Stderr, workUntilKilled(addresses))
		os.Exit(1)
	}
	if addresses := os.Getenv(historyVariable); addresses != "" {
		fmt.Fprintln(os.Stderr, appendUntilKilled(addresses))
		os.Exit(1)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // most of these tests wait
		panic(err)
	}
	code := m.Run()
	process.End()
	os.Exit(code)
}

// sentinelsOf and clusterOf start what many tests share and none of them stops.
var (
	sentinelsOf = sync.OnceValue(func() *redistest.Sentinels { return redistest.StartSentinels(&process, "") })
	clusterOf   = sync.OnceValue(func() *redistest.Cluster { return redistest.StartCluster(&process) })
)

// standing is the server of this machine, or the one that TEST_REDIS_URL names.
func standing(t *testing.T) Options {
	t.Helper()
	o, err := (&Connection{URL: orText(os.Getenv("TEST_REDIS_URL"), "redis://127.0.0.1:6379/0")}).options(false)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// onEach runs a test against every kind of Redis: one server, a master that Sentinels
// find, and a cluster.
func onEach(t *testing.T, f func(t *testing.T, o Options)) {
	for _, kind := range []struct {
		name  string
		start func(t *testing.T) Options
	}{
		{"single", standing},
		{"sentinel", func(*testing.T) Options { return sentinelOptions(sentinelsOf()) }},
		{"cluster", func(*testing.T) Options { return Options{Cluster: true, Addresses: clusterOf().Addrs()} }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			o := kind.start(t)
			storagetest.Engine(t, engineOf(t, kind.name, o))
			f(t, o)
		})
	}
}

func sentinelOptions(s *redistest.Sentinels) Options {
	return Options{Sentinel: &SentinelOptions{Master: redistest.MasterName, Addresses: s.Addrs()}}
}

// engineOf names the software that a suite runs against.
func engineOf(t *testing.T, kind string, o Options) string {
	t.Helper()
	c := connect(t, o)
	info := c.Info(t.Context(), "server").Val()
	_, version, ok := strings.Cut(info, "redis_version:")
	if !ok {
		t.Fatalf("the server does not tell its version: %s", info)
	}
	version, _, _ = strings.Cut(version, "\r")
	return map[string]string{"single": "redis", "sentinel": "redis by Sentinel", "cluster": "redis_cluster"}[kind] + ": Redis " + version
}

func connect(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := Connect(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ownPrefix is one that no other test uses. Its keys go away with the test.
func ownPrefix(t *testing.T, o Options) string {
	t.Helper()
	prefix := "test-" + strings.ToLower(rand.Text()[:12]) + ":"
	t.Cleanup(func() {
		c, err := Connect(context.Background(), o, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		remove := func(ctx context.Context, node *redis.Client) error {
			keys, err := node.Keys(ctx, prefix+"*").Result()
			for _, key := range keys {
				err = errors.Join(err, node.Del(ctx, key).Err())
			}
			return err
		}
		if cluster, ok := c.UniversalClient.(*redis.ClusterClient); ok {
			err = cluster.ForEachMaster(context.Background(), remove)
		} else if node, ok := c.UniversalClient.(*redis.Client); ok {
			err = remove(context.Background(), node)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return prefix
}

func openApps(t *testing.T, o Options, prefix string, apps ...*storage.App) *AppManager {
	t.Helper()
	m, err := OpenAppManager(t.Context(), o, prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	for _, app := range apps {
		if err := m.PutApp(t.Context(), app, storage.NoVersion); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// until waits for what must happen.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

func openLimiter(t *testing.T, o Options, prefix string, lease time.Duration) *RateLimiter {
	t.Helper()
	l, err := OpenRateLimiter(context.Background(), o, RateLimiterOptions{Prefix: prefix, Lease: lease}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
