package sockudo

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/webhooks"
)

// webhookReceiver is a server for HTTPS that keeps what it gets.
type webhookReceiver struct {
	*httptest.Server
	ca string // a file

	mu     sync.Mutex
	status int
	events map[string]int // how often each channel was told of
	keys   map[string]int // how many requests had a header X-Key
}

func newWebhookReceiver(t *testing.T) *webhookReceiver {
	t.Helper()
	files := certtest.New(t)
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	r := &webhookReceiver{ca: files.CA, events: map[string]int{}, keys: map[string]int{}}
	r.Server = httptest.NewUnstartedServer(r)
	r.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	r.StartTLS()
	t.Cleanup(r.Close)
	t.Setenv("HOOK_SECRET", "s3cr3t-canary")
	t.Setenv("HOOK_URL", r.URL+"/canary-path?token=canary-token")
	return r
}

func (r *webhookReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	var envelope struct {
		Events []struct{ Channel string }
	}
	_ = json.Unmarshal(body, &envelope)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status != 0 {
		w.WriteHeader(r.status)
		return
	}
	r.keys[req.Header.Get("X-Key")]++
	for _, e := range envelope.Events {
		r.events[e.Channel]++
	}
}

func (r *webhookReceiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *webhookReceiver) got() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

// site is a site whose app has a webhook at the receiver.
func (r *webhookReceiver) site(port, key, more string) string {
	return site(port, "sockudo {\nwebhooks {\nallow_private on\nca "+r.ca+"\nflush_interval 20ms\nretry {\ninitial_backoff 50ms\n}\n}\napp demo {\nkey demo-key\nsecret {env.HOOK_SECRET}\nwebhook {env.HOOK_URL} {\nevents channel_occupied client_event\nheader X-Key "+key+"\n}\n}\n"+more+"\n}")
}

// tellHub tells events as the hub does.
func tellHub(t *testing.T, events ...protocol.WebhookEvent) {
	t.Helper()
	for range 100 {
		live, err := findHub(defaultHub).Live()
		if err != nil {
			t.Fatal(err)
		}
		settled := make(chan bool, 1)
		live.Settings.Webhooks.Sink.Tell("demo", events, func(kept bool) { settled <- kept })
		live.Release()
		if <-settled {
			return
		}
		time.Sleep(5 * time.Millisecond) // it was that of a configuration that has gone
	}
	t.Fatal("the events are lost")
}

func occupiedEvent(channel string) protocol.WebhookEvent {
	return protocol.WebhookEvent{ID: "e-" + channel, TimeMS: time.Now().UnixMilli(), Name: protocol.WebhookChannelOccupied, Channel: channel}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// Endpoints, batches and queues change by reloads while events come. None is lost,
// and none is told twice.
func TestReloadsLoseNoWebhook(t *testing.T) {
	s, r := newServer(t), newWebhookReceiver(t)
	port := freePort(t)
	s.mustLoad("", r.site(port, "0", ""))
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { done <- n }()
		for ; ; n += 10 {
			select {
			case <-stop:
				return
			default:
				var events []protocol.WebhookEvent
				for i := range 10 {
					events = append(events, occupiedEvent(fmt.Sprint("c", n+i)))
				}
				tellHub(t, events...)
			}
		}
	}()
	for i := 1; i <= 6; i++ {
		s.mustLoad("", r.site(port, fmt.Sprint(i), []string{"", "queue memory"}[i%2]))
		before := r.got()
		eventually(t, "another event", func() bool { return r.got() > before })
	}
	close(stop)
	n := <-done
	eventually(t, "every event", func() bool { return r.got() == n })
	r.mu.Lock()
	defer r.mu.Unlock()
	twice := 0
	for _, times := range r.events {
		if times > 1 {
			twice++
		}
	}
	if r.keys["6"] == 0 || n < 60 {
		t.Errorf("%d events, and requests by key are %v", n, r.keys)
	}
	t.Logf("FIGURE webhooks over 6 reloads that change the endpoint and the queue: %d events told, %d lost, %d told twice", n, n-len(r.events), twice)
}

// What has failed for good shows in the admin API and by the command, can be sent
// again and thrown away, and nothing in the log says what it must not.
//
// Checklist: configuration 86, 91, 134
func TestDeadWebhooks(t *testing.T) {
	s, r := newServer(t), newWebhookReceiver(t)
	// Caddy itself logs the configuration as it is written, with placeholders.
	t.Setenv("HOOK_HEADER", "canary-header")
	s.mustLoad("", r.site(freePort(t), "{env.HOOK_HEADER}", ""))
	r.answer(http.StatusBadRequest)
	tellHub(t, occupiedEvent("a"), protocol.WebhookEvent{ID: "e", Name: protocol.WebhookClientEvent, Channel: "private-b", Event: "client-x", Data: "canary-payload", SocketID: "1.2"})
	var report webhooks.Report
	eventually(t, "the dead letter", func() bool {
		return s.call("GET", "/sockudo/hubs/default/webhooks", &report) == http.StatusOK && report.Dead == 1
	})
	if len(report.Endpoints) != 1 || report.Endpoints[0].Dead != 1 || report.Endpoints[0].LastFailure != "the answer was 400" || !strings.HasPrefix(report.Endpoints[0].Place, r.URL+"/…") {
		t.Errorf("the report is %+v", report)
	}
	command := func(args ...string) string {
		t.Helper()
		cmd := webhooksCommand()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs(append(args, "--address", s.admin))
		if err := cmd.Execute(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out.String()
	}
	contains(t, command(), "dead letters", "endpoint", "the answer was 400")
	contains(t, command("dead"), "the answer was 400", "demo")
	var letters []webhooks.Letter
	if status := s.call("GET", "/sockudo/hubs/default/webhooks/dead", &letters); status != http.StatusOK || len(letters) != 1 || letters[0].Events != nil || letters[0].Count != 2 {
		t.Fatalf("%d %+v", status, letters)
	}
	contains(t, command("show", letters[0].Key), `"channel":"a"`, "canary-payload", letters[0].ID)
	contains(t, command("replay", letters[0].Key), "1 dead letters queued again.")
	eventually(t, "its second end", func() bool {
		letters = nil
		s.call("GET", "/sockudo/hubs/default/webhooks/dead", &letters)
		return len(letters) == 1
	})
	r.answer(0)
	contains(t, command("replay", "--all"), "1 dead letters queued again.")
	eventually(t, "the replayed events", func() bool { return r.got() == 2 })
	contains(t, command("purge"), "0 dead letters thrown away.")
	for path, want := range map[string]int{"GET /dead/999": 404, "POST /dead/999/replay": 404, "GET /dead?limit=x": 400} {
		method, path, _ := strings.Cut(path, " ")
		if got := s.call(method, "/sockudo/hubs/default/webhooks"+path, nil); got != want {
			t.Errorf("%s %s answers %d, want %d", method, path, got, want)
		}
	}
	if err := runCommand(webhooksCommand(), "replay", "--address", s.admin); err == nil {
		t.Error("replay of nothing is no error")
	}
	_, metrics := request(t, "GET", "http://"+s.admin+"/metrics", nil)
	contains(t, metrics, `sockudo_webhook_dead_total{app_id="demo",hub="default"} 2`, `sockudo_webhook_delivered_total{app_id="demo",hub="default"} 1`,
		`sockudo_webhook_jobs{hub="default",state="dead"} 0`, `sockudo_webhook_oldest_age_seconds{hub="default"} 0`)
	logged := s.logged()
	contains(t, logged, "a webhook request has failed for good")
	for _, canary := range []string{"s3cr3t-canary", "canary-path", "canary-token", "canary-payload", "canary-header", "X-Pusher-Signature"} {
		if strings.Contains(logged, canary) {
			i := strings.Index(logged, canary)
			t.Errorf("the log shows %s: %s", canary, logged[max(0, i-300):i+20])
		}
	}
}

func runCommand(cmd *cobra.Command, args ...string) error {
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(args)
	return cmd.Execute()
}

// Checklist: configuration 92
func TestNoWebhooks(t *testing.T) {
	s := newServer(t)
	s.mustLoad("", site(freePort(t), "sockudo {\n"+appBlock+"webhooks {\nenabled off\n}\n}"))
	if status := s.call("GET", "/sockudo/hubs/default/webhooks", nil); status != http.StatusNotFound {
		t.Errorf("webhooks that are off answer %d", status)
	}
	live, err := findHub(defaultHub).Live()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	if live.Settings.Webhooks.Sink != nil || live.Settings.Drivers.Queue != nil {
		t.Error("webhooks that are off have a sink, or a queue")
	}
}

// Apps in a store have webhooks too, whose secrets are not shown and survive a
// change of what is shown.
func TestWebhooksOfStoredApps(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	s.mustLoad("", site(port, "sockudo {\napp_manager sqlite\n}"))
	status, _, text := s.edit("PUT", "demo", "", `{"webhooks": [{"url": "https://user:s3cr3t-canary@hooks.example/a", "events": ["channel_occupied"], "headers": {"X-Token": "s3cr3t-canary"}}]}`)
	if status != http.StatusCreated || strings.Contains(text, "canary") || strings.Count(text, redacted) != 2 {
		t.Fatalf("%d %s", status, text)
	}
	tellHub(t, occupiedEvent("a"))
	tellHub(t, occupiedEvent("b"))
	if n := strings.Count(s.logged(), "has webhooks, and nothing is sent"); n != 1 {
		t.Errorf("the log warns %d times of webhooks that are not sent", n)
	}
	var record AppRecord
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		t.Fatal(err)
	}
	status, _, text = s.edit("PUT", "demo", record.Version, `{"policy": `+strings.Replace(string(record.Policy), "channel_occupied", "channel_vacated", 1)+`}`)
	if status != http.StatusOK || !strings.Contains(text, "channel_vacated") {
		t.Fatalf("%d %s", status, text)
	}
	live, err := findHub(defaultHub).Live()
	if err != nil {
		t.Fatal(err)
	}
	app, err := live.Settings.Drivers.Apps.AppByID(t.Context(), "demo")
	live.Release()
	if err != nil || app.Webhooks[0].Headers["X-Token"] != "s3cr3t-canary" || !strings.Contains(app.Webhooks[0].URL, "user:s3cr3t-canary@") {
		t.Errorf("the app became %+v, %v", app, err)
	}
	for _, hook := range []string{`{"url": "https://other.example/", "events": ["cache_miss"], "headers": {"X-Token": "REDACTED"}}`, `{"url": "https://user:REDACTED@other.example/", "events": ["cache_miss"]}`} {
		if status, _, text = s.edit("PUT", "demo", "*", `{"webhooks": [`+hook+`]}`); status != http.StatusBadRequest || !strings.Contains(text, "nothing is there that this could stand for") {
			t.Errorf("%d %s", status, text)
		}
	}
}

var _ realtime.WebhookSink = (*webhooks.Delivery)(nil)
