package redis

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

// provisioned reads a block as Caddy does.
func provisioned(text string) (*AppManagerModule, error) {
	m := new(AppManagerModule)
	err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
	if err == nil {
		err = m.Provision(caddy.Context{})
	}
	return m, err
}

func TestBlocks(t *testing.T) {
	t.Setenv("TEST_REDIS_PASSWORD", "hush")
	t.Setenv("TEST_REDIS_NODES", "a:1, b:2")
	certificates := certtest.New(t)
	ca, err := os.ReadFile(certificates.CA)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_REDIS_CA", certificates.CA)
	encrypted := &words.TLSOptions{CA: ca}
	for text, want := range map[string]Options{
		"redis":                        {},
		"redis {\n address db\n}":      {Addresses: []string{"db:6379"}},
		"redis {\n address [::1]:7\n}": {Addresses: []string{"[::1]:7"}},
		"redis {\n host ::1\n}":        {Addresses: []string{"[::1]:6379"}},
		"redis {\n host redis\n port 7\n prefix sockudo\n}": {Addresses: []string{"redis:7"}},
		"redis {\n port 7\n}":                               {Addresses: []string{"127.0.0.1:7"}},
		"redis {\n host rediss://db\n}":                     {Addresses: []string{"db:6379"}, TLS: &words.TLSOptions{}},
		"redis {\n username u\n password {env.TEST_REDIS_PASSWORD}\n db 3\n connection_pool_size 5\n}": {Username: "u", Password: "hush", DB: 3, PoolSize: 5},
		"redis {\n url redis://db/3\n}":                                    {Addresses: []string{"db:6379"}, DB: 3},
		"redis {\n url redis://u:p%40ss@db:7?db=4\n}":                      {Addresses: []string{"db:7"}, Username: "u", Password: "p@ss", DB: 4},
		"redis {\n url rediss://db\n password p\n db 1\n}":                 {Addresses: []string{"db:6379"}, Password: "p", DB: 1, TLS: &words.TLSOptions{}},
		"redis {\n url rediss://db\n tls {\n ca {env.TEST_REDIS_CA}\n}\n}": {Addresses: []string{"db:6379"}, TLS: encrypted},
		"redis {\n url unix:///run/redis.sock?db=2\n}":                     {Addresses: []string{"/run/redis.sock"}, DB: 2},
		"redis {\n tls\n}": {TLS: &words.TLSOptions{}},
		"redis {\n tls {\n insecure_skip_verify\n}\n}":        {TLS: &words.TLSOptions{SkipVerify: true}},
		"redis {\n tls {\n ca `" + string(ca) + "`\n}\n}":     {TLS: encrypted},
		"redis {\n nodes a:1 b\n password p\n}":               {Addresses: []string{"a:1", "b:6379"}, Cluster: true, Password: "p"},
		"redis {\n nodes {env.TEST_REDIS_NODES}\n}":           {Addresses: []string{"a:1", "b:2"}, Cluster: true},
		"redis {\n sentinel {\n addresses a b:2\n}\n db 1\n}": {DB: 1, Sentinel: &SentinelOptions{Master: "mymaster", Addresses: []string{"a:26379", "b:2"}}},
		"redis {\n sentinel {\n master m\n addresses a\n username u\n password p\n tls {\n ca {env.TEST_REDIS_CA}\n}\n}\n tls\n}": {
			TLS: &words.TLSOptions{}, Sentinel: &SentinelOptions{Master: "m", Addresses: []string{"a:26379"}, Username: "u", Password: "p", TLS: encrypted},
		},
	} {
		m, err := provisioned(text)
		if err != nil || !reflect.DeepEqual(m.options, want) {
			t.Errorf("%s\n%v: %+v\nwant %+v", text, err, m.options, want)
		}
	}
}

func TestBadBlocks(t *testing.T) {
	certificates, others := certtest.New(t), certtest.New(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"redis x", "wrong argument count"},
		{"redis {\n hots x\n}", "hots is unknown to this driver"},
		{"redis {\n host a\n host b\n}", "host is written twice"},
		{"redis {\n port x\n}", `port: "x" is not a whole number`},
		{"redis {\n port 70000\n}", "port 70000"},
		{"redis {\n url redis://a\n host b\n}", "url must not be written beside host or port"},
		{"redis {\n address a\n host b\n}", "address must not be written beside host or port"},
		{"redis {\n address a\n nodes b\n}", "address must not be written beside nodes"},
		{"redis {\n nodes b\n sentinel {\n addresses a\n}\n}", "nodes must not be written beside sentinel"},
		{"redis {\n url redis://u:hush@a\n password hush\n}", "password is written in the url and beside it"},
		{"redis {\n url redis://:hush@a/1\n db 2\n}", "db is written in the url and beside it"},
		{"redis {\n url redis://:hush@a/1?db=2\n}", "url: it names the database twice"},
		{"redis {\n url redis://:hush@a/x\n}", "url: the database is not a number"},
		{"redis {\n url redis://:hush@a?pool_size=2\n}", "url: pool_size has no meaning here"},
		{"redis {\n url http://:hush@a\n}", "url must begin with redis://"},
		{"redis {\n url redis://:hush@[\n}", "url cannot be read"},
		{"redis {\n password {env.TEST_NO_SUCH_VARIABLE}\n}", "password: "},
		{"redis {\n host {env.TEST_NO_SUCH_VARIABLE}\n}", "TEST_NO_SUCH_VARIABLE"},
		{"redis {\n prefix {env.TEST_NO_SUCH_VARIABLE}\n}", "prefix: "},
		{"redis {\n host redis://u:hush@a\n}", "host must be a name or address"},
		{"redis {\n address a:0\n}", `address: "a:0" is not like HOST:PORT`},
		{"redis {\n address a:b:c\n}", "is not like HOST:PORT"},
		{"redis {\n nodes a:1 b:x\n}", `nodes: "b:x" is not like HOST:PORT`},
		{"redis {\n nodes\n}", "nodes takes one value or more"},
		{"redis {\n nodes a:1\n db 1\n}", "db 1: a cluster has no database but 0"},
		{"redis {\n sentinel {\n master m\n}\n}", "sentinel: addresses are missing"},
		{"redis {\n sentinel {\n adresses a\n}\n}", "adresses is unknown to this driver"},
		{"redis {\n sentinel m\n}", "wrong argument count"},
		{"redis {\n tls on\n}", "wrong argument count"},
		{"redis {\n tls {\n ca /no/such/file\n}\n}", "tls: ca: open /no/such/file"},
		{"redis {\n tls {\n ca " + empty + "\n}\n}", "tls: ca holds no certificate in PEM"},
		{"redis {\n tls {\n cert " + certificates.Cert + "\n}\n}", "tls: cert and key are written together or not at all"},
		{"redis {\n tls {\n cert " + certificates.Cert + "\n key " + others.Key + "\n}\n}", "tls: cert and key are no certificate in PEM and its key"},
		{"redis {\n sentinel {\n addresses a\n tls {\n ca " + empty + "\n}\n}\n}", "sentinel: tls: ca holds no certificate"},
		{"redis {\n prefix a{}b\n}", "prefix"},
	} {
		text, want := c[0], c[1]
		if _, err := provisioned(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s\n%v, want %q", text, err, want)
		}
	}
}

func TestKeyTellsServersApart(t *testing.T) {
	keys := map[string]string{}
	for _, text := range []string{
		"redis", "redis {\n db 1\n}", "redis {\n prefix a\n}", "redis {\n password a\n}", "redis {\n tls\n}",
		"redis {\n nodes 127.0.0.1:6379\n}", "redis {\n sentinel {\n addresses a\n}\n}", "redis {\n sentinel {\n addresses a\n password b\n}\n}",
	} {
		m, err := provisioned(text)
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := keys[m.Key()]; twice {
			t.Errorf("%s has the key of %s", text, other)
		}
		keys[m.Key()] = text
	}
	for _, text := range []string{"redis {\n address 127.0.0.1:6379\n}", "redis {\n url redis://127.0.0.1\n}", "redis {\n host 127.0.0.1\n port 6379\n}"} {
		m, err := provisioned(text)
		if err != nil {
			t.Fatal(err)
		}
		if keys[m.Key()] != "redis" {
			t.Errorf("%s is another server than the default", text)
		}
	}
	cluster := new(ClusterAppManagerModule)
	if err := cluster.Provision(caddy.Context{}); err != nil || !cluster.options.Cluster {
		t.Errorf("redis_cluster is no cluster: %v", err)
	}
}

// Caches and rate limiters take the same words, and hubs have keys of their own.
func TestBlocksOfOtherKinds(t *testing.T) {
	cache, limiter := new(CacheModule), new(RateLimiterModule)
	blocks := map[string]interface {
		UnmarshalCaddyfile(*caddyfile.Dispenser) error
		Provision(caddy.Context) error
		Validate() error
		ForHub(string)
		Key() string
	}{
		"redis {\n host h\n tls\n max_value_size 1MiB\n}":            cache,
		"redis {\n sentinel {\n addresses a\n}\n db 1\n lease 5s\n}": limiter,
	}
	for text, m := range blocks {
		err := errors.Join(m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)), m.Provision(caddy.Context{}), m.Validate())
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		keys := map[string]bool{}
		for _, hub := range []string{"default", "a", "b"} {
			m.ForHub(hub)
			keys[m.Key()] = true
		}
		if len(keys) != 3 {
			t.Errorf("%s: three hubs have %d keys", text, len(keys))
		}
	}
	if cache.MaxValueSize != 1<<20 || cache.options.TLS == nil || limiter.options.DB != 1 || time.Duration(limiter.Lease) != 5*time.Second {
		t.Errorf("%+v, %+v", cache, limiter)
	}
	cache.prefix = "x"
	if cache.ofHub("usual") != "x" {
		t.Error("a prefix that is written is not the hub's")
	}
	for text, want := range map[string]string{
		"redis {\n lease 500ms\n}": "lease 500ms is shorter than 1s",
		"redis {\n lease 5\n}":     `lease: "5" has no unit`,
		"redis {\n leese 5s\n}":    "leese is unknown to this driver",
	} {
		m := new(ClusterRateLimiterModule)
		err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if err == nil {
			err = errors.Join(m.Provision(caddy.Context{}), m.Validate())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	negative := &CacheModule{MaxValueSize: -1}
	if err := negative.Validate(); err == nil || !strings.Contains(err.Error(), "max_value_size must not be negative") {
		t.Error(err)
	}
}

// A reload changes the tuning of what is running, and only that.
func TestTune(t *testing.T) {
	server := redistest.Start(t)
	cache, limiter := openCache(t, at(server), ""), openLimiter(t, at(server), "", 0)
	if err := errors.Join(cache.Tune(&ClusterCacheModule{CacheModule{MaxValueSize: 7}}), limiter.Tune(&RateLimiterModule{Lease: caddy.Duration(5 * time.Second)})); err != nil {
		t.Error(err)
	}
	if _, lease := limiter.held.has("", ""); cache.MaxSize() != 7 || lease != 5*time.Second {
		t.Errorf("the size is %d, the lease %v", cache.MaxSize(), lease)
	}
	if err := cache.Tune(&RateLimiterModule{}); err == nil {
		t.Error("a rate limiter tunes a cache")
	}
	if err := limiter.Tune(&CacheModule{}); err == nil {
		t.Error("a cache tunes a rate limiter")
	}
}

// Queues take the same words and their own, and hubs never share one.
func TestQueueBlocks(t *testing.T) {
	m := new(QueueModule)
	text := "redis {\n host h\n prefix {env.TEST_QUEUE_PREFIX}\n concurrency 3\n response_timeout 2s\n max_bytes 2KiB\n" +
		" reliability {\n max_attempts 7\n retry_base 2s\n retry_max 3s\n retry_jitter 0\n deduplication_ttl 0s\n failed_retention 0\n capacity 9\n lease 4s\n lease_renew 1s\n}\n}"
	t.Setenv("TEST_QUEUE_PREFIX", "x:")
	if err := errors.Join(m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)), m.Provision(caddy.Context{}), m.Validate()); err != nil {
		t.Fatal(err)
	}
	m.ForHub("a")
	want := QueueOptions{
		Prefix: "x:", Hub: "a", Concurrency: 3, Timeout: 2 * time.Second, MaxBytes: 2048, MaxJobs: 9, MaxAttempts: 7,
		Retry: storage.Retry{Base: 2 * time.Second, Max: 3 * time.Second, Jitter: -1}, DeduplicationTTL: -1, MaxDeadLetters: -1, Lease: 4 * time.Second, Renew: time.Second,
	}
	if o := m.queueOptions(); o != want || m.options.ReplyTimeout != 2*time.Second {
		t.Errorf("%+v, want %+v", o, want)
	}
	keys := map[string]bool{m.Key(): true}
	m.ForHub("b")
	keys[m.Key()] = true
	m.prefix = "y:"
	keys[m.Key()] = true
	if len(keys) != 3 {
		t.Errorf("three queues have %d keys", len(keys))
	}
	tuned := *m
	tuned.Concurrency, tuned.MaxBytes, tuned.Reliability = 1, 1, nil
	if tuned.Key() != m.Key() {
		t.Error("tuning makes another queue")
	}
	cluster := new(ClusterQueueModule)
	if err := cluster.Provision(caddy.Context{}); err != nil || !cluster.options.Cluster || cluster.Driver() != "redis_cluster" {
		t.Errorf("redis_cluster is no cluster: %v", err)
	}
	for text, want := range map[string]string{
		"redis {\n reliability x\n}":                                "wrong argument count",
		"redis {\n reliability {\n prefetch 3\n}\n}":                "prefetch is unknown to this driver",
		"redis {\n concurrency -1\n}":                               "-1",
		"redis {\n reliability {\n lease 500ms\n}\n}":               "lease 500ms is shorter than 1s",
		"redis {\n reliability {\n lease 5s\n lease_renew 5s\n}\n}": "lease_renew 5s must be shorter than lease 5s",
		"redis {\n reliability {\n retry_base 2m\n}\n}":             "retry_base 2m0s must not be longer than retry_max 1m0s",
		"redis {\n reliability {\n max_attempts 0\n}\n}":            "max_attempts must be at least 1",
		"redis {\n prefix a{}b\n}":                                  "prefix",
		"redis {\n request_timeout 5s\n}":                           "request_timeout is unknown to this driver",
	} {
		m := new(QueueModule)
		err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if err == nil {
			err = errors.Join(m.Provision(caddy.Context{}), m.Validate())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	m = new(QueueModule)
	m.ForHub("a}b")
	if err := m.Validate(); err == nil || !strings.Contains(err.Error(), "without braces") {
		t.Errorf("a hub with braces: %v", err)
	}
	negative := &QueueModule{MaxBytes: -1}
	if err := negative.Validate(); err == nil || !strings.Contains(err.Error(), "max_bytes must not be negative") {
		t.Error(err)
	}
}

// module is one of an adapter.
type module interface {
	UnmarshalCaddyfile(d *caddyfile.Dispenser) error
	Provision(ctx caddy.Context) error
	Validate() error
}

// reading reads a block as Caddy does.
func reading(m module, text string) error {
	err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
	if err == nil {
		err = m.Provision(caddy.Context{})
	}
	if err == nil {
		err = m.Validate()
	}
	return err
}

func read(t *testing.T, m module, text string) {
	t.Helper()
	if err := reading(m, text); err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
}

func TestAdapterBlocks(t *testing.T) {
	single := new(AdapterModule)
	read(t, single, "redis {\n host redis\n port 6379\n prefix sockudo\n request_timeout 2s\n}")
	if got := single.adapterOptions(false); !reflect.DeepEqual(single.options.Addresses, []string{"redis:6379"}) || got.Prefix != "sockudo" || got.AnswerTimeout != 2*time.Second {
		t.Errorf("%+v %+v", single.options, got)
	}
	cluster := new(ClusterAdapterModule)
	read(t, cluster, "redis_cluster {\n nodes a:1 b:2\n use_sharded_pubsub\n}")
	if !cluster.options.Cluster || !cluster.UseShardedPubsub {
		t.Errorf("%+v", cluster)
	}
	for text, want := range map[string]string{
		"redis {\n use_sharded_pubsub on\n}":                   "use_sharded_pubsub is unknown to this driver",
		"redis {\n requests_timeout 5s\n}":                     "requests_timeout is unknown to this driver",
		"redis {\n redis_pub_options x\n}":                     "redis_pub_options is unknown to this driver",
		"redis {\n cluster_mode on\n}":                         "cluster_mode is unknown to this driver",
		"redis {\n connection_pool_size 5\n}":                  "connection_pool_size is not for an adapter",
		"redis {\n request_timeout 5\n}":                       `request_timeout: "5" has no unit`,
		"redis {\n request_timeout -5s\n}":                     "request_timeout must not be negative",
		"redis {\n prefix a:#b\n}":                             `prefix "a:#b" must not have :# in it`,
		"redis {\n prefix a{}b\n}":                             "prefix: ",
		"redis {\n url redis://u:hush@h:x\n}":                  "url cannot be read",
		"redis {\n address a\n sentinel {\n addresses b\n}\n}": "address must not be written beside sentinel",
	} {
		if err := reading(new(AdapterModule), text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s\n%v, want %q", text, err, want)
		}
	}
	if err := reading(new(ClusterAdapterModule), "redis_cluster {\n use_connection_manager on\n}"); err == nil || !strings.Contains(err.Error(), "use_connection_manager is unknown") {
		t.Error(err)
	}
}

// TestAdapterKey wants another key for another hub, server, login, prefix or way of
// publishing, and the same one for another tuning.
func TestAdapterKey(t *testing.T) {
	keys := map[string]string{}
	for _, text := range []string{"redis", "redis {\n db 1\n}", "redis {\n prefix a\n}", "redis {\n password a\n}", "redis {\n tls\n}", "redis {\n nodes a\n}"} {
		for _, hub := range []string{"default", "other"} {
			m := new(AdapterModule)
			read(t, m, text)
			m.ForHub(hub)
			if other, ok := keys[m.Key()]; ok {
				t.Errorf("one key for %s of %s and %s", text, hub, other)
			}
			keys[m.Key()] = text + " of " + hub
		}
	}
	for _, text := range []string{"redis {\n address 127.0.0.1:6379\n prefix sockudo_adapter:\n}", "redis {\n request_timeout 1s\n}"} {
		m := new(AdapterModule)
		read(t, m, text)
		m.ForHub("default")
		if keys[m.Key()] != "redis of default" {
			t.Errorf("%s has another key", text)
		}
	}
	one, other := new(ClusterAdapterModule), new(ClusterAdapterModule)
	read(t, one, "redis_cluster")
	read(t, other, "redis_cluster {\n use_sharded_pubsub on\n}")
	if one.Key() == other.Key() {
		t.Error("one key for both ways of publishing")
	}
}

func TestAdapterTune(t *testing.T) {
	a := openAdapter(t, standing(t), AdapterOptions{Prefix: ownPrefix(t, standing(t))})
	for text, m := range map[string]module{"redis {\n request_timeout 7s\n}": new(AdapterModule), "redis_cluster {\n request_timeout 7s\n}": new(ClusterAdapterModule)} {
		a.dialer.setTimeout(time.Second)
		read(t, m, text)
		if err := a.Tune(m); err != nil || time.Duration(a.dialer.timeout.Load()) != 7*time.Second {
			t.Error(err, time.Duration(a.dialer.timeout.Load()))
		}
	}
	if err := a.Tune(&CacheModule{}); err == nil {
		t.Error("a cache tunes an adapter")
	}
}

func TestHistoryModules(t *testing.T) {
	server := redistest.Start(t)
	m := new(HistoryModule)
	text := "redis {\n address " + server.Addr() + "\n prefix p\n}"
	if err := errors.Join(m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)), m.provision(false)); err != nil {
		t.Fatal(err)
	}
	h, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	a := &storage.LogAppend{Key: testLog, Fresh: "id"}
	if h.Append(t.Context(), []*storage.LogAppend{a}); a.Err != nil || server.MustDo("KEYS", "p:{h*}:head:3:appchannel") == "" {
		t.Error(a.Err, server.MustDo("KEYS", "*"))
	}
	cluster := new(ClusterHistoryModule)
	if err := cluster.provision(true); err != nil || !cluster.options.Cluster || cluster.Driver() != "redis_cluster" || m.Driver() != "redis" {
		t.Errorf("redis_cluster is no cluster: %v", err)
	}
	keys := map[string]bool{m.Key(): true}
	for _, hub := range []string{"default", "a", "b"} {
		cluster.ForHub(hub)
		keys[cluster.Key()] = true
	}
	if len(keys) != 4 {
		t.Errorf("four histories have %d keys", len(keys))
	}
	if _, err := OpenHistory(t.Context(), at(server), HistoryOptions{Prefix: "a{}b"}, nil); !says(err, "prefix") {
		t.Errorf("a prefix without a tag: %v", err)
	}
}

func TestPushStoreModules(t *testing.T) {
	server := redistest.Start(t)
	m := new(PushStoreModule)
	text := "redis {\n address " + server.Addr() + "\n prefix p\n}"
	if err := errors.Join(m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)), m.provision(false)); err != nil {
		t.Fatal(err)
	}
	s, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Apply(t.Context(), pushPut("a", "1")); err != nil || server.MustDo("KEYS", "p:{p*}:record:3:app1:t1:ga") == "" {
		t.Error(err, server.MustDo("KEYS", "*"))
	}
	cluster := new(ClusterPushStoreModule)
	if err := cluster.Provision(caddy.Context{}); err != nil || !cluster.options.Cluster || cluster.Driver() != "redis_cluster" || m.Driver() != "redis" {
		t.Errorf("redis_cluster is no cluster: %v", err)
	}
	keys := map[string]bool{m.Key(): true}
	for _, hub := range []string{"default", "a", "b"} {
		cluster.ForHub(hub)
		keys[cluster.Key()] = true
	}
	if len(keys) != 4 {
		t.Errorf("four push stores have %d keys", len(keys))
	}
	if _, err := OpenPushStore(t.Context(), at(server), PushOptions{Prefix: "a{}b"}, nil); !says(err, "prefix") {
		t.Errorf("a prefix without a tag: %v", err)
	}
}
