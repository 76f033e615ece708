package sockudo

import (
	"bytes"
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/redis"
)

// otherNode changes apps as another node does.
func otherNode(t *testing.T, server *redistest.Server, apps ...*storage.App) *redis.AppManager {
	t.Helper()
	m, err := redis.OpenAppManager(t.Context(), redis.Options{Addresses: []string{server.Addr()}, Password: server.Password}, "", nil)
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

// What another node changes reaches open sockets within a second, long before the
// record would be read again.
//
// Checklist: configuration 39
func TestRedisAppsAreWatched(t *testing.T) {
	t.Setenv("TEST_REDIS_PASSWORD", "hush")
	server := redistest.Start(t, "--requirepass", "hush")
	app := &storage.App{ID: "a", Key: "a-key", Secret: "a-secret", Enabled: true}
	node := otherNode(t, server, app)
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\nrate_limiter {\nenabled off\n}\napp_cache {\nnegative_ttl 1h\n}\napp_manager redis {\naddress "+server.Addr()+"\npassword {env.TEST_REDIS_PASSWORD}\n}\n}"))
	live := dial(t, "127.0.0.1:"+port, "/app/a-key")
	off := *app
	off.Enabled = false
	start := time.Now()
	if err := node.PutApp(t.Context(), &off, storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	live.expectClose(4003) // within seconds, and not the 300 of app_cache
	t.Logf("it took %v", time.Since(start))
	if code := refusal(t, port, "b-key"); code != 4001 {
		t.Errorf("a key that nobody has: %d", code)
	}
	if err := node.PutApp(t.Context(), &storage.App{ID: "b", Key: "b-key", Secret: "s", Enabled: true}, storage.NoVersion); err != nil {
		t.Fatal(err)
	}
	// A key that was unknown is known before negative_ttl is over.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		c, resp, err := websocket.DefaultDialer.Dial("ws://127.0.0.1:"+port+"/app/b-key", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		_, text, err := c.ReadMessage()
		_ = c.Close()
		if err == nil && bytes.Contains(text, []byte("pusher:connection_established")) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the new app is not known: %s", text)
		}
	}
	if strings.Contains(s.logged(), "hush") {
		t.Error("the log shows the password")
	}
}

// Checklist: configuration 40, 41
func TestRedisOutage(t *testing.T) {
	server := redistest.Start(t)
	otherNode(t, server, &storage.App{ID: "a", Key: "a-key", Secret: "a-secret", Enabled: true})
	s, port := newServer(t), freePort(t)
	directive := func(addr string) string {
		return site(port, "sockudo {\nhealth_timeout 500ms\nrate_limiter {\nenabled off\n}\napp_manager redis {\naddress "+addr+"\npassword hush\n}\n}")
	}
	if err := s.load("", directive("127.0.0.1:1")); err == nil || !strings.Contains(err.Error(), "app_manager: opening redis: redis 127.0.0.1:1/0: ") || strings.Contains(err.Error(), "hush") {
		t.Errorf("a server that is not there: %v", err)
	}
	s.mustLoad("", directive(server.Addr()))
	live := dial(t, "127.0.0.1:"+port, "/app/a-key")
	if err := s.load("", directive("127.0.0.1:1")); err == nil {
		t.Error("a reload with a server that is not there succeeds")
	}
	server.Stop()
	dial(t, "127.0.0.1:"+port, "/app/a-key")
	if code := refusal(t, port, "unknown"); code != 4100 {
		t.Errorf("an unknown app in the outage: %d", code)
	}
	if status, header := signed(t, port, "unknown", "k", "s"); status != http.StatusServiceUnavailable || header.Get("Retry-After") != "1" {
		t.Errorf("a call for an unknown app in the outage: %d %v", status, header)
	}
	if status, _ := request(t, "GET", "http://127.0.0.1:"+port+"/up", nil); status != http.StatusServiceUnavailable {
		t.Errorf("/up in the outage: %d", status)
	}
	live.send(`{"event":"pusher:ping","data":{}}`)
	live.expect("pusher:pong")
	server.Restart()
	otherNode(t, server, &storage.App{ID: "a", Key: "a-key", Secret: "a-secret", Enabled: true}, &storage.App{ID: "b", Key: "b-key", Secret: "s", Enabled: true})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if status, _ := signed(t, port, "b", "b-key", "s"); status == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the store is not used again")
		}
	}
	live.send(`{"event":"pusher:ping","data":{}}`)
	live.expect("pusher:pong")
}

// Reloads leave no connection behind.
//
// Checklist: configuration 121
func TestReloadsLeaveNoRedisConnection(t *testing.T) {
	server := redistest.Start(t)
	s, port := newServer(t), freePort(t)
	count := func() int { return strings.Count(server.MustDo("CLIENT", "LIST"), "\n") }
	before := count()
	for i := range 20 {
		db := map[bool]string{true: "1", false: "0"}[i%2 == 0]
		s.mustLoad("", site(port, "sockudo {\n"+appBlock+"app_manager redis {\naddress "+server.Addr()+"\ndb "+db+"\n}\n}"))
	}
	most := count()
	s.mustLoad("", "")
	for end := time.Now().Add(10 * time.Second); count() > before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections are left, %d before", count(), before)
		}
	}
	if most > before+20 {
		t.Errorf("%d connections after 20 reloads, %d before", most, before)
	}
}

// idempotent publishes an event of the app "demo" with a key.
func idempotent(t *testing.T, port, key, data string) (status int, body string) {
	t.Helper()
	const path = "/apps/demo/events"
	text := []byte(`{"name":"e","channel":"room","data":"` + data + `"}`)
	query := fmt.Sprintf("auth_key=demo-key&auth_timestamp=%d&auth_version=1.0&body_md5=%x", time.Now().Unix(), md5.Sum(text))
	r, err := http.NewRequest("POST", "http://127.0.0.1:"+port+path+"?"+query+"&auth_signature="+protocol.Sign("s3cr3t-canary", "POST\n"+path+"\n"+query), bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Idempotency-Key", key)
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// Two hubs with one cache are as two nodes: what one has published, the other does
// not publish again. Without the cache nothing is published.
//
// Checklist: configuration 76, 77
func TestRedisCacheJoinsNodes(t *testing.T) {
	server := redistest.Start(t)
	s, a, b, apart := newServer(t), freePort(t), freePort(t), freePort(t)
	hub := func(name, prefix string) string {
		return "sockudo " + name + " {\nrate_limiter {\nenabled off\n}\n" + appBlock + "cache redis {\nhost 127.0.0.1\nport " + fmt.Sprint(server.Port) + prefix + "\n}\n}"
	}
	s.mustLoad("", site(a, hub("a", "\nprefix x"))+site(b, hub("b", "\nprefix x"))+site(apart, hub("c", "")))
	var sockets []*socket
	for _, port := range []string{a, b, apart} {
		k := dial(t, "127.0.0.1:"+port, "/app/demo-key")
		k.subscribe("room")
		sockets = append(sockets, k)
	}
	status, first := idempotent(t, a, "once", "one")
	if status != http.StatusOK {
		t.Fatal(status, first)
	}
	sockets[0].expect(`"one"`)
	if status, again := idempotent(t, b, "once", "one"); status != http.StatusOK || again != first {
		t.Errorf("the same key on another node: %d %s, first %s", status, again, first)
	}
	if status, _ := idempotent(t, b, "twice", "two"); status != http.StatusOK {
		t.Error(status)
	}
	if frame := sockets[1].expect(`"e"`); !strings.Contains(frame, `"two"`) {
		t.Errorf("the other node has published %s", frame)
	}
	// A hub of another name has keys of its own.
	if status, _ := idempotent(t, apart, "once", "three"); status != http.StatusOK {
		t.Error(status)
	}
	sockets[2].expect(`"three"`)
	if keys := server.MustDo("KEYS", "*once*"); strings.Count(keys, "x:app:demo:") != 1 || strings.Count(keys, "sockudo_cache@c:app:demo:") != 1 {
		t.Errorf("the keys are %q", keys)
	}

	server.Stop()
	if status, text := idempotent(t, a, "later", "four"); status != http.StatusServiceUnavailable {
		t.Errorf("without the cache: %d %s", status, text)
	}
	server.Restart()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if status, _ := idempotent(t, a, "again", "five"); status == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the cache is not used again")
		}
	}
	if frame := sockets[0].expect(`"e"`); !strings.Contains(frame, `"five"`) {
		t.Errorf("published without the cache: %s", frame)
	}
}

// REDIS_URL sends a cache elsewhere, whatever it says of its connection, and makes
// no driver of another one.
//
// Checklist: configuration 25
func TestRedisURL(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "hush{")
	s, port := newServer(t), freePort(t)
	t.Setenv("REDIS_URL", "redis://:hush%7B@"+server.Addr()+"/0")
	block := func(cache string) string {
		return site(port, "sockudo {\nrate_limiter {\nenabled off\n}\n"+appBlock+cache+"\n}")
	}
	var state HubState
	s.mustLoad("", block(""))
	if s.call("GET", "/sockudo/hubs/default", &state); state.Drivers[kindCache] != "memory" {
		t.Errorf("the cache is %s", state.Drivers[kindCache])
	}
	s.mustLoad("", block("cache redis {\naddress 127.0.0.1:1\npassword other\nprefix y\n}"))
	if status, text := idempotent(t, port, "k", "one"); status != http.StatusOK {
		t.Fatal(status, text)
	}
	if keys := server.MustDo("KEYS", "y:*"); keys == "" {
		t.Error("the server of REDIS_URL has no key")
	}
	contains(t, s.logged(), "REDIS_URL")
	if strings.Contains(s.logged(), "hush") {
		t.Error("the log shows the password")
	}
}

// upgrade tries a handshake and tells its status. A socket stays open.
func upgrade(t *testing.T, port string) int {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.Dial("ws://127.0.0.1:"+port+"/app/demo-key", nil)
	if resp == nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if c != nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return resp.StatusCode
}

// Two hubs with one rate limiter are as two nodes: they count together. While it is
// away, one that does not fail open refuses.
//
// Checklist: configuration 93, 94, 100
func TestRedisLimiterJoinsNodes(t *testing.T) {
	server := redistest.Start(t)
	s, a, b := newServer(t), freePort(t), freePort(t)
	hub := func(name, more string) string {
		return "sockudo " + name + " {\n" + appBlock + "rate_limiter redis {\nurl redis://" + server.Addr() + "/0\nprefix x\nlease 20s\nlimits {\nconnection_per_ip 3\n}\napi 5 60s\n" + more + "}\n}"
	}
	s.mustLoad("", site(a, hub("a", ""))+site(b, hub("b", "fail_open on\n")))
	for i, port := range []string{a, b, a} {
		if status := upgrade(t, port); status != http.StatusSwitchingProtocols {
			t.Errorf("socket %d: %d", i, status)
		}
	}
	if status := upgrade(t, b); status != http.StatusTooManyRequests {
		t.Errorf("one socket more than the limit: %d", status)
	}
	if keys := server.MustDo("KEYS", "x:slots:*"); keys != "x:slots:connections:127.0.0.1" {
		t.Errorf("the keys are %q", keys)
	}
	for i := range 6 {
		port := []string{a, b}[i%2]
		status, header := signed(t, port, "demo", "demo-key", "s3cr3t-canary")
		if want := map[bool]int{true: http.StatusOK, false: http.StatusTooManyRequests}[i < 5]; status != want || header.Get("X-Ratelimit-Remaining") != strconv.Itoa(max(4-i, 0)) {
			t.Errorf("call %d: %d %v, want %d", i, status, header, want)
		}
	}

	server.Stop()
	if status := upgrade(t, a); status != http.StatusInternalServerError {
		t.Errorf("a handshake without the limiter: %d", status)
	}
	if status, _ := signed(t, a, "demo", "demo-key", "s3cr3t-canary"); status != http.StatusInternalServerError {
		t.Errorf("a call without the limiter: %d", status)
	}
	if status := upgrade(t, b); status != http.StatusSwitchingProtocols {
		t.Errorf("a handshake without the limiter, failing open: %d", status)
	}
	if status, _ := signed(t, b, "demo", "demo-key", "s3cr3t-canary"); status != http.StatusOK {
		t.Errorf("a call without the limiter, failing open: %d", status)
	}
	// The sockets that are open are told to the server that has forgotten them.
	server.Restart()
	for end := time.Now().Add(30 * time.Second); server.MustDo("ZCARD", "x:slots:connections:127.0.0.1") != "3"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the open sockets are not counted again")
		}
	}
	if status := upgrade(t, a); status != http.StatusTooManyRequests {
		t.Errorf("one socket more than the limit after the restart: %d", status)
	}
}

// Jobs go along from queue to queue by reloads, while some are pushed and others run,
// and none is lost. A change of the login moves nothing upon itself.
func TestQueueSwitches(t *testing.T) {
	t.Setenv("TEST_REDIS_PASSWORD", "hush")
	server, cluster := redistest.Start(t), redistest.StartCluster(t)
	server.MustDo("ACL", "SETUSER", "other", "on", ">hush", "~*", "&*", "+@all")
	s, port := newServer(t), freePort(t)
	queues := []string{
		"sqlite {\npath " + t.TempDir() + "/queue.db\n}",
		"redis {\naddress " + server.Addr() + "\n}",
		"redis {\naddress " + server.Addr() + "\nusername other\npassword {env.TEST_REDIS_PASSWORD}\n}",
		"redis_cluster {\nnodes " + cluster.Nodes[0].Addr() + "\n}",
		"redis {\naddress " + server.Addr() + "\nprefix x:\nconcurrency 2\n}",
		"memory",
	}
	current := func() storage.Queue {
		live, err := findHub("default").Live()
		if err != nil {
			t.Fatal(err)
		}
		defer live.Release()
		return live.Settings.Drivers.Queue
	}
	var mu sync.Mutex
	ran, pushed := map[string]int{}, 0
	done := make(chan struct{})
	for i, queue := range queues {
		s.mustLoad("", site(port, "sockudo {\n"+appBlock+"queue "+queue+"\n}"))
		q := current()
		if i == len(queues)-1 {
			break
		}
		for range 120 {
			job := storage.Job{Queue: "jobs", ID: fmt.Sprint(pushed), Payload: []byte("x")}
			if pushed%3 == 0 {
				job.Delay = 5 * time.Second
			}
			if err := q.Push(t.Context(), job); err != nil {
				t.Fatal(err)
			}
			pushed++
		}
		stop, err := q.Work("jobs", 1, func(_ context.Context, j storage.Job) error {
			mu.Lock()
			defer mu.Unlock()
			ran[j.ID]++
			if len(ran)%20 == 0 {
				select {
				case done <- struct{}{}:
				default:
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		<-done
		if err := stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	last := current()
	stop, err := last.Work("jobs", 4, func(_ context.Context, j storage.Job) error {
		mu.Lock()
		defer mu.Unlock()
		ran[j.ID]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		n := len(ran)
		mu.Unlock()
		if n == pushed {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d jobs ran", n, pushed)
		}
	}
	if err := stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for id, n := range ran {
		if n != 1 {
			t.Errorf("job %s ran %d times", id, n)
		}
	}
	if strings.Contains(s.logged(), "hush") {
		t.Error("the log shows the password")
	}
	t.Logf("%d jobs went through %d queues", pushed, len(queues))
}
