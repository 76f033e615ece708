package apns_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

func TestFaultsOfTheServiceAreRetried(t *testing.T) {
	a := pushtest.NewAPNs(t)
	o := optionsFor(a)
	o.Timeout = time.Second
	s := connect(t, a.Key(t).Material(), o)
	for i, c := range []struct {
		name   string
		answer pushtest.APNsAnswer
		class  push.Class
	}{
		{"it hangs", pushtest.APNsAnswer{Hang: true}, push.NetworkTransport},
		{"it is slow", pushtest.APNsAnswer{Wait: time.Minute}, push.NetworkTransport},
		{"it is cut off", pushtest.APNsAnswer{Status: 410, Cut: true}, push.NetworkTransport},
		{"it says too much", pushtest.APNsAnswer{Status: 503, Body: []byte(strings.Repeat("x", 1<<20))}, push.ProviderTransient},
		{"it is a page", pushtest.APNsAnswer{Status: 502, Body: []byte("<html>")}, push.ProviderTransient},
	} {
		a.Script(device(i), c.answer)
		if r := s.Send(t.Context(), notification(t, i)); r.Outcome != push.Retryable || r.Class != c.class || r.Reason == "" || len(r.Reason) > 80 {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	accepted(t, s.Send(t.Context(), notification(t, 0)))
}

// Checklist: push 105
func TestRedirectsAreNotFollowed(t *testing.T) {
	to := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it has been followed") }))
	to.EnableHTTP2 = true
	to.StartTLS()
	defer to.Close()
	a := pushtest.NewAPNs(t)
	s := connect(t, a.Key(t).Material(), optionsFor(a))
	for i, status := range []int{301, 302, 307, 308} {
		a.Script(device(i), pushtest.APNsAnswer{Status: status, Header: http.Header{"Location": {to.URL}}})
		if r := s.Send(t.Context(), notification(t, i)); r.Outcome != push.Rejected || r.Class != push.UnknownFailure {
			t.Errorf("%d: %+v", status, r)
		}
	}
}

// Checklist: push 105
func TestPrivateAddressesAreRefused(t *testing.T) {
	a := pushtest.NewAPNs(t)
	for _, endpoint := range []string{a.URL, strings.Replace(a.URL, "127.0.0.1", "localhost", 1)} {
		o := optionsFor(a)
		o.Endpoint, o.AllowPrivate = endpoint, false
		s := connect(t, a.Key(t).Material(), o)
		if r := s.Send(t.Context(), notification(t, 0)); r.Outcome != push.Retryable || r.Class != push.NetworkTransport || !strings.Contains(r.Reason, "public") {
			t.Errorf("%s: %+v", endpoint, r)
		}
	}
	if n := a.Connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestOnlyTheServiceItselfIsSpokenTo(t *testing.T) {
	a, stranger := pushtest.NewAPNs(t), pushtest.NewAPNs(t)
	old := pushtest.NewAPNsWith(t, pushtest.APNsOptions{HTTP1: true})
	silent := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	deaf := listen(t, func(net.Conn) {})
	named := strings.Replace(a.URL, "127.0.0.1", "localhost", 1) // which its certificate is not for
	for name, c := range map[string]struct {
		endpoint string
		from     *pushtest.APNs
	}{
		"an unknown authority": {stranger.URL, a}, "another host": {named, a}, "HTTP/1.1 only": {old.URL, old},
		"no handshake": {"https://" + silent, a}, "it hangs up": {"https://" + deaf, a}, "nobody": {"https://127.0.0.1:1", a},
	} {
		o := optionsFor(c.from)
		o.Endpoint, o.Timeout = c.endpoint, 2*time.Second
		s := connect(t, c.from.Key(t).Material(), o)
		if r := s.Send(t.Context(), notification(t, 0)); r.Outcome != push.Retryable || r.Class != push.NetworkTransport || strings.Contains(r.Reason, "127.0.0.1") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if n := len(stranger.Requests()) + len(old.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// listen serves connections until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

func TestAConnectionThatBreaksIsReplaced(t *testing.T) {
	a := pushtest.NewAPNs(t)
	conns := make(chan net.Conn, 64)
	front := listen(t, func(c net.Conn) {
		back, err := (&net.Dialer{}).DialContext(context.WithoutCancel(t.Context()), "tcp", strings.TrimPrefix(a.URL, "https://"))
		if err != nil {
			return
		}
		conns <- c
		go func() { _, _ = io.Copy(back, c); _ = back.Close() }()
		_, _ = io.Copy(c, back)
	})
	o := optionsFor(a)
	o.Endpoint = "https://" + front
	s := connect(t, a.Key(t).Material(), o)
	accepted(t, s.Send(t.Context(), notification(t, 0)))
	before := a.Connections()
	_ = (<-conns).Close()
	until(t, func() bool {
		r := s.Send(t.Context(), notification(t, 0)) // the first may still find the old one
		return r.Outcome == push.Accepted && a.Connections() > before
	})
}
