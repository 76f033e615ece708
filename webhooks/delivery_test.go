package webhooks

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pusher/pusher-http-go/v5"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: http-api 158
// Checklist: configuration 90, 91
func TestRequestsAreSigned(t *testing.T) {
	r := newReceiver(t, nil)
	h := r.hook("/hooks?token=canary-token")
	h.Headers = map[string]string{"X-Env": "prod", "User-Agent": "ours", "X-Pusher-Key": "of a record that others wrote"}
	g := newRig(t, Settings{Roots: r.roots}, h)
	g.tell(t, protocol.WebhookEvent{ID: "e1", TimeMS: 1700000000123, Name: protocol.WebhookClientEvent, Channel: "private-a", Event: "client-x", Data: `{"a":"ü <&>"}`, SocketID: "1.2"})
	got := r.await(t, 1)[0]
	if want := `{"time_ms":1700000000123,"events":[{"name":"client_event","channel":"private-a","event":"client-x","data":"{\"a\":\"ü <&>\"}","socket_id":"1.2","event_id":"e1"}]}`; string(got.body) != want {
		t.Errorf("the body is %s, want %s", got.body, want)
	}
	if ct := got.header["Content-Type"]; len(ct) != 1 || ct[0] != "application/json" {
		t.Errorf("Content-Type is %q", ct)
	}
	if got.header.Get(IDHeader) == "" || got.header.Get("X-Env") != "prod" || got.header.Get("User-Agent") != "ours" || len(got.header["X-Pusher-Key"]) != 1 {
		t.Errorf("the headers are %v", got.header)
	}
	client := pusher.Client{Key: testKey, Secret: testSecret}
	hook, err := client.Webhook(got.header, got.body)
	if err != nil || len(hook.Events) != 1 || hook.Events[0].Event != "client-x" {
		t.Errorf("the official SDK says %+v, %v", hook, err)
	}
	if _, err := client.Webhook(got.header, append(got.body, ' ')); err == nil {
		t.Error("the official SDK accepts another body")
	}
}

// The example of the specification.
//
// Checklist: http-api 158
func TestVector(t *testing.T) {
	j := &job{TimeMS: 1700000000123, Events: []byte(`[{"name":"channel_occupied","channel":"orders"}]`)}
	if body := string(j.body()); body != `{"time_ms":1700000000123,"events":[{"name":"channel_occupied","channel":"orders"}]}` ||
		protocol.Sign("app-secret", body) != "9a9643f2f8b0ed829a06db8607338a30675bf728a1b21e2f5186ef85d1f2f4a8" {
		t.Errorf("%s is signed %s", body, protocol.Sign("app-secret", body))
	}
}

// Checklist: http-api 159, 162
func TestEndpointsGetWhatTheyAskFor(t *testing.T) {
	r := newReceiver(t, nil)
	only := func(path string, f storage.WebhookFilter, events ...string) storage.Webhook {
		return storage.Webhook{URL: r.URL + path, Filter: f, EventTypes: events}
	}
	g := newRig(t, Settings{Roots: r.roots},
		only("/occupied", storage.WebhookFilter{}, "channel_occupied"),
		only("/twice", storage.WebhookFilter{}, "channel_vacated"), only("/twice", storage.WebhookFilter{}, "channel_vacated"),
		only("/both", storage.WebhookFilter{Prefix: "private-", Suffix: "-live", Pattern: `^private-(chat|orders):`, Namespaces: []string{"chat"}}, "channel_occupied", "channel_vacated"),
		only("/never", storage.WebhookFilter{Pattern: "("}, "channel_occupied"),
		only("/empty", storage.WebhookFilter{Namespaces: []string{""}}, "channel_occupied"),
		only("/of-later", storage.WebhookFilter{}, "member_updated"))
	vacated := occupied("private-chat:b-live")
	vacated.Name = protocol.WebhookChannelVacated
	g.tell(t, occupied("plain"), occupied("private-chat:a-live"), vacated, occupied("private-orders:c-live"), occupied("private-chat:d"), occupied("presence-chat:e-live"))
	g.drained(t)
	got := map[string][]string{}
	for _, one := range r.all() {
		text := []string{}
		for _, e := range one.envelope(t).Events {
			text = append(text, e.Name+" "+e.Channel)
		}
		got[one.path] = append(got[one.path], strings.Join(text, ", "))
	}
	want := map[string][]string{
		"/occupied": {"channel_occupied plain, channel_occupied private-chat:a-live, channel_occupied private-orders:c-live, channel_occupied private-chat:d, channel_occupied presence-chat:e-live"},
		"/twice":    {"channel_vacated private-chat:b-live", "channel_vacated private-chat:b-live"},
		"/both":     {"channel_occupied private-chat:a-live, channel_vacated private-chat:b-live"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	ids := map[string]bool{}
	for _, one := range r.all() {
		ids[one.header.Get(IDHeader)] = true
	}
	if len(ids) != 4 {
		t.Errorf("%d requests have %d ids", len(r.all()), len(ids))
	}
	if n := g.logs.FilterMessage("a webhook of an app cannot be used").Len(); n != 1 {
		t.Errorf("the log says %d times that a webhook cannot be used", n)
	}
}

// Checklist: configuration 87, 88
// Checklist: http-api 163
func TestBatches(t *testing.T) {
	r := newReceiver(t, nil)
	g := newRig(t, Settings{Roots: r.roots, FlushInterval: 500 * time.Millisecond, MaxBatch: 50}, r.hook("/"))
	start := time.Now()
	for i := range 51 {
		g.Tell("demo", []protocol.WebhookEvent{occupied(fmt.Sprint(i))}, nil)
	}
	got := r.await(t, 2)
	first, second := got[0].envelope(t), got[1].envelope(t)
	if len(first.Events) != 50 || len(second.Events) != 1 || second.Events[0].Channel != "50" {
		t.Errorf("the requests have %d and %d events", len(first.Events), len(second.Events))
	}
	for i, e := range first.Events {
		if e.Channel != fmt.Sprint(i) {
			t.Errorf("event %d is of channel %s", i, e.Channel)
		}
	}
	if took := got[1].at.Sub(start); took < 450*time.Millisecond {
		t.Errorf("the lone event came after %v", took)
	}
	// The time is that of the earliest event, wherever that stands.
	late, early := occupied("late"), occupied("early")
	late.TimeMS, early.TimeMS = 2000, 1000
	g.tell(t, late, early)
	if e := r.await(t, 3)[2].envelope(t); e.TimeMS != 1000 || len(e.Events) != 2 {
		t.Errorf("the request is of %d, with %d events", e.TimeMS, len(e.Events))
	}
}

func TestEachEventByItself(t *testing.T) {
	r := newReceiver(t, nil)
	g := newRig(t, Settings{Roots: r.roots, Single: true, FlushInterval: time.Hour}, r.hook("/"))
	g.tell(t, occupied("a"), occupied("b"), occupied("c"))
	g.drained(t)
	for _, one := range r.await(t, 3) {
		if n := len(one.envelope(t).Events); n != 1 {
			t.Errorf("a request has %d events", n)
		}
	}
}

// Batches are bounded in bytes too, and an event larger than that goes alone.
func TestLargeEvents(t *testing.T) {
	r := newReceiver(t, nil)
	g := newRig(t, Settings{Roots: r.roots, FlushInterval: time.Hour, MaxBatch: 100}, r.hook("/"))
	large := func(n int) protocol.WebhookEvent {
		return protocol.WebhookEvent{ID: "x", Name: protocol.WebhookClientEvent, Channel: "c", Event: "client-e", Data: strings.Repeat("x", n)}
	}
	g.Tell("demo", []protocol.WebhookEvent{large(100 << 10), large(100 << 10), large(100 << 10), large(300 << 10), large(100)}, nil)
	got := r.await(t, 3)
	var sizes []int
	for _, one := range got {
		sizes = append(sizes, len(one.envelope(t).Events))
	}
	total := 0
	for _, n := range sizes {
		total += n
	}
	if total != 4 || len(sizes) != 3 {
		t.Errorf("the requests have %v events, want 2, 1 and 1", sizes)
	}
}

// Checklist: http-api 161
// Checklist: configuration 86, 89
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		answer   func(http.ResponseWriter, *http.Request, int)
		requests int
		dead     string // reason, or empty when the last request is accepted
	}{
		"500":       {status(500), 2, ""},
		"502 408":   {status(502, 408), 3, ""},
		"409 425":   {status(409, 425, 429, 503), 5, ""},
		"400":       {status(400), 1, "the answer was 400"},
		"404":       {status(404), 1, "the answer was 404"},
		"302":       {redirect("https://127.0.0.1:1/"), 1, "the answer was 307, and redirects are not followed: the URL must be the final one"},
		"huge":      {huge, 1, ""},
		"endless":   {endless, 1, ""},
		"reset":     {hijacked(func(w http.ResponseWriter, _ *http.Request, _ int) { panic(http.ErrAbortHandler) }, 1), 2, ""},
		"slow":      {slow(1), 2, ""},
		"500 ever":  {status(500, 500, 500, 500, 500, 500, 500, 500), 4, "the answer was 500"},
		"204 is ok": {status(204), 1, ""},
		"299 is ok": {status(299), 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, c.answer)
			h := r.hook("/")
			if name == "slow" || name == "endless" {
				h.Timeout = time.Second
			}
			h.Retry = &storage.WebhookRetry{MaxAttempts: max(c.requests, 4)}
			g := newRig(t, Settings{Roots: r.roots}, h)
			g.tell(t, occupied("a"))
			if c.dead != "" {
				if l := g.dead(t, 1)[0]; l.Reason != c.dead || l.Attempt != c.requests {
					t.Errorf("the dead letter is of %d attempts, for %q; want %d, for %q", l.Attempt, l.Reason, c.requests, c.dead)
				}
			} else {
				g.drained(t)
			}
			got := r.all()
			if len(got) != c.requests {
				t.Errorf("there were %d requests, want %d", len(got), c.requests)
			}
			for _, one := range got {
				if !bytes.Equal(one.body, got[0].body) || one.header.Get(IDHeader) != got[0].header.Get(IDHeader) {
					t.Error("another attempt has another body, or another id")
				}
			}
		})
	}
}

// A receiver whose certificate is bad gets nothing, however often it is tried.
func TestBadCertificates(t *testing.T) {
	good, expired := certtest.New(t), certtest.Expired(t)
	for name, c := range map[string]struct {
		files   certtest.Files
		trusted bool
		host    string
		reason  string
	}{
		"unknown authority": {good, false, "127.0.0.1", "its certificate is of an unknown authority"},
		"another name":      {good, true, "localhost", "its certificate is for another name"},
		"expired":           {expired, true, "127.0.0.1", "its certificate has expired, or is not valid yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiverOf(t, c.files, nil)
			h := r.hook("/")
			h.URL = strings.Replace(h.URL, "127.0.0.1", c.host, 1)
			h.Retry = &storage.WebhookRetry{MaxAttempts: 3}
			s := Settings{}
			if c.trusted {
				s.Roots = r.roots
			}
			g := newRig(t, s, h)
			g.tell(t, occupied("a"))
			if l := g.dead(t, 1)[0]; l.Reason != c.reason || l.Attempt != 3 {
				t.Errorf("the dead letter is of %d attempts, for %q; want 3, for %q", l.Attempt, l.Reason, c.reason)
			}
			if got := r.all(); len(got) > 0 {
				t.Errorf("there were %d requests", len(got))
			}
		})
	}
}

func redirect(to string) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}
}

func huge(w http.ResponseWriter, _ *http.Request, _ int) {
	_, _ = w.Write(bytes.Repeat([]byte("x"), 8<<20))
}

// endless answers 200 and goes on for ever. What has been accepted is delivered.
func endless(w http.ResponseWriter, r *http.Request, _ int) {
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// hijacked does it the first n times.
func hijacked(f func(http.ResponseWriter, *http.Request, int), times int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, r *http.Request, n int) {
		if n <= times {
			f(w, r, n)
		}
	}
}

func slow(times int) func(http.ResponseWriter, *http.Request, int) {
	return hijacked(func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() }, times)
}

// Retry-After says when to come again, within the time that there is.
func TestRetryAfter(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		if n == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	g := newRig(t, Settings{Roots: r.roots}, r.hook("/"))
	g.tell(t, occupied("a"))
	got := r.await(t, 2)
	if pause := got[1].at.Sub(got[0].at); pause < 990*time.Millisecond {
		t.Errorf("the second attempt came after %v", pause)
	}
}

// A receiver that says 410 gets nothing any more, until its definition changes.
func TestGone(t *testing.T) {
	r := newReceiver(t, status(410))
	g := newRig(t, Settings{Roots: r.roots}, r.hook("/"))
	g.tell(t, occupied("a"))
	if l := g.dead(t, 1)[0]; l.Reason != "the answer was 410" {
		t.Errorf("the dead letter says %q", l.Reason)
	}
	if n := g.logs.FilterMessageSnippet("has answered 410").Len(); n != 1 {
		t.Errorf("the log says so %d times", n)
	}
	g.tell(t, occupied("b"))
	if n := g.stats(t); n.Ready+n.Delayed+n.Active != 0 || n.Dead != 1 {
		t.Errorf("the queue has %+v after another event", n)
	}
	// A letter that is replayed meanwhile is dead again.
	letters := g.dead(t, 1)
	if err := g.queue.Replay(t.Context(), QueueName, letters[0].Key); err != nil {
		t.Fatal(err)
	}
	if l := g.dead(t, 1)[0]; !strings.Contains(l.Reason, "410") {
		t.Errorf("the dead letter says %q", l.Reason)
	}
	changed := r.hook("/")
	changed.Headers = map[string]string{"X-New": "1"}
	g.apps.set(changed)
	g.tell(t, occupied("c"))
	if got := r.await(t, 2); got[1].envelope(t).Events[0].Channel != "c" {
		t.Errorf("the changed endpoint got %s", got[1].body)
	}
}

// What is queued goes to the endpoint as it is by then, with the secret of then;
// without an endpoint, or without its app, it is dropped.
func TestChangedApps(t *testing.T) {
	r := newReceiver(t, status(500))
	h := r.hook("/")
	h.Retry = &storage.WebhookRetry{InitialBackoff: 300 * time.Millisecond}
	g := newRig(t, Settings{Roots: r.roots}, h)
	g.tell(t, occupied("a"))
	r.await(t, 1)
	g.apps.mu.Lock()
	changed := *g.apps.app
	other := h
	other.Filter.Prefix, other.EventTypes = "zzz", []string{"member_added"} // of other events, and to the same place
	changed.Secret, changed.Webhooks = "another", []storage.Webhook{other}
	g.apps.app = &changed
	g.apps.mu.Unlock()
	got := r.await(t, 2)[1]
	if got.header.Get("X-Pusher-Signature") != protocol.Sign("another", string(got.body)) {
		t.Error("the second attempt is not signed with the new secret")
	}
	g.drained(t)
	for name, change := range map[string]func(){
		"no such webhook": func() { g.apps.set() },
		"its app is gone": func() { g.apps.mu.Lock(); g.apps.app = nil; g.apps.mu.Unlock() },
	} {
		r.mu.Lock()
		r.answer, r.got = func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(500) }, nil
		r.mu.Unlock()
		g.apps.set(h)
		g.tell(t, occupied("b"))
		r.await(t, 1)
		change()
		g.drained(t)
		if n := g.logs.FilterMessageSnippet(name).Len(); n != 1 {
			t.Errorf("the log says %d times %q", n, name)
		}
	}
}
