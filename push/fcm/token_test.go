package fcm

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

func TestTokenIsRenewedAheadOfItsEnd(t *testing.T) {
	f, at := pushtest.NewFCM(t), newClock()
	f.SetClock(at.Now)
	s := connect(t, f, func(o *push.ConnectOptions) { o.Now = at.Now })
	send := func() { wantSent(t, s.Send(t.Context(), notice(t, "a"))) }
	send()
	at.advance(3599*time.Second - ahead - time.Second)
	send()
	if f.TokenFetches() != 1 {
		t.Errorf("renewed %d times, too early", f.TokenFetches()-1)
	}
	at.advance(time.Second)
	send() // with the old one, and starts the renewal
	until(t, "the renewal", func() bool {
		send()
		sent := f.Sent()
		return sent[len(sent)-1].Bearer == "access-2"
	})
	if f.TokenFetches() != 2 {
		t.Errorf("%d requests for access tokens", f.TokenFetches())
	}
	at.advance(2 * time.Hour)
	send() // waits for a new one
	if f.TokenFetches() != 3 {
		t.Errorf("%d requests for access tokens", f.TokenFetches())
	}
	wantClean(t, f)
}

// TestRenewalMayFail goes on with a token that has not ended, and does not ask for
// another with each notification.
func TestRenewalMayFail(t *testing.T) {
	at := newClock()
	var fetches atomic.Int32
	failed := push.Result{Outcome: push.Retryable, Class: push.ProviderTransient}
	s := &tokens{clock: at.Now, current: &token{text: "old", renew: at.Now(), until: at.Now().Add(time.Minute)}}
	s.fetch = func(context.Context) (*token, *push.Result) {
		fetches.Add(1)
		return nil, &failed
	}
	get := func() string {
		t.Helper()
		got, why := s.get(t.Context())
		if why != nil {
			t.Fatalf("%+v", why)
		}
		return got.text
	}
	rest := func() {
		t.Helper()
		until(t, "the end of the request", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.flight == nil
		})
	}
	for range 10 {
		if got := get(); got != "old" {
			t.Errorf("the token is %s", got)
		}
		rest()
	}
	if fetches.Load() != 1 {
		t.Errorf("asked %d times", fetches.Load())
	}
	at.advance(pause)
	get()
	rest()
	if fetches.Load() != 2 {
		t.Errorf("asked %d times after a pause", fetches.Load())
	}
	at.advance(time.Minute)
	if _, why := s.get(t.Context()); why == nil || *why != failed {
		t.Errorf("without a token: %+v", why)
	}
}

func TestTokenFailures(t *testing.T) {
	for name, c := range map[string]struct {
		a    pushtest.FCMAnswer
		want push.Result
	}{
		"500": {pushtest.FCMAnswer{Status: 500, Body: "<html>"}, push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "for an access token: HTTP 500"}},
		"503": {
			pushtest.FCMUnavailable("7"),
			push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "for an access token: HTTP 503", RetryAfter: 7 * time.Second},
		},
		"400": {
			pushtest.FCMAnswer{Status: 400, Body: `{"error":"invalid_grant","error_description":"secret"}`},
			push.Result{Outcome: push.Retryable, Class: push.CredentialAuth, Reason: "for an access token: HTTP 400 invalid_grant"},
		},
		"401":       {pushtest.FCMAnswer{Status: 401, Body: `{"error":"No Form"}`}, push.Result{Outcome: push.Retryable, Class: push.CredentialAuth, Reason: "for an access token: HTTP 401"}},
		"redirect":  {pushtest.FCMAnswer{Status: 302}, push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "for an access token: HTTP 302"}},
		"none":      {pushtest.FCMAnswer{Status: 200, Body: `{"expires_in":5}`}, push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "the endpoint for access tokens has sent none"}},
		"no header": {pushtest.FCMAnswer{Status: 200, Body: `{"access_token":"a\nb"}`}, push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "the endpoint for access tokens has sent none"}},
		"cut off":   {pushtest.FCMAnswer{Status: 200, Body: `{"access_to`, Cut: true}, push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "the endpoint for access tokens has sent none"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := pushtest.NewFCM(t)
			s := connect(t, f)
			f.FailTokens(c.a)
			if r := s.Send(t.Context(), notice(t, "a")); r != c.want {
				t.Errorf("%+v, want %+v", r, c.want)
			}
			if f.Requests() != 0 {
				t.Error("sent without a token")
			}
			wantSent(t, s.Send(t.Context(), notice(t, "a")))
		})
	}
}

// TestFirstToWantATokenMayGiveUp leaves the request for it to the others.
func TestFirstToWantATokenMayGiveUp(t *testing.T) {
	at, begun, proceed := newClock(), make(chan struct{}), make(chan struct{})
	s := &tokens{clock: at.Now, fetch: func(ctx context.Context) (*token, *push.Result) {
		close(begun)
		<-proceed
		return &token{text: fmt.Sprint(ctx.Err()), until: at.Now().Add(time.Hour), renew: at.Now().Add(time.Hour)}, nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan *push.Result)
	go func() {
		_, why := s.get(ctx)
		first <- why
	}()
	<-begun
	cancel()
	if why := <-first; why == nil || why.Outcome != push.Cancelled {
		t.Errorf("the first has %+v", why)
	}
	close(proceed)
	if got, why := s.get(t.Context()); why != nil || got.text != "<nil>" {
		t.Errorf("the second has %+v, %+v", got, why)
	}
}

func TestLivesOfTokens(t *testing.T) {
	f, at := pushtest.NewFCM(t), newClock()
	c, err := parseMaterial(f.Material(t))
	if err != nil {
		t.Fatal(err)
	}
	o := push.ConnectOptions{Roots: f.Roots, AllowPrivate: true}
	from := &fetcher{account: c.account, client: o.Client(), clock: at.Now}
	for text, want := range map[string]struct{ renew, until time.Duration }{
		"3599":  {3599*time.Second - ahead, 3599 * time.Second},
		"60":    {30 * time.Second, time.Minute},
		"-5":    {500 * time.Millisecond, time.Second},
		"1e300": {24*time.Hour - ahead, 24 * time.Hour},
	} {
		f.FailTokens(pushtest.FCMAnswer{Status: 200, Body: `{"access_token":"x","expires_in":` + text + `}`})
		got, why := from.fetch(t.Context())
		if why != nil || got.renew.Sub(at.Now()) != want.renew || got.until.Sub(at.Now()) != want.until {
			t.Errorf("%s: %+v, %+v", text, got, why)
		}
	}
	o.Client().CloseIdleConnections()
}
