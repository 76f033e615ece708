package sockudo

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
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
	s.mustLoad("", site(port, "sockudo {\nrate_limiter {\nenabled off\n}\napp_manager redis {\naddress "+server.Addr()+"\npassword {env.TEST_REDIS_PASSWORD}\n}\n}"))
	live := dial(t, "127.0.0.1:"+port, "/app/a-key")
	off := *app
	off.Enabled = false
	start := time.Now()
	if err := node.PutApp(t.Context(), &off, storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	live.expectClose(4003)
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if code := refusal(t, port, "b-key"); code != 4001 {
		t.Errorf("a key that nobody has: %d", code)
	}
	if err := node.PutApp(t.Context(), &storage.App{ID: "b", Key: "b-key", Secret: "s", Enabled: true}, storage.NoVersion); err != nil {
		t.Fatal(err)
	}
	dial(t, "127.0.0.1:"+port, "/app/b-key")
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
	if most > before+6 {
		t.Errorf("%d connections after 20 reloads, %d before", most, before)
	}
}
