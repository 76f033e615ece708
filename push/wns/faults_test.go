package wns

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

func TestNoAnswer(t *testing.T) {
	w := pushtest.NewWNS(t)
	short := func(o *push.ConnectOptions) { o.Timeout = 300 * time.Millisecond }
	w.Script("a", pushtest.Scripted{Hang: true})
	r := connect(t, w, short).Send(t.Context(), to(t, w, "a"))
	wantResult(t, r, push.Retryable, push.NetworkTransport)
	if r.Reason != "there was no answer in time" {
		t.Errorf("%+v", r)
	}
	w.OAuth.SetLatency(time.Minute)
	wantResult(t, connect(t, w, short).Send(t.Context(), to(t, w, "a")), push.Retryable, push.NetworkTransport)
}

func TestBodiesSayNothing(t *testing.T) {
	w := pushtest.NewWNS(t)
	s := connect(t, w)
	w.Script("a", pushtest.Scripted{Cut: true, Status: 503}, pushtest.Scripted{Status: 400, Body: strings.Repeat("x", 1<<20)})
	wantResult(t, s.Send(t.Context(), to(t, w, "a")), push.Retryable, push.ProviderTransient)
	wantResult(t, s.Send(t.Context(), to(t, w, "a")), push.Rejected, push.CallerPayload)
	wantResult(t, s.Send(t.Context(), to(t, w, "a")), push.Accepted, "")
}

// Checklist: push 105
func TestNoRedirect(t *testing.T) {
	w := pushtest.NewWNS(t)
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	w.Script("a", pushtest.Scripted{Status: 307, Header: http.Header{"Location": {other.URL}}})
	wantResult(t, connect(t, w).Send(t.Context(), to(t, w, "a")), push.Rejected, push.UnknownFailure)
	if reached {
		t.Error("a redirect has been followed")
	}
}

// Checklist: push 105
func TestPrivateAddress(t *testing.T) {
	w := pushtest.NewWNS(t)
	s, err := Provider{}.Connect([]byte(`{"providerToken":"x"}`), push.ConnectOptions{Endpoint: w.Endpoint(), Roots: w.Roots()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := to(t, w, "a")
	n.Recipient.ChannelURI = "https://db5.notify.windows.com/?token=a"
	r := s.Send(t.Context(), n) // which says nothing of the device
	wantResult(t, r, push.Retryable, push.NetworkTransport)
	if w.Requests() != 0 || r.Reason != "the address is not of the public network" {
		t.Errorf("%d requests, %+v", w.Requests(), r)
	}
}

func TestWrongCertificate(t *testing.T) {
	w := pushtest.NewWNS(t)
	r := connect(t, w, func(o *push.ConnectOptions) { o.Roots = x509.NewCertPool() }).Send(t.Context(), to(t, w, "a"))
	wantResult(t, r, push.Retryable, push.NetworkTransport)
	n := to(t, w, "a") // the certificate is for addresses
	n.Recipient.ChannelURI = strings.Replace(n.Recipient.ChannelURI, "127.0.0.1", "localhost", 1)
	r = connect(t, w).Send(t.Context(), n)
	wantResult(t, r, push.Retryable, push.NetworkTransport)
	if w.Requests() != 0 || r.Reason != "the certificate of the service cannot be verified" {
		t.Errorf("%d requests, %+v", w.Requests(), r)
	}
}
