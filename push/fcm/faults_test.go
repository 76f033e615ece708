package fcm

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// soon is a short time for one request.
func soon(o *push.ConnectOptions) { o.Timeout = 300 * time.Millisecond }

func wantUnreachable(t *testing.T, r push.Result, reason string) {
	t.Helper()
	if want := (push.Result{Outcome: push.Retryable, Class: push.NetworkTransport, Reason: reason}); r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
}

func TestNoAnswerInTime(t *testing.T) {
	for name, set := range map[string]func(*pushtest.FCM){
		"hangs":                    func(f *pushtest.FCM) { f.Script("a", pushtest.FCMAnswer{Hang: true}) },
		"slow headers":             func(f *pushtest.FCM) { f.SetLatency(time.Minute) },
		"access token":             func(f *pushtest.FCM) { f.SetTokenLatency(time.Minute) },
		"access token after a 401": func(f *pushtest.FCM) { f.Script("a", pushtest.FCMUnauthorized(), pushtest.FCMAnswer{Hang: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			f := pushtest.NewFCM(t)
			s := connect(t, f, soon)
			set(f)
			r := s.Send(t.Context(), notice(t, "a"))
			r.Reason = strings.TrimPrefix(r.Reason, "for an access token: ")
			wantUnreachable(t, r, "there was no answer in time")
			if f.Requests() > 2 {
				t.Errorf("%d requests", f.Requests())
			}
		})
	}
}

func TestSendIsBoundByItsContext(t *testing.T) {
	for name, set := range map[string]func(*pushtest.FCM){
		"message":      func(f *pushtest.FCM) { f.Script("a", pushtest.FCMAnswer{Hang: true}) },
		"access token": func(f *pushtest.FCM) { f.FailTokens(pushtest.FCMAnswer{Hang: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			f := pushtest.NewFCM(t)
			s := connect(t, f, func(o *push.ConnectOptions) { o.Timeout = time.Minute })
			set(f)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			wantUnreachable(t, s.Send(ctx, notice(t, "a")), "there was no answer in time")
			ctx, cancel = context.WithCancel(t.Context())
			cancel()
			if r := s.Send(ctx, notice(t, "a")); r.Outcome != push.Cancelled {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestAnswersThatAreCut(t *testing.T) {
	f := pushtest.NewFCM(t)
	s := connect(t, f)
	f.Script("a", pushtest.FCMAnswer{Status: 200, Body: `{"name":"proj`, Cut: true}, pushtest.FCMAnswer{Status: 404, Body: `{"err`, Cut: true})
	if r := s.Send(t.Context(), notice(t, "a")); r.Outcome != push.Accepted {
		t.Errorf("%+v", r)
	}
	if r := s.Send(t.Context(), notice(t, "a")); r.Class == push.DeviceTerminal || r.Outcome != push.Rejected {
		t.Errorf("%+v", r)
	}
	wantSent(t, s.Send(t.Context(), notice(t, "a")))
}

// TestConnectionThatEnds has the connection end without an answer, which the library
// would take for a reason to try again.
func TestConnectionThatEnds(t *testing.T) {
	f := pushtest.NewFCM(t)
	var requests atomic.Int32
	gone := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		requests.Add(1)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(gone.Close)
	f.Roots.AddCert(gone.Certificate())
	s := connect(t, f, func(o *push.ConnectOptions) { o.Endpoint = gone.URL })
	wantUnreachable(t, s.Send(t.Context(), notice(t, "a")), "the connection failed")
	if requests.Load() != 1 {
		t.Errorf("%d requests", requests.Load())
	}
	gone.Close()
	wantUnreachable(t, s.Send(t.Context(), notice(t, "a")), "the connection failed")
}

// Checklist: push 105
func TestRedirectsAreNotFollowed(t *testing.T) {
	f := pushtest.NewFCM(t)
	var followed atomic.Int32
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(private.Close)
	s := connect(t, f)
	away := pushtest.FCMAnswer{Status: 307, Header: http.Header{"Location": {private.URL}}}
	f.Script("a", away)
	want := push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "HTTP 307"}
	if r := s.Send(t.Context(), notice(t, "a")); r != want {
		t.Errorf("%+v", r)
	}
	f.FailTokens(away)
	f.RevokeTokens()
	if r := s.Send(t.Context(), notice(t, "a")); r.Outcome != push.Retryable || r.Class != push.ProviderTransient {
		t.Errorf("%+v", r)
	}
	if followed.Load() != 0 {
		t.Errorf("followed %d times", followed.Load())
	}
}

// Checklist: push 105
func TestPrivateAddressesAreRefused(t *testing.T) {
	f := pushtest.NewFCM(t)
	public := func(o *push.ConnectOptions) { o.AllowPrivate = false }
	byName := func(o *push.ConnectOptions) { o.Endpoint = strings.Replace(f.URL, "127.0.0.1", "localhost", 1) }
	given := []byte(`{"providerToken":"given","projectId":"` + pushtest.FCMProject + `"}`)
	const reason = "the address is not of the public network"
	wantUnreachable(t, connectWith(t, f, given, public).Send(t.Context(), notice(t, "a")), reason)
	wantUnreachable(t, connectWith(t, f, given, public, byName).Send(t.Context(), notice(t, "a")), reason)
	wantUnreachable(t, connect(t, f, public).Send(t.Context(), notice(t, "a")), "for an access token: "+reason)
	if f.Requests()+f.TokenFetches() != 0 {
		t.Errorf("%d requests, %d for access tokens", f.Requests(), f.TokenFetches())
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	f := pushtest.NewFCM(t)
	f.AcceptToken("given")
	given := []byte(`{"providerToken":"given","projectId":"` + pushtest.FCMProject + `"}`)
	for name, change := range map[string]func(*push.ConnectOptions){
		"of another host":      func(o *push.ConnectOptions) { o.Endpoint = strings.Replace(f.URL, "127.0.0.1", "localhost", 1) },
		"of another authority": func(o *push.ConnectOptions) { o.Roots = nil },
	} {
		t.Run(name, func(t *testing.T) {
			wantUnreachable(t, connectWith(t, f, given, change).Send(t.Context(), notice(t, "a")), "the certificate of the service cannot be verified")
		})
	}
	if f.Requests() != 0 {
		t.Error("sent to somebody")
	}
}

func TestOldHTTP(t *testing.T) {
	f := pushtest.NewFCMHTTP1(t)
	s := connect(t, f)
	wantSent(t, s.Send(t.Context(), notice(t, "a")))
	f.Script("a", pushtest.FCMUnavailable("1"), pushtest.FCMAnswer{Status: 404, Body: `{"err`, Cut: true})
	for range 2 {
		if r := s.Send(t.Context(), notice(t, "a")); r.Outcome == push.Accepted {
			t.Errorf("%+v", r)
		}
	}
	wantSent(t, s.Send(t.Context(), notice(t, "a")))
	if m := f.Wait(t, 2)[0]; m.Proto != "HTTP/1.1" || f.Requests() != 4 {
		t.Errorf("%s, %d requests", m.Proto, f.Requests())
	}
}

func TestLargeAnswers(t *testing.T) {
	f := pushtest.NewFCM(t)
	s := connect(t, f)
	f.Script("a", pushtest.FCMAnswer{Status: 400, Body: strings.Repeat("x", 8<<20)})
	r := s.Send(t.Context(), notice(t, "a"))
	if want := (push.Result{Outcome: push.Rejected, Class: push.CallerPayload, Reason: "HTTP 400"}); r != want {
		t.Errorf("%+v", r)
	}
	client := (&push.ConnectOptions{Roots: f.Roots, AllowPrivate: true}).Client()
	defer client.CloseIdleConnections()
	f.FailTokens(pushtest.FCMAnswer{Status: 500, Body: strings.Repeat("x", 8<<20)})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+"/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(client, request); len(a.body) != push.MaxAnswer || a.status != 500 {
		t.Errorf("read %d bytes", len(a.body))
	}
}
