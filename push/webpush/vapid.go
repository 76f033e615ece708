package webpush

import (
	"container/list"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// tokenLife is how long a token is good; a service takes at most 24 hours.
	tokenLife = 12 * time.Hour
	// tokenUse is how long it is used. What is left of its life is for clocks that differ.
	tokenUse = tokenLife - time.Hour
	// maxTokens bounds how many are kept. There are few push services, but who registers
	// devices may name any number of hosts.
	maxTokens = 1024
)

// tokens are those of all senders. They outlive a sender, because a service may refuse
// those who come with new ones all the time, and a reload makes new senders.
var tokens = tokenCache{entries: map[tokenKey]*list.Element{}, bound: maxTokens}

// tokenKey is what a token depends on.
type tokenKey struct{ public, subject, origin string }

type token struct {
	key    tokenKey
	text   string
	issued time.Time
}

// tokenCache keeps the tokens that have been used last.
type tokenCache struct {
	mu      sync.Mutex
	entries map[tokenKey]*list.Element
	recent  list.List // of *token, the last used first
	bound   int
}

// get is a token for an origin: the one that is there, as long as it can be used.
func (c *tokenCache) get(i *identity, origin string, now time.Time) (string, error) {
	key := tokenKey{i.public, i.subject, origin}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		t := e.Value.(*token)
		// A clock that has been put back makes a token last longer, but not too long.
		if age := now.Sub(t.issued); age < tokenUse && age > -tokenUse {
			c.recent.MoveToFront(e)
			return t.text, nil
		}
		delete(c.entries, key)
		c.recent.Remove(e)
	}
	text, err := i.sign(origin, now)
	if err != nil {
		return "", err
	}
	c.entries[key] = c.recent.PushFront(&token{key, text, now})
	for c.recent.Len() > c.bound {
		last := c.recent.Back()
		delete(c.entries, c.recent.Remove(last).(*token).key)
	}
	return text, nil
}

// tokenHeader is {"typ":"JWT","alg":"ES256"}.
const tokenHeader = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9" //nolint:gosec // nothing secret

// sign makes a token for one origin.
func (i *identity) sign(origin string, now time.Time) (string, error) {
	claims, err := json.Marshal(struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		Subject  string `json:"sub"`
	}{origin, now.Add(tokenLife).Unix(), i.subject})
	if err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	text := tokenHeader + "." + encoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, sum[:])
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	var signature [64]byte // r and s, as JWS wants them
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + encoding.EncodeToString(signature[:]), nil
}

// originOf is who a token is for: scheme, host and the port unless it is the usual one.
func originOf(u *url.URL) string {
	return "https://" + strings.TrimSuffix(strings.ToLower(u.Host), ":443")
}
