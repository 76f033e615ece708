package webpush

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// What breaks on the way is tried again, and is nobody's fault but the network's.
func TestFaults(t *testing.T) {
	service := pushtest.NewWebPush(t)
	retryable := push.Result{Outcome: push.Retryable, Class: push.NetworkTransport, DeviceOnly: true}
	for name, c := range map[string]struct {
		answer pushtest.WebPushAnswer
		want   push.Result
		reason string
	}{
		"no answer":        {pushtest.WebPushAnswer{Hang: true}, retryable, "there was no answer in time"},
		"a slow answer":    {pushtest.WebPushAnswer{Delay: time.Minute}, retryable, "there was no answer in time"},
		"broken off early": {pushtest.WebPushAnswer{Status: 500, Reset: true, Body: []byte(`{"errno":1`)}, push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, DeviceOnly: true}, "500"},
		"taken, and then broken off": {
			pushtest.WebPushAnswer{Status: 201, Reset: true, Body: []byte("x")}, push.Result{Outcome: push.Accepted}, "",
		},
		"a body without end": {
			pushtest.WebPushAnswer{Status: 410, Body: bytes.Repeat([]byte("x"), 8<<20)}, push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal}, "410",
		},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := 10 * time.Second
			if c.reason == "there was no answer in time" {
				timeout = 200 * time.Millisecond
			}
			sender := connect(t, service, newMaterial(t), push.ConnectOptions{Timeout: timeout})
			s := service.Subscribe(t)
			service.Script(s.Endpoint, c.answer)
			got := sender.Send(t.Context(), notification(t, s))
			got.MessageID = ""
			c.want.Reason = c.reason
			if got != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
			// The next one is served.
			if r := sender.Send(t.Context(), notification(t, service.Subscribe(t))); r.Outcome != push.Accepted && timeout > time.Second {
				t.Errorf("and then %+v", r)
			}
		})
	}
}

// A connection that ends before there is an answer, and one that nobody takes.
func TestNobodyThere(t *testing.T) {
	service := pushtest.NewWebPush(t)
	sender := connect(t, service, newMaterial(t), push.ConnectOptions{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	s := service.Subscribe(t)
	s.Endpoint = "https://" + listener.Addr().String() + "/push/x"
	for range 2 { // ended at once, and then refused
		r := sender.Send(t.Context(), notification(t, s))
		if want := (push.Result{Outcome: push.Retryable, Class: push.NetworkTransport, Reason: "the connection failed", DeviceOnly: true}); r != want {
			t.Errorf("%+v, want %+v", r, want)
		}
		_ = listener.Close()
	}
}

// A redirect is an answer like others, wherever it leads.
//
// Checklist: push 105
func TestRedirects(t *testing.T) {
	service, other := pushtest.NewWebPush(t), pushtest.NewWebPush(t)
	sender := connect(t, service, newMaterial(t), push.ConnectOptions{})
	for _, status := range []int{301, 302, 303, 307, 308} {
		s, to := service.Subscribe(t), other.Subscribe(t)
		service.Script(s.Endpoint, pushtest.WebPushAnswer{Status: status, Header: http.Header{"Location": {to.Endpoint}}})
		r := sender.Send(t.Context(), notification(t, s))
		if r.Outcome != push.Rejected || r.Class == push.DeviceTerminal {
			t.Errorf("%d: %+v", status, r)
		}
	}
	if other.Requests() != 0 {
		t.Errorf("%d requests have followed", other.Requests())
	}
}

// Services that speak HTTP/1.1 only are served too.
func TestHTTP1(t *testing.T) {
	service := pushtest.NewWebPushHTTP1(t)
	sender := connect(t, service, newMaterial(t), push.ConnectOptions{})
	s := service.Subscribe(t)
	for range 3 {
		if r := sender.Send(t.Context(), notification(t, s)); r.Outcome != push.Accepted {
			t.Fatalf("%+v, refused %q", r, service.Refusals())
		}
	}
	if got := service.Received(s.Endpoint); len(got) != 3 || got[0].Proto != "HTTP/1.1" {
		t.Errorf("%+v", got)
	}
}

// names lets names lead to this machine, as a name server does that somebody else has.
// It says how often it has been asked.
func names(t *testing.T) *atomic.Int32 {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := new(atomic.Int32)
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				asked.Add(1)
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
				}}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	old := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = old
		_ = server.Close()
	})
	return asked
}

// A name that anybody may register is resolved when it is connected to, and then what
// counts is where it leads.
//
// Checklist: push 105
// Checklist: configuration 145
func TestNamesOfPrivateAddresses(t *testing.T) {
	service := pushtest.NewWebPush(t)
	asked := names(t)
	for _, allowed := range []bool{false, true} {
		s := service.Subscribe(t)
		s.Endpoint = strings.Replace(s.Endpoint, "127.0.0.1", "push.example.com", 1)
		r := push.Recipient{TransportType: "web", Endpoint: s.Endpoint, P256dh: s.P256dh, Auth: s.Auth}
		if err := (Provider{}).CheckRecipient(&r, push.Policy{}); err != nil {
			t.Fatal(err)
		}
		sender, err := Provider{}.Connect(newMaterial(t), push.ConnectOptions{Roots: service.Roots, AllowPrivate: allowed})
		if err != nil {
			t.Fatal(err)
		}
		got := sender.Send(t.Context(), notification(t, s))
		sender.Close()
		want := push.Result{Outcome: push.Rejected, Class: push.DeviceTransient, Reason: "the address is not of the public network", DeviceOnly: true}
		if allowed { // so it is the address that it was refused for
			want = push.Result{Outcome: push.Accepted, MessageID: got.MessageID}
		}
		if got != want || asked.Load() == 0 {
			t.Errorf("allowed %v: %+v, asked %d times", allowed, got, asked.Load())
		}
		if n := service.Attempts(s.Endpoint); (n == 1) != allowed {
			t.Errorf("allowed %v: %d requests", allowed, n)
		}
	}
}

// A certificate is to be for the host, and from somebody who is trusted.
func TestCertificates(t *testing.T) {
	service := pushtest.NewWebPush(t)
	names(t)
	const reason = "the certificate of the service cannot be verified"
	for name, c := range map[string]struct {
		host string
		o    push.ConnectOptions
	}{
		"of another host": {"push.example.net", push.ConnectOptions{Roots: service.Roots, AllowPrivate: true}},
		"of nobody":       {"127.0.0.1", push.ConnectOptions{AllowPrivate: true}},
	} {
		s := service.Subscribe(t)
		s.Endpoint = strings.Replace(s.Endpoint, "127.0.0.1", c.host, 1)
		sender, err := Provider{}.Connect(newMaterial(t), c.o)
		if err != nil {
			t.Fatal(err)
		}
		r := sender.Send(t.Context(), notification(t, s))
		sender.Close()
		if want := (push.Result{Outcome: push.Retryable, Class: push.NetworkTransport, Reason: reason, DeviceOnly: true}); r != want {
			t.Errorf("%s: %+v, want %+v", name, r, want)
		}
	}
	if service.Requests() != 0 {
		t.Errorf("%d requests have come", service.Requests())
	}
}
