package redis

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// adapterRefused opens what must not open, and checks what the error says.
func adapterRefused(t *testing.T, o Options, a AdapterOptions, want string) {
	t.Helper()
	adapter, err := OpenAdapter(t.Context(), o, a, nil)
	if err == nil {
		_ = adapter.Close()
		t.Errorf("%s opens", o.place())
		return
	}
	if text := err.Error(); !strings.Contains(text, want) || strings.Contains(text, "hush") {
		t.Errorf("the error is %q; it should say %q, without the password", text, want)
	}
}

func TestAdapterRefusals(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--requirepass", "hush-right")
	for user, rights := range map[string][]string{
		"all":  {"+publish", "+subscribe", "+unsubscribe", "&sockudo*"},
		"deaf": {"+publish", "&sockudo*"},
		"dumb": {"+subscribe", "&sockudo*"},
		"lost": {"+publish", "+subscribe", "&other*"},
	} {
		server.MustDo(append([]string{"ACL", "SETUSER", user, "on", ">hush", "+ping"}, rights...)...)
	}
	login := func(user, password string) Options {
		o := at(server)
		o.Username, o.Password = user, password
		return o
	}
	openAdapter(t, login("all", "hush"), AdapterOptions{}) // without hello
	adapterRefused(t, login("", "hush-wrong"), AdapterOptions{}, "redis "+server.Addr()+"/0: WRONGPASS")
	adapterRefused(t, login("", ""), AdapterOptions{}, "NOAUTH")
	adapterRefused(t, login("deaf", "hush"), AdapterOptions{}, "NOPERM")
	adapterRefused(t, login("dumb", "hush"), AdapterOptions{}, "NOPERM")
	adapterRefused(t, login("lost", "hush"), AdapterOptions{}, "NOPERM")
	missing := login("", "hush-right")
	missing.DB = 99
	adapterRefused(t, missing, AdapterOptions{}, "DB index is out of range")
	adapterRefused(t, Options{Addresses: []string{"127.0.0.1:1"}, Password: "hush"}, AdapterOptions{}, "redis 127.0.0.1:1/0: dial tcp 127.0.0.1:1: connect: connection refused")
	adapterRefused(t, Options{}, AdapterOptions{Prefix: "a:#b"}, `prefix "a:#b" must not have :# in it`)
	adapterRefused(t, Options{}, AdapterOptions{Sharded: true}, "use_sharded_pubsub is for clusters only")
	adapterRefused(t, Options{Cluster: true, Addresses: []string{"127.0.0.1:1", "127.0.0.1:2"}}, AdapterOptions{}, "127.0.0.1:1: dial tcp")
	adapterRefused(t, Options{Sentinel: &SentinelOptions{Master: "m", Addresses: []string{"127.0.0.1:1"}}}, AdapterOptions{}, "sentinel 127.0.0.1:1: ")
	for _, sharded := range []bool{false, true} {
		o := login("", "hush-right")
		o.Cluster = true
		adapterRefused(t, o, AdapterOptions{Sharded: sharded}, "cluster support disabled")
	}
	adapterRefused(t, Options{Addresses: clusterOf().Addrs()[:1]}, AdapterOptions{}, "use the driver redis_cluster")
	adapterRefused(t, Options{Addresses: sentinelsOf().Addrs()[:1]}, AdapterOptions{}, "this is a Sentinel")
	frozen := redistest.Start(t)
	frozen.Freeze()
	adapterRefused(t, at(frozen), AdapterOptions{Tuning: relay.Tuning{AnswerTimeout: time.Second}}, "timeout")
}

// What is published on a replica reaches nobody at its master, so that one is not
// used, neither at the beginning nor when a master becomes one.
func TestAdapterReplica(t *testing.T) {
	t.Parallel()
	master, other := redistest.Start(t), redistest.Start(t)
	a := newNode(t, at(other), AdapterOptions{}, "c")
	other.MustDo("REPLICAOF", "127.0.0.1", strconv.Itoa(master.Port))
	adapterRefused(t, at(other), AdapterOptions{}, "this server is a replica")
	until(t, "word of the loss", func() bool { return len(a.heard()) == 1 })
	until(t, "why", func() bool {
		err := a.Check(t.Context())
		return err != nil && strings.Contains(err.Error(), "this server is a replica")
	})
	other.MustDo("REPLICAOF", "NO", "ONE")
	until(t, "link", a.backAgain)
}

// A node that is cut off from most masters takes what is published, and nobody
// hears of it.
func TestAdapterNodeCutOff(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	a := newNode(t, Options{Cluster: true, Addresses: cluster.Addrs()[:1]}, AdapterOptions{}, "c")
	until(t, "connection to the first node", func() bool {
		return strings.Contains(cluster.Nodes[0].MustDo("PUBSUB", "CHANNELS"), "#control")
	})
	cluster.Nodes[1].Freeze()
	cluster.Nodes[2].Freeze()
	until(t, "word of the loss", func() bool { return len(a.heard()) == 1 })
	until(t, "why", func() bool {
		err := a.Check(t.Context())
		return err != nil && strings.Contains(err.Error(), "cut off from most of its cluster")
	})
	cluster.Nodes[1].Thaw()
	cluster.Nodes[2].Thaw()
	until(t, "link", a.backAgain)
}

// These are the rights that docs/configuration.md names for a cluster.
func TestAdapterClusterRights(t *testing.T) {
	t.Parallel()
	for _, node := range clusterOf().Nodes {
		node.MustDo("ACL", "SETUSER", "adapter", "on", ">hush", "&test-acl:#*", "+publish", "+subscribe", "+unsubscribe",
			"+spublish", "+ssubscribe", "+sunsubscribe", "+ping", "+cluster|info", "+cluster|slots")
	}
	o := Options{Cluster: true, Addresses: clusterOf().Addrs(), Username: "adapter", Password: "hush"}
	for _, sharded := range []bool{false, true} {
		options := AdapterOptions{Prefix: "test-acl", Sharded: sharded}
		exchange(t, []string{"a", "b", "c"}, newNode(t, o, options, "a", "b", "c"), newNode(t, o, options, "a", "b", "c"))
		adapterRefused(t, o, AdapterOptions{Prefix: "test-other", Sharded: sharded}, "NOPERM")
	}
}

// Packets of one call are sent without a round trip for each.
func TestAdapterPipelines(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	d := newDialer(at(server), AdapterOptions{Prefix: "p"})
	l, err := d.openPair(t.Context(), server.Addr(), pairOptions{received: func([]byte) {}, lost: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close() }()
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = client.Close() }()
	packets := make([]relay.Packet, 500)
	names := make([]string, len(packets))
	for i := range packets {
		packets[i], names[i] = relay.Packet{Topic: protocol.Topic{App: "a", Channel: "c"}, Data: []byte("x")}, "c"
	}
	events := func() int {
		text := client.Info(t.Context(), "stats").Val()
		_, text, _ = strings.Cut(text, "total_reads_processed:")
		number, _, _ := strings.Cut(text, "\r")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := events()
	if _, _, err := l.publish(t.Context(), names, packets); err != nil {
		t.Fatal(err)
	}
	if reads := events() - before; reads > 50 {
		t.Errorf("the server has read %d times for %d packets", reads, len(packets))
	}
}

// A link whose connection is gone connects to nothing again, and says so for each
// call.
func TestAdapterPairLivesOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	d := newDialer(at(server), AdapterOptions{Prefix: "p"})
	lost := make(chan error, 1)
	l, err := d.openPair(t.Context(), server.Addr(), pairOptions{received: func([]byte) {}, lost: func(err error) { lost <- err }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close() }()
	server.MustDo("CLIENT", "KILL", "TYPE", "normal")
	for range 3 {
		if _, _, err := l.publish(t.Context(), []string{"c"}, []relay.Packet{{Data: []byte("x")}}); err == nil {
			t.Error("a packet was sent over a connection that is gone")
		}
	}
	server.MustDo("CLIENT", "KILL", "TYPE", "pubsub")
	if err := <-lost; err == nil {
		t.Error("a loss without a cause")
	}
	if err := l.subscribe(t.Context(), []string{"c"}); err == nil {
		t.Error("subscribed over a connection that is gone")
	}
	if n := strings.Count(server.MustDo("CLIENT", "LIST"), "id="); n != 1 {
		t.Errorf("%d connections", n)
	}
}
