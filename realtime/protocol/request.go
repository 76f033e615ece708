package protocol

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // the protocol asks for it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AuthWindow is how far the timestamp of a signed request may be from the
// server's time, either side (HTTP API section 1.5).
const AuthWindow = 600 * time.Second

// Errors of a signed request, in the order in which they are checked. The texts
// go to clients.
var (
	ErrQueryMissing     = errors.New("Missing authentication query parameters")    //nolint:staticcheck // wire text
	ErrQueryEmpty       = errors.New("Query string is empty or invalid")           //nolint:staticcheck // wire text
	ErrTimestampMissing = errors.New("auth_timestamp is missing")                  //nolint:staticcheck // wire text
	ErrTimestampFormat  = errors.New("Invalid auth_timestamp format")              //nolint:staticcheck // wire text
	ErrTimestampWindow  = errors.New("Timestamp expired or too far in the future") //nolint:staticcheck // wire text
	ErrBodyMD5          = errors.New("body_md5 mismatch")                          //nolint:staticcheck // wire text
	ErrBodyMD5Missing   = errors.New("body_md5 is required and must be non-empty in query parameters for POST requests with a non-empty body")
	ErrSignature        = errors.New("Invalid API signature") //nolint:staticcheck // wire text
)

// SignedQuery is the query of a signed request: every pair, decoded, keys in
// lower case, sorted, without the signature.
type SignedQuery struct {
	Key       string
	Signature string

	pairs        []pair
	timestamp    string
	hasTimestamp bool
	bodyMD5      string
	hasMD5       bool
}

type pair struct{ key, value string }

// ParseSignedQuery reads the raw query of a signed request. present tells a
// missing query from an empty one.
func ParseSignedQuery(raw string, present bool) (*SignedQuery, error) {
	if raw == "" && !present {
		return nil, ErrQueryMissing
	}
	pairs := make([]pair, 0, 8)
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, err := unescape(k)
		if err != nil {
			return nil, fmt.Errorf("Invalid authentication query parameters: %w", err) //nolint:staticcheck // wire text
		}
		value, err := unescape(v)
		if err != nil {
			return nil, fmt.Errorf("Invalid authentication query parameters: %w", err) //nolint:staticcheck // wire text
		}
		pairs = append(pairs, pair{key, value})
	}
	if len(pairs) == 0 {
		return nil, ErrQueryEmpty
	}
	q := &SignedQuery{}
	if err := q.take(pairs); err != nil {
		return nil, err
	}
	return q, nil
}

// take sorts the pairs, picks out the authentication and drops repetitions: of
// exact duplicates the last counts, of keys that differ in case the one whose
// original spelling is greatest.
func (q *SignedQuery) take(pairs []pair) error {
	seen := map[string]bool{}
	for _, p := range pairs {
		if !isAuthKey(p.key) {
			continue
		}
		if seen[p.key] {
			return fmt.Errorf("Invalid authentication query parameters: duplicate field %q", p.key) //nolint:staticcheck // wire text
		}
		seen[p.key] = true
		switch p.key {
		case "auth_key":
			q.Key = p.value
		case "auth_signature":
			q.Signature = p.value
		case "auth_timestamp":
			q.timestamp, q.hasTimestamp = p.value, true
		case "body_md5":
			q.bodyMD5, q.hasMD5 = p.value, true
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		if c := strings.Compare(strings.ToLower(a.key), strings.ToLower(b.key)); c != 0 {
			return c
		}
		return strings.Compare(a.key, b.key)
	})
	for _, p := range pairs {
		if p.key == "auth_signature" {
			continue
		}
		p.key = strings.ToLower(p.key)
		if n := len(q.pairs); n > 0 && q.pairs[n-1].key == p.key {
			q.pairs[n-1] = p
			continue
		}
		q.pairs = append(q.pairs, p)
	}
	return nil
}

func isAuthKey(key string) bool {
	switch key {
	case "auth_key", "auth_timestamp", "auth_version", "auth_signature", "body_md5":
		return true
	}
	return false
}

func unescape(s string) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	return url.QueryUnescape(s)
}

// Get is the value of a parameter that is not part of the authentication.
func (q *SignedQuery) Get(key string) (value string, ok bool) {
	for _, p := range q.pairs {
		if p.key == key {
			return p.value, true
		}
	}
	return "", false
}

// Verify checks timestamp, body hash and signature, in that order (section 1.5
// of the HTTP API, rows 7 to 13). path is the request path as it was received,
// still escaped, less one trailing slash. An empty body needs no body_md5.
func (q *SignedQuery) Verify(secret, method, path string, body []byte, now time.Time) error {
	if err := q.verifyTime(now); err != nil {
		return err
	}
	if err := q.verifyBody(method, body); err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(q.appendText(make([]byte, 0, 256), method, path))
	var want [sha256.Size * 2]byte
	hex.Encode(want[:], mac.Sum(nil))
	if !Equal(string(want[:]), q.Signature) {
		return ErrSignature
	}
	return nil
}

func (q *SignedQuery) verifyTime(now time.Time) error {
	if !q.hasTimestamp {
		return ErrTimestampMissing
	}
	seconds, err := strconv.ParseInt(q.timestamp, 10, 64)
	if err != nil {
		return ErrTimestampFormat
	}
	window := int64(AuthWindow / time.Second)
	if n := now.Unix(); seconds > n+window || seconds < n-window {
		return ErrTimestampWindow
	}
	return nil
}

func (q *SignedQuery) verifyBody(method string, body []byte) error {
	if method != "POST" {
		if q.hasMD5 {
			return fmt.Errorf("body_md5 must not be present in query parameters for %s requests", method)
		}
		return nil
	}
	if q.bodyMD5 == "" {
		if len(body) == 0 && !q.hasMD5 {
			return nil
		}
		return ErrBodyMD5Missing
	}
	sum := md5.Sum(body) //nolint:gosec // the protocol asks for it
	var want [md5.Size * 2]byte
	hex.Encode(want[:], sum[:])
	if !Equal(string(want[:]), q.bodyMD5) {
		return ErrBodyMD5
	}
	return nil
}

// appendText appends the string to sign.
func (q *SignedQuery) appendText(b []byte, method, path string) []byte {
	b = append(b, strings.ToUpper(method)...)
	b = append(b, '\n')
	b = append(b, path...)
	b = append(b, '\n')
	for i, p := range q.pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.key...)
		b = append(b, '=')
		b = append(b, p.value...)
	}
	return b
}
