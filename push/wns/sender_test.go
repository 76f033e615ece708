package wns

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// connect is a sender to a stand-in.
func connect(t *testing.T, w *pushtest.WNS, change ...func(*push.ConnectOptions)) push.Sender {
	t.Helper()
	o := push.ConnectOptions{TokenEndpoint: w.TokenEndpoint(), Roots: w.Roots(), AllowPrivate: true}
	for _, f := range change {
		f(&o)
	}
	s, err := Provider{}.Connect(w.Material(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// to is a notification for a channel of the stand-in.
func to(t *testing.T, w *pushtest.WNS, channel string) *push.Notification {
	t.Helper()
	payload, err := Provider{}.Render(&push.Content{Title: "T <&>", Body: "B", CollapseKey: "order", Data: json.RawMessage(`{"id":"it's 1"}`)})
	if err != nil {
		t.Fatal(err)
	}
	return &push.Notification{
		Recipient: push.Recipient{TransportType: "wns", ChannelURI: w.Channel(channel)}, Payload: payload, CollapseKey: "order", TTL: 10 * time.Minute,
	}
}

func wantResult(t *testing.T, r push.Result, outcome push.Outcome, class push.Class) {
	t.Helper()
	if r.Outcome != outcome || r.Class != class {
		t.Errorf("%+v; want %s %s", r, outcome, class)
	}
}

func wantNoFaults(t *testing.T, w *pushtest.WNS) {
	t.Helper()
	if faults := w.Faults(); len(faults) > 0 {
		t.Errorf("the service finds fault: %q", faults)
	}
}

// Checklist: push 60, 107
func TestSend(t *testing.T) {
	w := pushtest.NewWNS(t)
	r := connect(t, w).Send(t.Context(), to(t, w, "a"))
	wantResult(t, r, push.Accepted, "")
	wantNoFaults(t, w)
	got := w.Messages()
	if len(got) != 1 || r.MessageID == "" {
		t.Fatalf("%+v, %+v", got, r)
	}
	m := got[0]
	if m.Channel != "a" || m.Type != "toast" || m.TTL != 10*time.Minute || m.Launch != `{"id":"it's 1"}` || strings.Join(m.Texts, "|") != "T <&>|B" ||
		m.Header.Get("Content-Type") != "text/xml" || m.Header.Get("X-WNS-Tag") != "order" || m.Header.Get("X-WNS-Group") != "order" {
		t.Errorf("%+v", m)
	}
}

func TestKinds(t *testing.T) {
	w := pushtest.NewWNS(t)
	s := connect(t, w)
	for _, payload := range []string{
		`{"type":"tile","title":"T","body":"B"}`, `{"type":"badge","value":7}`, `{"type":"raw","body":"<not XML"}`,
		`{"type":"toast","xml":"<toast launch='x'><visual/></toast>","headers":{"X-WNS-SuppressPopup":"true","X-WNS-Priority":"Low"}}`,
	} {
		n := to(t, w, "a")
		n.Payload, n.Override = json.RawMessage(payload), true
		wantResult(t, s.Send(t.Context(), n), push.Accepted, "")
	}
	wantNoFaults(t, w)
	got := w.Messages()
	if len(got) != 4 || got[0].Type != "tile" || got[1].Body != "<badge value='7'/>" || got[2].Body != "<not XML" || got[3].Launch != "x" {
		t.Errorf("%+v", got)
	}
	n := to(t, w, "a")
	n.Payload = json.RawMessage(`{"type":"toast","xml":"<toast>"}`)
	wantResult(t, s.Send(t.Context(), n), push.Rejected, push.CallerPayload)
}

func TestOneLoginForAll(t *testing.T) {
	w := pushtest.NewWNS(t)
	var now atomic.Int64
	now.Store(time.Now().Unix())
	s := connect(t, w, func(o *push.ConnectOptions) { o.Now = func() time.Time { return time.Unix(now.Load(), 0) } })
	sendAll := func() {
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { wantResult(t, s.Send(t.Context(), to(t, w, "a")), push.Accepted, "") })
		}
		all.Wait()
	}
	sendAll()
	if n := w.OAuth.Fetches(); n != 1 || len(w.Messages()) != 100 {
		t.Errorf("%d logins, %d messages", n, len(w.Messages()))
	}
	now.Add(int64((24*time.Hour - 4*time.Minute) / time.Second))
	sendAll()
	if n := w.OAuth.Fetches(); n != 2 {
		t.Errorf("%d logins", n)
	}
	w.OAuth.Revoke()
	sendAll()
	if n := w.OAuth.Fetches(); n != 3 {
		t.Errorf("%d logins", n)
	}
	wantNoFaults(t, w)
}

// Checklist: push 83, 107
func TestReplies(t *testing.T) {
	w := pushtest.NewWNS(t)
	s := connect(t, w)
	w.Script("a",
		pushtest.Scripted{Status: 401}, pushtest.Scripted{}, // one more login, and success
		pushtest.Scripted{Status: 401}, pushtest.Scripted{Status: 401},
		pushtest.Scripted{Status: 406, Header: http.Header{"Retry-After": {"7"}}},
		pushtest.Scripted{Status: 404}, pushtest.Scripted{Status: 410}, pushtest.Scripted{Status: 413}, pushtest.Scripted{Status: 503},
		pushtest.WNSStatus("dropped"), pushtest.WNSStatus("channelthrottled"),
	)
	for _, want := range []push.Result{
		{Outcome: push.Accepted},
		{Outcome: push.Retryable, Class: push.CredentialAuth},
		{Outcome: push.Retryable, Class: push.ProviderQuota, RetryAfter: 7 * time.Second},
		{Outcome: push.Rejected, Class: push.DeviceTerminal},
		{Outcome: push.Rejected, Class: push.DeviceTerminal},
		{Outcome: push.Rejected, Class: push.CallerPayload},
		{Outcome: push.Retryable, Class: push.ProviderTransient},
		{Outcome: push.Rejected, Class: push.DeviceTransient},
		{Outcome: push.Retryable, Class: push.ProviderQuota, DeviceOnly: true},
		{Outcome: push.Accepted},
	} {
		r := s.Send(t.Context(), to(t, w, "a"))
		wantResult(t, r, want.Outcome, want.Class)
		if r.RetryAfter != want.RetryAfter || r.DeviceOnly != want.DeviceOnly {
			t.Errorf("%+v, want %+v", r, want)
		}
	}
	if w.OAuth.Fetches() != 3 || w.Requests() != 12 {
		t.Errorf("%d logins, %d requests", w.OAuth.Fetches(), w.Requests())
	}
	wantNoFaults(t, w)
}

func TestNoLogin(t *testing.T) {
	w := pushtest.NewWNS(t)
	for status, class := range map[int]push.Class{500: push.ProviderTransient, 401: push.CredentialAuth, 429: push.ProviderQuota} {
		w.OAuth.Fail(status)
		wantResult(t, connect(t, w).Send(t.Context(), to(t, w, "a")), push.Retryable, class)
	}
	s, err := Provider{}.Connect(json.RawMessage(`{"providerToken":"old"}`), push.ConnectOptions{
		TokenEndpoint: w.TokenEndpoint(), Roots: w.Roots(), AllowPrivate: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantResult(t, s.Send(t.Context(), to(t, w, "a")), push.Retryable, push.CredentialAuth)
	if w.Requests() != 1 {
		t.Errorf("%d requests", w.Requests())
	}
}

// An endpoint takes the place of real channels' hosts, and no token leaves for others.
func TestEndpoint(t *testing.T) {
	w := pushtest.NewWNS(t)
	n := to(t, w, "a")
	n.Recipient.ChannelURI = "https://db5.notify.windows.com/w/?token=b%2Bc"
	wantResult(t, connect(t, w, func(o *push.ConnectOptions) { o.Endpoint = w.Endpoint() }).Send(t.Context(), n), push.Accepted, "")
	if got := w.Messages(); len(got) != 1 || got[0].Channel != "b+c" {
		t.Errorf("%+v", got)
	}
	r := connect(t, w, func(o *push.ConnectOptions) { o.AllowPrivate = false }).Send(t.Context(), to(t, w, "a"))
	wantResult(t, r, push.Rejected, push.DeviceTransient)
	if w.OAuth.Fetches() != 1 {
		t.Errorf("%d logins", w.OAuth.Fetches())
	}
}

func TestCancelled(t *testing.T) {
	w := pushtest.NewWNS(t)
	s := connect(t, w)
	wantResult(t, s.Send(t.Context(), to(t, w, "a")), push.Accepted, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantResult(t, s.Send(ctx, to(t, w, "a")), push.Cancelled, push.NetworkTransport)
}
