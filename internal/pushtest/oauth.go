package pushtest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// ClientOAuth is the token endpoint of a stand-in. It gives access tokens for client
// credentials, and knows which of them it has given and not revoked.
type ClientOAuth struct {
	// ID, Secret and Scope are what clients have to send. An empty scope must not be sent.
	ID, Secret, Scope string
	// Life is what expires_in says. Default: one hour. The stand-in itself lets tokens live
	// until they are revoked, because its clients may have clocks of their own.
	Life time.Duration

	mu       sync.Mutex
	fetches  int
	valid    map[string]bool
	failures []oauthFailure
	latency  time.Duration
}

type oauthFailure struct {
	status int
	header http.Header
	body   string
}

// Fetches is the number of requests for a token, refused ones too.
func (o *ClientOAuth) Fetches() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fetches
}

// Revoke makes all tokens given so far invalid.
func (o *ClientOAuth) Revoke() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.valid)
}

// Fail answers the next requests, one for each status, with it and no token.
func (o *ClientOAuth) Fail(statuses ...int) {
	for _, status := range statuses {
		o.FailWith(status, nil, `{"error":"server_error"}`)
	}
}

// FailWith answers the next request that no other failure answers.
func (o *ClientOAuth) FailWith(status int, header http.Header, body string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures = append(o.failures, oauthFailure{status, header, body})
}

// SetLatency makes every answer take a time.
func (o *ClientOAuth) SetLatency(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latency = d
}

// Accepts reports whether a request carries a token that is valid.
func (o *ClientOAuth) Accepts(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	o.mu.Lock()
	defer o.mu.Unlock()
	return ok && o.valid[token]
}

// ServeHTTP is the endpoint.
func (o *ClientOAuth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	failure, n, latency := o.next()
	if !standPause(r, latency) {
		return
	}
	if failure != nil {
		standAnswer(w, failure.status, failure.header, failure.body)
		return
	}
	if word := o.fault(r); word != "" {
		status := http.StatusBadRequest
		if word == "invalid_client" {
			status = http.StatusUnauthorized
		}
		standAnswer(w, status, nil, `{"error":"`+word+`"}`)
		return
	}
	token := fmt.Sprintf("access/%s+%d", standID(), n)
	life := o.Life
	if life == 0 {
		life = time.Hour
	}
	o.mu.Lock()
	if o.valid == nil {
		o.valid = map[string]bool{}
	}
	o.valid[token] = true
	o.mu.Unlock()
	body := standJSON(map[string]any{"access_token": token, "expires_in": int(life / time.Second), "token_type": "Bearer"})
	standAnswer(w, http.StatusOK, nil, string(body))
}

func (o *ClientOAuth) next() (failure *oauthFailure, n int, latency time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fetches++
	if len(o.failures) > 0 {
		failure, o.failures = &o.failures[0], o.failures[1:]
	}
	return failure, o.fetches, o.latency
}

// fault is the error of a request, or empty.
func (o *ClientOAuth) fault(r *http.Request) string {
	switch {
	case r.Method != http.MethodPost, r.Header.Get("Content-Type") != "application/x-www-form-urlencoded", r.ParseForm() != nil:
		return "invalid_request"
	case r.PostForm.Get("grant_type") != "client_credentials":
		return "unsupported_grant_type"
	case r.PostForm.Get("client_id") != o.ID, r.PostForm.Get("client_secret") != o.Secret:
		return "invalid_client"
	case r.PostForm.Get("scope") != o.Scope:
		return "invalid_scope"
	}
	return ""
}
