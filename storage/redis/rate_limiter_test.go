package redis

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
)

// slotsOf counts the slots that the server knows of a key, expired or not.
func slotsOf(t *testing.T, l *RateLimiter, key string) int64 {
	t.Helper()
	n, err := l.client.ZCard(context.Background(), l.slots+key).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func acquire(t *testing.T, l *RateLimiter, key, holder string, limit int, want bool) {
	t.Helper()
	if ok, err := l.Acquire(t.Context(), key, holder, limit); ok != want || err != nil {
		t.Errorf("Acquire(%s, %s, %d) = %v, %v; want %v", key, holder, limit, ok, err, want)
	}
}

// A key takes little room, whatever its limit.
func TestWindowIsSmall(t *testing.T) {
	server := redistest.Start(t)
	l := openLimiter(t, at(server), "", 0)
	for start := time.Now(); time.Since(start) < time.Second; {
		if d, err := l.Allow(t.Context(), "k", 1000, 1<<30, time.Second); err != nil || !d.Allowed {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	size, err := strconv.Atoi(server.MustDo("STRLEN", "sockudo_rl:rl:k"))
	if err != nil || size > 2000 || size < 100 {
		t.Errorf("%d bytes, %v", size, err)
	}
	if ttl := server.MustDo("PTTL", "sockudo_rl:rl:k"); len(ttl) > 4 {
		t.Errorf("it lives %s ms", ttl)
	}
}

// When the server's clock is set back, what was counted counts for one window more at
// most.
func TestClockSetBack(t *testing.T) {
	server := redistest.Start(t)
	l := openLimiter(t, at(server), "", 0)
	future := strconv.FormatInt(time.Now().Add(time.Hour).UnixMicro(), 10)
	server.MustDo("EVAL", "return redis.call('SET', KEYS[1], cmsgpack.pack({"+future+","+future+",5}))", "1", "sockudo_rl:rl:k")
	d, err := l.Allow(t.Context(), "k", 1, 5, 300*time.Millisecond)
	if err != nil || d.Allowed || d.Reset > 300*time.Millisecond {
		t.Errorf("%+v, %v", d, err)
	}
	d, err = l.Allow(t.Context(), "k", 0, 5, 300*time.Millisecond)
	if err != nil || !d.Allowed || d.Remaining != 0 {
		t.Errorf("asking for what is left: %+v, %v", d, err)
	}
}

// Slots and windows are those of all nodes.
func TestLimitsSpanNodes(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		prefix := ownPrefix(t, o)
		here := openLimiter(t, o, prefix, 0)
		o.PoolSize = 4
		there := openLimiter(t, o, prefix, 0)
		acquire(t, here, "k", "a", 2, true)
		acquire(t, there, "k", "b", 2, true)
		acquire(t, here, "k", "c", 2, false)
		if err := there.Release(t.Context(), "k", "b"); err != nil {
			t.Error(err)
		}
		acquire(t, here, "k", "c", 2, true)
		for i, l := range []*RateLimiter{here, there, here} {
			if d, err := l.Allow(t.Context(), "k", 1, 2, time.Hour); err != nil || d.Allowed != (i < 2) {
				t.Errorf("event %d: %+v, %v", i, d, err)
			}
		}
		// What is closed gives back what it holds.
		if err := here.Close(); err != nil {
			t.Error(err)
		}
		if n := slotsOf(t, there, "k"); n != 0 {
			t.Errorf("%d slots are left", n)
		}
	})
}

// holderVariable makes the test binary the node that is killed. Its value is the
// address of the server.
const holderVariable = "SOCKUDO_HOLD_SLOTS"

// holdSlots takes slots and says so, until it is killed.
func holdSlots(address string) error {
	l, err := OpenRateLimiter(context.Background(), Options{Addresses: []string{address}}, RateLimiterOptions{Lease: 2 * time.Second}, nil)
	if err != nil {
		return err
	}
	for i := range 2 {
		if ok, err := l.Acquire(context.Background(), "ip", fmt.Sprint("victim-", i), 3); !ok || err != nil {
			return fmt.Errorf("%v, %w", ok, err)
		}
	}
	_, _ = fmt.Fprintln(os.Stdout, "held")
	select {}
}

// The slots of a node that lives are kept for longer than a lease, and those of one
// that is killed are free after it.
//
// Checklist: configuration 94
func TestKilledNodeLosesItsSlots(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	victim := exec.Command(self)
	victim.Env = append(os.Environ(), holderVariable+"="+server.Addr())
	victim.Stderr = os.Stderr
	out, err := victim.StdoutPipe()
	if err == nil {
		err = victim.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = victim.Process.Kill(); _ = victim.Wait() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatal(line, err)
	}
	l := openLimiter(t, at(server), "", 2*time.Second)
	acquire(t, l, "ip", "own", 3, true)
	for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(50 * time.Millisecond) {
		acquire(t, l, "ip", "one more", 3, false)
	}
	_ = victim.Process.Kill()
	killed := time.Now()
	until(t, "free slot", func() bool {
		ok, err := l.Acquire(t.Context(), "ip", "one more", 3)
		return ok && err == nil
	})
	t.Logf("a slot of the killed node was free after %v", time.Since(killed))
	acquire(t, l, "ip", "another", 3, true)
	acquire(t, l, "ip", "too many", 3, false)
}

// Slots that the server has lost are told again, and those that are given back in the
// meantime are not.
func TestSlotsOutliveTheServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	l := openLimiter(t, at(server), "", 3*time.Second)
	for i := range 5 {
		acquire(t, l, "ip", fmt.Sprint(i), 5, true)
	}
	server.Stop()
	if err := l.Release(t.Context(), "ip", "0"); err == nil {
		t.Error("giving a slot back without the server succeeds")
	}
	if _, err := l.Acquire(t.Context(), "ip", "new", 5); err == nil || !strings.Contains(err.Error(), server.Addr()) {
		t.Errorf("taking a slot without the server: %v", err)
	}
	acquire(t, l, "ip", "1", 5, true) // which it has
	server.Restart()
	until(t, "renewal", func() bool { return slotsOf(t, l, "ip") == 4 })
	acquire(t, l, "ip", "new", 5, true)
	acquire(t, l, "ip", "too many", 5, false)
}

// A slot that is given back while it is being renewed is not left behind.
func TestRenewalRevivesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		l := openLimiter(t, o, ownPrefix(t, o), time.Hour)
		acquire(t, l, "one", "a", 9, true)
		acquire(t, l, "one", "b", 9, true)
		acquire(t, l, "two", "c", 9, true)
		acquire(t, l, "three", "d", 9, true)
		batch, lease, _ := l.held.take(time.Now().Add(time.Hour))
		if len(batch) != 3 {
			t.Fatalf("%d keys are due", len(batch))
		}
		for key, holder := range map[string]string{"one": "a", "two": "c", "three": "d"} {
			if err := l.Release(t.Context(), key, holder); err != nil {
				t.Error(err)
			}
		}
		acquire(t, l, "three", "e", 9, true)
		if keys, err := l.renewBatch(t.Context(), batch, lease); keys != 3 || err != nil {
			t.Errorf("%d keys renewed, %v", keys, err)
		}
		for key, want := range map[string]int64{"one": 1, "two": 0, "three": 1} {
			if n := slotsOf(t, l, key); n != want {
				t.Errorf("%d slots of %s are left, want %d", n, key, want)
			}
		}
		if len(l.held.keys) != 2 || l.held.line.Len() != 2 {
			t.Errorf("%d keys are held, %d in the line", len(l.held.keys), l.held.line.Len())
		}
	})
}

// Slots come and go while all others are renewed all the time, and none is left.
func TestRenewalsUnderChurn(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		l := openLimiter(t, o, ownPrefix(t, o), 0)
		const keys = 20
		stop := make(chan struct{})
		var renewing, churning sync.WaitGroup
		renewing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					l.SetLease(time.Minute) // makes all of them due
					time.Sleep(200 * time.Microsecond)
				}
			}
		})
		for worker := range 4 {
			churning.Go(func() {
				for i := range 300 {
					key, holder := fmt.Sprint("ip-", i%keys), fmt.Sprint(worker, "-", i)
					if ok, err := l.Acquire(t.Context(), key, holder, 1000); !ok || err != nil {
						t.Error(ok, err)
					}
					if err := l.Release(t.Context(), key, holder); err != nil {
						t.Error(err)
					}
				}
			})
		}
		churning.Wait()
		close(stop)
		renewing.Wait()
		until(t, "end of the slots", func() bool { // long before the lease is over
			left := int64(0)
			for i := range keys {
				left += slotsOf(t, l, fmt.Sprint("ip-", i))
			}
			return left == 0
		})
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if n := len(l.held.keys) + l.held.line.Len(); n != 0 {
			t.Errorf("%d keys are still held", n)
		}
	})
}

// Thousands of slots are renewed in time, also many of one key.
func TestManySlots(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, o Options) {
		const keys, holders, lease = 4000, 1500, 3 * time.Second
		l := openLimiter(t, o, ownPrefix(t, o), lease)
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for i := worker; i < keys; i += 8 {
					acquire(t, l, fmt.Sprint("ip-", i), "h", 1, true)
				}
				for i := worker; i < holders; i += 8 {
					acquire(t, l, "proxy", fmt.Sprint(i), holders, true)
				}
			})
		}
		all.Wait()
		time.Sleep(2 * lease)
		now := time.Now().UnixMilli() // the server's clock is ours
		count := func(key string) int64 {
			n, err := l.client.ZCount(t.Context(), l.slots+key, strconv.FormatInt(now, 10), "+inf").Result()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := count("proxy"); n != holders {
			t.Errorf("%d of %d slots of one key live", n, holders)
		}
		for i := 0; i < keys; i += 7 {
			if count(fmt.Sprint("ip-", i)) != 1 {
				t.Fatalf("slot %d has expired", i)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// One node of a cluster that is silent does not cost the slots on others.
func TestSilentNodeSparesOthers(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, "--cluster-require-full-coverage", "no")
	const keys, lease = 3000, 4 * time.Second
	l := openLimiter(t, Options{Cluster: true, Addresses: cluster.Addrs()}, "", lease)
	for i := range keys {
		acquire(t, l, fmt.Sprint("ip-", i), "h", 1, true)
	}
	silent := cluster.Nodes[1]
	silent.Freeze()
	defer silent.Thaw()
	time.Sleep(3 * lease)
	now := strconv.FormatInt(time.Now().UnixMilli(), 10)
	for _, node := range []*redistest.Server{cluster.Nodes[0], cluster.Nodes[2]} {
		alive := node.MustDo("EVAL", "local n, all = 0, redis.call('KEYS', '*') for _, k in ipairs(all) do n = n + redis.call('ZCOUNT', k, ARGV[1], '+inf') end return n", "0", now)
		if n, err := strconv.Atoi(alive); err != nil || n < keys/4 {
			t.Errorf("%s slots live on the node at port %d", alive, node.Port)
		}
	}
	silent.Thaw()
	until(t, "renewal on the node that is back", func() bool {
		n, err := silent.Do("DBSIZE")
		return err == nil && n != "0"
	})
}
