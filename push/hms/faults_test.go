package hms

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// short is a timeout for what never ends.
func short(o *push.ConnectOptions) { o.Timeout = 300 * time.Millisecond }

func TestNoAnswer(t *testing.T) {
	h := pushtest.NewHMS(t)
	wantResult(t, connect(t, h).Send(t.Context(), to(t, "a")), push.Accepted, "")
	h.Script("a", pushtest.Scripted{Hang: true})
	r := connect(t, h, short).Send(t.Context(), to(t, "a"))
	wantResult(t, r, push.Retryable, push.NetworkTransport)
	if r.Reason != "there was no answer in time" {
		t.Errorf("%+v", r)
	}
	h.SetLatency(time.Minute)
	wantResult(t, connect(t, h, short).Send(t.Context(), to(t, "a")), push.Retryable, push.NetworkTransport)
	h.SetLatency(0)
	h.OAuth.SetLatency(time.Minute)
	wantResult(t, connect(t, h, short).Send(t.Context(), to(t, "a")), push.Retryable, push.NetworkTransport)
}

// A success that breaks off need not be one.
func TestHalfAnswer(t *testing.T) {
	h := pushtest.NewHMS(t)
	s := connect(t, h)
	h.Script("a", pushtest.Scripted{Cut: true, Body: `{"code":"800`}, pushtest.Scripted{Cut: true, Status: 500})
	wantResult(t, s.Send(t.Context(), to(t, "a")), push.Retryable, push.NetworkTransport)
	wantResult(t, s.Send(t.Context(), to(t, "a")), push.Retryable, push.ProviderTransient)
	wantResult(t, s.Send(t.Context(), to(t, "a")), push.Accepted, "")
}

func TestHugeAnswer(t *testing.T) {
	h := pushtest.NewHMS(t)
	s := connect(t, h)
	h.Script("a", pushtest.Scripted{Status: 400, Body: `{"code":"80300008","msg":"` + strings.Repeat("x", 1<<20) + `"}`})
	r := s.Send(t.Context(), to(t, "a"))
	wantResult(t, r, push.Rejected, push.CallerPayload)
	if len(r.Reason) > 100 {
		t.Errorf("the reason has %d bytes", len(r.Reason))
	}
}

// Checklist: push 105
func TestNoRedirect(t *testing.T) {
	h := pushtest.NewHMS(t)
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	s := connect(t, h)
	h.Script("a", pushtest.Scripted{Status: 307, Header: http.Header{"Location": {other.URL}}})
	wantResult(t, s.Send(t.Context(), to(t, "a")), push.Rejected, push.UnknownFailure)
	h.OAuth.FailWith(307, http.Header{"Location": {other.URL}}, "")
	wantResult(t, connect(t, h).Send(t.Context(), to(t, "a")), push.Retryable, push.ProviderTransient)
	if reached {
		t.Error("a redirect has been followed")
	}
}

// Checklist: push 105
func TestPrivateAddress(t *testing.T) {
	h := pushtest.NewHMS(t)
	s := connect(t, h, func(o *push.ConnectOptions) { o.AllowPrivate = false })
	wantResult(t, s.Send(t.Context(), to(t, "a")), push.Retryable, push.NetworkTransport)
	fixed, err := Provider{}.Connect([]byte(`{"hmsAppId":"1","providerToken":"x"}`), push.ConnectOptions{Endpoint: h.Endpoint(), Roots: h.Roots()})
	if err != nil {
		t.Fatal(err)
	}
	defer fixed.Close()
	r := fixed.Send(t.Context(), to(t, "a")) // which says nothing of the device
	wantResult(t, r, push.Retryable, push.NetworkTransport)
	if h.Requests() != 0 || h.OAuth.Fetches() != 0 || r.Reason != "the address is not of the public network" {
		t.Errorf("%d requests, %+v", h.Requests(), r)
	}
}

func TestWrongCertificate(t *testing.T) {
	h := pushtest.NewHMS(t)
	for _, change := range []func(*push.ConnectOptions){
		func(o *push.ConnectOptions) { o.Roots = x509.NewCertPool() },
		func(o *push.ConnectOptions) { // the certificate is for addresses
			o.TokenEndpoint = strings.Replace(o.TokenEndpoint, "127.0.0.1", "localhost", 1)
		},
	} {
		r := connect(t, h, change).Send(t.Context(), to(t, "a"))
		wantResult(t, r, push.Retryable, push.NetworkTransport)
		if r.Reason != "no login: the certificate of the service cannot be verified" {
			t.Errorf("%+v", r)
		}
	}
}

// A service, or a proxy before it, may speak HTTP/1.1 only.
func TestHTTP1(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 || r.URL.Path != "/v1/1/messages:send" || r.Header.Get("Authorization") != "Bearer x" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(`{"code":"80000000"}`))
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s, err := Provider{}.Connect([]byte(`{"hmsAppId":"1","providerToken":"x"}`), push.ConnectOptions{Endpoint: server.URL, Roots: roots, AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantResult(t, s.Send(t.Context(), to(t, "a")), push.Accepted, "")
}
