package redis

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

// at are options for a server, or for another port of it.
func at(s *redistest.Server) Options { return Options{Addresses: []string{s.Addr()}} }

func tlsAt(s *redistest.Server) Options {
	return Options{Addresses: []string{"127.0.0.1:" + s.Arg("--tls-port")}}
}

// tlsOf reads the files of an authority, and of a client that it vouches for.
func tlsOf(t *testing.T, c certtest.Files) *words.TLSOptions {
	t.Helper()
	o, err := (&words.TLS{CA: c.CA, Cert: c.Cert, Key: c.Key}).Options("tls")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// refused opens what must not open, and checks what the error says.
func refused(t *testing.T, o Options, want string) {
	t.Helper()
	start := time.Now()
	m, err := OpenAppManager(t.Context(), o, "", nil)
	if err == nil {
		_ = m.Close()
		t.Errorf("%s opens", o.place())
		return
	}
	if text := err.Error(); !strings.Contains(text, o.place()+": ") || !strings.Contains(text, want) || strings.Contains(text, "hush") {
		t.Errorf("the error is %q; it should name %q and say %q, without the password", text, o.place(), want)
	}
	if took := time.Since(start); took > connectTimeout+callTimeout {
		t.Errorf("%s: it took %v", want, took)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	locked := redistest.Start(t, "--requirepass", "hush-right")
	locked.MustDo("ACL", "SETUSER", "stranger", "on", ">hush-stranger", "+ping", "+hello")
	login := func(username, password string) Options {
		o := at(locked)
		o.Username, o.Password = username, password
		return o
	}
	t.Run("unreachable", func(t *testing.T) {
		refused(t, Options{Addresses: []string{"127.0.0.1:1"}, Password: "hush"}, "connection refused")
	})
	t.Run("a name that is none", func(t *testing.T) {
		refused(t, Options{Addresses: []string{"no-such-host.invalid:6379"}, Password: "hush"}, "no-such-host.invalid")
	})
	t.Run("a wrong password", func(t *testing.T) { refused(t, login("", "hush-wrong"), "WRONGPASS") })
	t.Run("a wrong user", func(t *testing.T) { refused(t, login("nobody", "hush-right"), "WRONGPASS") })
	t.Run("no password", func(t *testing.T) { refused(t, login("", ""), "NOAUTH") })
	t.Run("no rights", func(t *testing.T) { refused(t, login("stranger", "hush-stranger"), "NOPERM") })
	t.Run("no such database", func(t *testing.T) {
		o := login("", "hush-right")
		o.DB = 99
		refused(t, o, "DB index is out of range")
	})
	t.Run("not a cluster", func(t *testing.T) {
		o := login("", "hush-right")
		o.Cluster = true
		refused(t, o, "cluster support disabled")
	})
	t.Run("a node of a cluster", func(t *testing.T) {
		refused(t, at(redistest.Start(t, "--cluster-enabled", "yes", "--cluster-port", "FREE")), "use the driver redis_cluster")
	})
	t.Run("a server that is silent", func(t *testing.T) {
		frozen := redistest.Start(t)
		frozen.Freeze()
		refused(t, at(frozen), "timeout")
	})
}

// Checklist: configuration 138
func TestTLS(t *testing.T) {
	t.Parallel()
	ours, others := certtest.New(t), certtest.New(t)
	server := redistest.Start(t, redistest.TLSArgs(ours.CA, ours.Cert, ours.Key)...)
	o := tlsAt(server)
	o.TLS = tlsOf(t, ours)
	app := &storage.App{ID: "a", Key: "k", Secret: "s"}
	m := openApps(t, o, "", app)
	if found, err := m.AppByKey(t.Context(), "k"); err != nil || found.ID != "a" {
		t.Errorf("over TLS: %v, %v", found, err)
	}

	plain := tlsAt(server)
	refused(t, plain, "")
	confused := at(server)
	confused.TLS = o.TLS
	refused(t, confused, "TLS handshake with "+server.Addr())
	wrong := o
	wrong.TLS = &words.TLSOptions{CA: tlsOf(t, others).CA, Cert: o.TLS.Cert, Key: o.TLS.Key}
	refused(t, wrong, "certificate signed by unknown authority")
	system := o
	system.TLS = &words.TLSOptions{Cert: o.TLS.Cert, Key: o.TLS.Key}
	refused(t, system, "certificate signed by unknown authority")
	anonymous := o
	anonymous.TLS = &words.TLSOptions{CA: o.TLS.CA}
	refused(t, anonymous, "certificate") // the alert of TLS, or our guess where it is lost

	core, logs := observer.New(zap.WarnLevel)
	trusting := system
	trusting.TLS = &words.TLSOptions{Cert: o.TLS.Cert, Key: o.TLS.Key, SkipVerify: true}
	c, err := Connect(t.Context(), trusting, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if n := logs.FilterMessageSnippet("insecure_skip_verify").Len(); n != 1 {
		t.Errorf("the log warns %d times", n)
	}
}

func TestTLSOfClusterAndSentinel(t *testing.T) {
	t.Parallel()
	ours, others := certtest.New(t), certtest.New(t)
	t.Run("cluster", func(t *testing.T) {
		cluster := redistest.StartCluster(t, append(redistest.TLSArgs(ours.CA, ours.Cert, ours.Key), "--tls-cluster", "yes")...)
		o := tlsAt(cluster.Nodes[1])
		o.Cluster, o.TLS = true, tlsOf(t, ours)
		m := openApps(t, o, "")
		for i := range 20 {
			if err := m.PutApp(t.Context(), &storage.App{ID: strconv.Itoa(i), Key: "k" + strconv.Itoa(i), Secret: "s"}, storage.NoVersion); err != nil {
				t.Fatal(err)
			}
		}
		o.TLS = tlsOf(t, others)
		refused(t, o, "")
	})
	t.Run("sentinel", func(t *testing.T) {
		text := "requirepass hush-sentinel\nsentinel sentinel-pass hush-sentinel\ntls-port FREE\ntls-ca-cert-file " + ours.CA +
			"\ntls-cert-file " + ours.Cert + "\ntls-key-file " + ours.Key
		sentinels := redistest.StartSentinels(t, text, "--requirepass", "hush-server", "--masterauth", "hush-server")
		o := Options{Password: "hush-server", Sentinel: &SentinelOptions{
			Master: redistest.MasterName, Addresses: sentinels.TLSAddrs(), Password: "hush-sentinel", TLS: tlsOf(t, ours),
		}}
		openApps(t, o, "", &storage.App{ID: "a", Key: "k", Secret: "s"})
		for want, change := range map[string]func(*SentinelOptions){
			"certificate signed by unknown authority": func(s *SentinelOptions) { s.TLS = &words.TLSOptions{CA: tlsOf(t, others).CA} },
			"WRONGPASS":                   func(s *SentinelOptions) { s.Password = "hush-wrong" },
			"NOAUTH":                      func(s *SentinelOptions) { s.Password = "" },
			`it knows no master "other"`:  func(s *SentinelOptions) { s.Master = "other" },
			"connect: connection refused": func(s *SentinelOptions) { s.Addresses = []string{"127.0.0.1:1"} },
		} {
			changed, sentinel := o, *o.Sentinel
			change(&sentinel)
			changed.Sentinel = &sentinel
			refused(t, changed, want)
		}
		changed := o
		changed.Password = "hush-sentinel"
		refused(t, changed, "WRONGPASS")
		refused(t, Options{Addresses: sentinels.Addrs()[:1], Password: "hush-sentinel"}, "this is a Sentinel")
	})
}

// rights are what a user needs who may do all that an app manager does.
var rights = []string{
	"~sockudo:*", "&sockudo:*", "+hget", "+hset", "+hdel", "+hlen", "+hgetall", "+hscan", "+evalsha", "+eval", "+publish", "+subscribe", "+ping",
}

func TestLimitedUser(t *testing.T) {
	server := redistest.Start(t)
	server.MustDo(append([]string{"ACL", "SETUSER", "editor", "on", ">hush"}, rights...)...)
	server.MustDo("ACL", "SETUSER", "mute", "on", ">hush", "resetchannels", "~sockudo:*", "+hget", "+hset", "+hdel", "+evalsha", "+eval", "+publish")
	server.MustDo("ACL", "SETUSER", "reader", "on", ">hush", "~sockudo:*", "+hget", "+hlen", "+hgetall", "+hscan")
	login := func(name string) *AppManager {
		o := at(server)
		o.Username, o.Password = name, "hush"
		return openApps(t, o, "")
	}
	app := &storage.App{ID: "a", Key: "k", Secret: "s"}
	editor := login("editor")
	heard := make(chan string, 10)
	defer editor.WatchApps(func(id string) { heard <- id })()
	until(t, "subscription", func() bool { return len(heard) > 0 })
	if err := editor.PutApp(t.Context(), app, storage.NoVersion); err != nil {
		t.Fatal(err)
	}
	until(t, "message", func() bool { return len(heard) > 1 })

	// Whoever may only read can serve apps.
	reader := login("reader")
	if found, err := reader.AppByKey(t.Context(), "k"); err != nil || found.ID != "a" {
		t.Errorf("reading: %v, %v", found, err)
	}
	if list, err := reader.Apps(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("listing: %v, %v", list, err)
	}
	if err := reader.Check(t.Context()); err != nil {
		t.Errorf("checking: %v", err)
	}
	if err := reader.PutApp(t.Context(), app, storage.AnyVersion); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("writing: %v", err)
	}

	// A change that may not be told is not made.
	mute := login("mute")
	if err := mute.PutApp(t.Context(), &storage.App{ID: "b", Key: "kb", Secret: "s"}, storage.NoVersion); err == nil || !strings.Contains(err.Error(), "channel") {
		t.Errorf("writing without the channel: %v", err)
	}
	if err := mute.DeleteApp(t.Context(), "a", storage.AnyVersion); err == nil {
		t.Error("deleting without the channel succeeds")
	}
	if list, err := editor.Apps(t.Context()); err != nil || len(list) != 1 || list[0].ID != "a" {
		t.Errorf("the apps are %v, %v", list, err)
	}
}

func TestSharedConnections(t *testing.T) {
	server := redistest.Start(t)
	count := func() int { return strings.Count(server.MustDo("CLIENT", "LIST"), "\n") }
	before := count()
	a, b, c := connect(t, at(server)), connect(t, at(server)), connect(t, Options{Addresses: []string{server.Addr()}, DB: 1})
	if a.UniversalClient != b.UniversalClient {
		t.Error("two drivers with equal options have connections of their own")
	}
	if a.UniversalClient == c.UniversalClient {
		t.Error("two drivers on different databases share connections")
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := b.Ping(t.Context()).Err(); err != nil {
		t.Errorf("after the other driver is closed: %v", err)
	}
	_, _ = b.Close(), c.Close()
	until(t, "end of the connections", func() bool { return count() <= before })
	running.Lock()
	defer running.Unlock()
	for _, s := range running.clients {
		if s.client == a.UniversalClient || s.client == c.UniversalClient {
			t.Error("connections that nobody uses are left over")
		}
	}
}

func TestPoolIsBounded(t *testing.T) {
	server := redistest.Start(t)
	o := at(server)
	o.PoolSize = 3
	c := connect(t, o)
	done := make(chan error)
	for range 30 {
		go func() { done <- c.Do(t.Context(), "eval", "for i = 1, 200000 do end return 1", 0).Err() }()
	}
	most := 0
	for range 30 {
		if err := <-done; err != nil {
			t.Error(err)
		}
		list := server.MustDo("CLIENT", "LIST")
		most = max(most, strings.Count(list, "\n")-strings.Count(list, "cmd=client"))
	}
	if most > 3 {
		t.Errorf("%d connections are open", most)
	}
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // a short name: there is a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	redistest.Start(t, "--unixsocket", dir+"/s")
	o, err := (&Connection{URL: "unix://" + dir + "/s?db=2"}).options(false)
	if err != nil {
		t.Fatal(err)
	}
	openApps(t, o, "", &storage.App{ID: "a", Key: "k", Secret: "s"})
}
