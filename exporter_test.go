package sockudo

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/eventstreamtest"
)

// exporterBlock switches a TCP exporter on.
func exporterBlock(port, more string) string {
	return "metrics {\ntcp_exporter {\nenabled on\nport " + port + "\n" + more + "\n}\n}\n"
}

// describe reads the metadata that a reader gets first: that of the metrics of a hub.
func describe(t *testing.T, r *eventstreamtest.Reader, prefix string) map[string]eventstreamtest.Message {
	t.Helper()
	known := map[string]eventstreamtest.Message{}
	for range findHub(defaultHub).Metrics().Infos() {
		m := r.Next(t)
		if !m.Metadata || known[m.Name].Metadata {
			t.Fatalf("%v instead of metadata", m)
		}
		if !strings.HasPrefix(m.Name, prefix) && !strings.HasPrefix(m.Name, "sockudo_") {
			t.Errorf("the metric %s", m.Name)
		}
		known[m.Name] = m
	}
	return known
}

// next reads until there is an operation on a metric.
func next(t *testing.T, r *eventstreamtest.Reader, name string, labels map[string]string) eventstreamtest.Message {
	t.Helper()
	for {
		m := r.Next(t)
		matches := m.Name == name && !m.Metadata
		for key, value := range labels {
			matches = matches && m.Labels[key] == value
		}
		if matches {
			return m
		}
	}
}

// A reader gets what happens, and goes on reading over reloads. With another prefix it is
// told the new names.
//
// Checklist: configuration 130, 131
func TestExporter(t *testing.T) {
	s := newServer(t)
	port, exporter := freePort(t), freePort(t)
	load := func(more string) {
		t.Helper()
		s.mustLoad("", site(port, "sockudo {\n"+appBlock+"history {\n}\n"+more+"}"))
	}
	load("")
	if conn, err := net.Dial("tcp", "127.0.0.1:"+exporter); err == nil {
		_ = conn.Close()
		t.Fatal("the exporter is on")
	}
	load("max_connections 100\n" + exporterBlock(exporter, ""))
	r := eventstreamtest.Dial(t, "127.0.0.1:"+exporter)
	known := describe(t, r, "sockudo_")
	if m := known["sockudo_new_connections_total"]; m.Kind != 0 || m.Description == "" {
		t.Errorf("connections are described as %v", m)
	}
	if m := known["sockudo_connected"]; m.Kind != 1 {
		t.Errorf("open connections are described as %v", m)
	}
	if m := known["sockudo_history_write_latency_ms"]; m.Kind != 2 || m.Unit != "milliseconds" {
		t.Errorf("the latency of the history is described as %v", m)
	}
	app := map[string]string{"hub": defaultHub, "app_id": "demo"}
	publish := pushPort{t, port}
	dial(t, "127.0.0.1:"+port, "/app/demo-key")
	if m := next(t, r, "sockudo_connected", app); m.Op != 6 || m.Value != 1 {
		t.Errorf("a connection is %v", m)
	}
	if m := next(t, r, "sockudo_new_connections_total", app); m.Op != 4 || m.Value != 1 {
		t.Errorf("a connection is %v", m)
	}
	publish.must("events", `{"name":"x","channel":"room","data":"{}"}`)
	if m := next(t, r, "sockudo_history_write_latency_ms", app); m.Op != 9 || m.Value <= 0 {
		t.Errorf("a write is %v", m)
	}
	load("max_connections 200\n" + exporterBlock(exporter, "buffer_size 2048"))
	publish.must("events", `{"name":"x","channel":"room","data":"{}"}`)
	next(t, r, "sockudo_history_writes_total", app)
	load("max_connections 200\n" + strings.Replace(exporterBlock(exporter, ""), "metrics {\n", "metrics {\nprefix rt_\n", 1))
	publish.must("events", `{"name":"x","channel":"room","data":"{}"}`)
	next(t, r, "rt_history_writes_total", app)
	_, metrics := request(t, "GET", "http://"+s.admin+"/metrics", nil)
	contains(t, metrics, `sockudo_tcp_exporter_readers{address="127.0.0.1:`+exporter+`"} 1`, `sockudo_tcp_exporter_events_dropped_total{address="127.0.0.1:`+exporter+`",buffer="reader"} 0`)
	load("")
	if _, err := r.Rest().WriteTo(discard{}); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("the reader of an exporter that is off is still connected")
	}
}

// discard takes everything.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// Who wants a port that somebody has gets an error, and what ran before goes on.
//
// Checklist: configuration 132
func TestExporterPortInUse(t *testing.T) {
	s := newServer(t)
	port, exporter := freePort(t), freePort(t)
	load := func(exporter string) error {
		return s.load("", site(port, "sockudo {\n"+appBlock+exporterBlock(exporter, "")+"}"))
	}
	if err := load(exporter); err != nil {
		t.Fatal(err)
	}
	c, r := dial(t, "127.0.0.1:"+port, "/app/demo-key"), eventstreamtest.Dial(t, "127.0.0.1:"+exporter)
	describe(t, r, "sockudo_")
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, taken, _ := net.SplitHostPort(other.Addr().String())
	for _, inUse := range []string{taken, port} { // also that of one of Caddy's own servers
		contains(t, fmt.Sprint(load(inUse)), "hub default: metrics.tcp_exporter: listen tcp 127.0.0.1:"+inUse+": bind: address already in use")
	}
	c.subscribe("room")
	next(t, r, "sockudo_channel_subscriptions_total", map[string]string{"channel_type": "public"})
	err = s.load("", site(port, "sockudo {\n"+appBlock+exporterBlock(exporter, "host 0.0.0.0")+"}"))
	contains(t, fmt.Sprint(err), "by the exporter at 127.0.0.1:"+exporter+", that of another hub or of the configuration that still runs")
	c.subscribe("room-2")
	next(t, r, "sockudo_channel_subscriptions_total", nil)
}

// Hubs share an exporter if they agree about it.
func TestExporterOfTwoHubs(t *testing.T) {
	s := newServer(t)
	a, b, exporter := freePort(t), freePort(t), freePort(t)
	hub := func(name, more string) string {
		return "sockudo " + name + " {\n" + appBlock + exporterBlock(exporter, more) + "}"
	}
	err := s.load("", site(a, hub("one", ""))+site(b, hub("two", "buffer_size 5")))
	contains(t, fmt.Sprint(err), " shares 127.0.0.1:"+exporter+" with a buffer_size of ", ": write both alike, or another port")
	s.mustLoad("", site(a, hub("one", ""))+site(b, hub("two", "")))
	r := eventstreamtest.Dial(t, "127.0.0.1:"+exporter)
	for range findHub("one").Metrics().Infos() {
		if m := r.Next(t); !m.Metadata {
			t.Errorf("%v instead of metadata", m)
		}
	}
	dial(t, "127.0.0.1:"+b, "/app/demo-key")
	next(t, r, "sockudo_new_connections_total", map[string]string{"hub": "two"})
	dial(t, "127.0.0.1:"+a, "/app/demo-key")
	next(t, r, "sockudo_new_connections_total", map[string]string{"hub": "one"})
}

func TestExporterSettings(t *testing.T) {
	for block, want := range map[string]*exporterSpec{
		"":                          nil,
		"tcp_exporter off":          nil,
		"tcp_exporter {\nport 1\n}": nil,
		"tcp_exporter":              {"127.0.0.1:5000", "", 1024},
		"tcp_exporter on":           {"127.0.0.1:5000", "", 1024},
		"tcp_exporter [::1]:6000":   {"[::1]:6000", "", 1024},
		"tcp_exporter 0.0.0.0:6000 {\nbuffer_size 7\n}":                    {"0.0.0.0:6000", "", 7},
		"tcp_exporter {\nenabled on\nhost ::\nport 6000\nbuffer_size 1\n}": {"[::]:6000", "", 1},
		"tcp_exporter localhost:{env.SOCKUDO_TEST_PORT}":                   {"localhost:6001", "", 1024},
		"tcp_exporter localhost:6000 {\nenabled off\n}":                    nil,
		"tcp_exporter {\nenabled {env.SOCKUDO_TEST_ON}\nhost \"[::1]\"\n}": {"[::1]:5000", "", 1024},
	} {
		t.Setenv("SOCKUDO_TEST_PORT", "6001")
		t.Setenv("SOCKUDO_TEST_ON", "true")
		d := mustResolve(t, &mustParse(t, "metrics {\n"+block+"\n}\n"+appBlock).HubConfig, nil)
		got := d.exporter
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%q is %v, want %v", block, got, want)
		}
		warned := strings.Contains(strings.Join(d.warnings, "\n"), "neither TLS nor authentication")
		if outside := want != nil && (want.buffer == 7 || want.buffer == 1); warned != outside {
			t.Errorf("%q warns: %v", block, d.warnings)
		}
	}
	d := mustResolve(t, &mustParse(t, appBlock).HubConfig, map[string]string{
		"METRICS_TCP_EXPORTER_ENABLED": "true", "METRICS_TCP_EXPORTER_HOST": "127.0.0.2", "METRICS_TCP_EXPORTER_PORT": "7", "METRICS_TCP_EXPORTER_BUFFER_SIZE": "9",
	})
	if d.exporter == nil || *d.exporter != (exporterSpec{"127.0.0.2:7", "", 9}) {
		t.Errorf("the environment says %v", d.exporter)
	}
	d = mustResolve(t, &mustParse(t, "metrics {\ntcp_exporter {\nport 7\n}\n}\n"+appBlock).HubConfig, nil)
	contains(t, strings.Join(d.warnings, "\n"), "metrics.tcp_exporter is off, although it has settings")
}

func TestExporterRefusals(t *testing.T) {
	for block, want := range map[string]string{
		"tcp_exporter 5000":                            `tcp_exporter takes on, off or HOST:PORT such as 127.0.0.1:5000, not "5000"`,
		"tcp_exporter :5000":                           `tcp_exporter takes on, off or HOST:PORT such as 127.0.0.1:5000, not ":5000"`,
		"tcp_exporter a:1 b:2":                         `tcp_exporter takes on, off or HOST:PORT such as 127.0.0.1:5000, not "a:1 b:2"`,
		"tcp_exporter a:0":                             "tcp_exporter: port: must be at least 1",
		"tcp_exporter a:70000":                         "tcp_exporter: port: must be at most 65535",
		"tcp_exporter a:1 {\nport 1\n}":                "HOST:PORT and host or port in its block mean the same",
		"tcp_exporter {\nbuffer_size 0\n}":             "buffer_size: must be at least 1",
		"tcp_exporter {\nbuffer_size 100001\n}":        "buffer_size: must be at most 100000",
		"tcp_exporter {\nbuffer 5\n}":                  "buffer is unknown (did you mean buffer_size?)",
		"tcp_exporter {\nenabled on\nhost a:b\n}":      `metrics.tcp_exporter: host: "a:b" is not an address to listen at`,
		"tcp_exporter {\nenabled on\nhost http://x\n}": `metrics.tcp_exporter: host: "http://x" is not an address to listen at`,
		"enabled off\ntcp_exporter on":                 "metrics.tcp_exporter: needs the metrics, which are off",
	} {
		h, err := parse("metrics {\n" + block + "\n}\n" + appBlock)
		if err == nil {
			_, err = resolve(&h.HubConfig, nil)
		}
		if err == nil {
			t.Errorf("%q is taken", block)
			continue
		}
		contains(t, err.Error(), want)
	}
}
