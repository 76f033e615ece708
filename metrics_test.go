package sockudo

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/internal/pushtest"
)

// scrape is what the admin endpoint serves to who does not ask for OpenMetrics.
func scrape(t *testing.T, s *server) string {
	t.Helper()
	status, body := request(t, "GET", "http://"+s.admin+"/metrics", nil)
	if status != http.StatusOK {
		t.Fatal(status)
	}
	return body
}

// untilScraped waits for something that metrics are to say.
func untilScraped(t *testing.T, s *server, what string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		body := scrape(t, s)
		if strings.Contains(body, what) {
			return body
		}
		if time.Now().After(deadline) {
			t.Fatalf("metrics never said %s:\n%s", what, strings.Join(ownLines(body), "\n"))
		}
	}
}

// ownLines are the values of this module.
func ownLines(body string) (lines []string) {
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "sockudo_") && !strings.Contains(line, "_bucket{") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

var (
	typeLine  = regexp.MustCompile(`(?m)^# TYPE (sockudo_\S+) (\S+)$`)
	labelName = regexp.MustCompile(`[{,]([a-z_]+)="`)
)

// shapes are the name, type and labels of each metric that has a value.
func shapes(body string) map[string]bool {
	all := map[string]bool{}
	for _, m := range typeLine.FindAllStringSubmatch(body, -1) {
		name := regexp.MustCompile(`(?m)^` + m[1] + `(?:_count)?(\{.*\})? [^ ]+$`).FindStringSubmatch(body)
		if name == nil {
			continue
		}
		labels := []string{}
		for _, l := range labelName.FindAllStringSubmatch(name[1], -1) {
			labels = append(labels, l[1])
		}
		all[shape(m[1], m[2], labels)] = true
	}
	return all
}

func shape(name, kind string, labels []string) string {
	slices.Sort(labels)
	return name + " " + kind + " " + strings.Join(labels, ",")
}

// metricsSite is a site with everything that is counted.
func metricsSite(port string, r *webhookReceiver, f *pushtest.FCM, metrics string) string {
	return site(port, "sockudo {\nmetrics {\n"+metrics+"\n}\nwebhooks {\nallow_private on\nca "+r.ca+"\nflush_interval 20ms\n}\n"+
		"history on\npresence_history on\nrecovery on\nversioned_messages on\nannotations on\n"+
		fcmBlock(f, "", "")+"app demo {\nkey demo-key\nsecret s3cr3t-canary\nenable_client_messages on\nwebhook {env.HOOK_URL} {\nevents channel_occupied\n}\n}\n}")
}

// exercise uses what is counted once.
func exercise(t *testing.T, p pushPort) (stays *socket) {
	t.Helper()
	host := "127.0.0.1:" + p.port
	stays = dial(t, host, "/app/demo-key")
	other := dial(t, host, "/app/demo-key")
	if status, _ := request(t, "GET", "http://"+host+"/apps/demo/channels", nil); status == http.StatusOK {
		t.Error("an unsigned call was answered")
	}
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+host+"/app/no-such-key", nil)
	if err == nil {
		_ = resp.Body.Close()
		_ = c.Close()
	}
	for _, k := range []*socket{stays, other} {
		k.subscribe("room")
	}
	p.must("events", fmt.Sprintf(`{"name":"x","channel":"room","data":"{}","idempotency_key":"k","socket_id":%q}`, stays.id))
	p.must("events", fmt.Sprintf(`{"name":"x","channel":"room","data":"{}","idempotency_key":"k","socket_id":%q}`, stays.id))
	p.must("events", `{"name":"y","channel":"room","data":"{}"}`)
	stays.expect(`"y"`)
	stays.send(`{"event":"pusher:unsubscribe","data":{"channel":"room"}}`)
	p.fcmDevice("phone", "user")
	p.must("push/publish", `{"recipients":[{"type":"device","deviceId":"phone"}],"payload":{"title":"T","body":"B"}}`)
	return stays
}

// Every metric that there is, with its type and its labels; those marked with * have
// values after one use of their feature.
//
// Checklist: configuration 125, 129, 133
func TestMetricsGolden(t *testing.T) {
	s, r, f := newServer(t), newWebhookReceiver(t), pushtest.NewFCM(t)
	p := pushPort{t, freePort(t)}
	t.Setenv("PUSH_FCM_SERVICE_ACCOUNT_JSON_PATH", f.ServiceAccountFile(t))
	s.mustLoad("", metricsSite(p.port, r, f, ""))
	exercise(t, p)
	for _, what := range []string{
		`sockudo_push_dispatched_total{app="demo"`, `sockudo_webhook_delivered_total{app_id="demo"`, `sockudo_queue_settled_total{backend="sqlite",hub="default",outcome="completed",queue="webhooks"}`,
		`sockudo_queue_depth{`, `sockudo_push_delivery_status_total`, `sockudo_broadcast_latency_ms_count{app_id="demo",channel_type="public",hub="default",recipient_count_bucket="xs"}`,
	} {
		untilScraped(t, s, what)
	}
	body := scrape(t, s)
	seen := shapes(body)
	var lines []string
	for _, i := range findHub(defaultHub).Metrics().Infos() {
		line := shape(meter.FullName("sockudo_", i.Name), i.Kind.String(), append(slices.Clone(i.Labels), "hub"))
		if seen[line] {
			line += " *"
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	golden := filepath.Join("testdata", "metrics.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(text)), "\n")
	known := map[string]bool{}
	for i, line := range want {
		name, marked := strings.CutSuffix(line, " *")
		known[name] = true
		if marked && !seen[name] {
			t.Errorf("after one use of everything there is no %s", name)
		}
		if i >= len(lines) || strings.TrimSuffix(lines[i], " *") != name {
			t.Errorf("metric %d is not %s; run go test . -run TestMetricsGolden -update", i, name)
			break
		}
	}
	if len(lines) != len(want) {
		t.Errorf("there are %d metrics, not %d", len(lines), len(want))
	}
	for line := range seen {
		if !known[line] {
			t.Errorf("there is %s, which nobody knows", line)
		}
	}
	if strings.Contains(body, `channel_name="`) || strings.Contains(body, `="room"`) {
		t.Error("metrics name a channel that nobody has asked for")
	}
	resp, err := client.Get("http://" + s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("metrics are %s", kind)
	}
}

// A prefix renames what has no complete name, values and registrations stay over reloads,
// and nothing is registered where metrics are off. Sockets that end without a word are
// counted as ended.
//
// Checklist: configuration 121, 126, 127, 128
func TestMetricsOverReloads(t *testing.T) {
	s, port := newServer(t), freePort(t)
	load := func(metrics string) {
		t.Helper()
		s.mustLoad("", site(port, "sockudo {\nrate_limiter {\nenabled off\n}\n"+appBlock+"metrics {\n"+metrics+"\n}\n}"))
	}
	load("")
	sockets := []*socket{dial(t, "127.0.0.1:"+port, "/app/demo-key"), dial(t, "127.0.0.1:"+port, "/app/demo-key")}
	const two = `connected{app_id="demo",hub="default"} 2`
	untilScraped(t, s, "sockudo_"+two)
	series := len(ownLines(scrape(t, s)))
	for i := range 100 {
		load([]string{"prefix sockudo_", ""}[i%2])
	}
	if n := len(ownLines(untilScraped(t, s, "sockudo_"+two))); n != series {
		t.Errorf("after 100 reloads there are %d values, not %d", n, series)
	}
	load("prefix foo_")
	if body := untilScraped(t, s, "foo_"+two); strings.Contains(body, "sockudo_connected") || !strings.Contains(body, "sockudo_push_publish_log_lag_seconds") {
		t.Error("the prefix is not that of core metrics alone")
	}
	load("enabled off")
	if body := scrape(t, s); strings.Contains(body, "sockudo_") || strings.Contains(body, "foo_") {
		t.Error("metrics that are off are served")
	}
	load("")
	for _, k := range sockets {
		_ = k.NetConn().Close() // without a close frame
	}
	untilScraped(t, s, `sockudo_connected{app_id="demo",hub="default"} 0`)
	body := untilScraped(t, s, `sockudo_new_disconnections_total{app_id="demo",hub="default"} 2`) // counted after that
	contains(t, body, `sockudo_new_connections_total{app_id="demo",hub="default"} 2`)
}

// Channels are named while that is asked for, and no longer.
//
// Checklist: configuration 133
func TestMetricsNameChannels(t *testing.T) {
	s, port := newServer(t), freePort(t)
	named := func() bool { return findHub(defaultHub).Metrics().NamesChannels() }
	for i, words := range []string{"", "channel_labels on", "channel_labels off"} {
		s.mustLoad("", site(port, "sockudo {\n"+appBlock+"metrics {\n"+words+"\n}\n}"))
		if named() != (i == 1) {
			t.Errorf("%q: channels are named: %v", words, named())
		}
	}
	if err := s.load("", site(port, "sockudo {\n"+appBlock+"metrics {\nchannel_labels on\nprefix 9\n}\n}")); err == nil || named() {
		t.Error("a configuration that was refused names channels")
	}
}
