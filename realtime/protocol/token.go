package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limits of capability tokens (section 1.5).
const (
	// MaxTokenSize is the longest token, in bytes.
	MaxTokenSize = 8192
	// MaxTokenName is the longest jti and the longest client id, in bytes.
	MaxTokenName = 128
	// MaxTokenLifetime is the longest time between iat and exp.
	MaxTokenLifetime = 24 * time.Hour
	// TokenLeeway is how far the clock of whoever has made a token may be from ours.
	TokenLeeway = 30 * time.Second
)

// maxSeconds is the latest time in a token, the end of the year 9999.
const maxSeconds = 253402300799

// Token is a capability token that was valid when it was read: a JWT, signed by the
// app with HMAC-SHA256.
type Token struct {
	// ClientID is the client that the token is of. It becomes the connection's user.
	ClientID string
	// ID is the jti, by which the token can be revoked.
	ID string
	// Expires is the exp of the token, in whole seconds. Leeway is not in it.
	Expires time.Time
	// Capabilities are never nil, and list every operation.
	Capabilities *Capabilities
}

// ParseToken checks a capability token (section 1.5): its size, the algorithm HS256,
// the app key as kid, a signature by one of the secrets, its times with TokenLeeway,
// and that all claims are there in their form. A member that is there twice is
// refused, because others may have read the other one.
//
// Errors have code 4009 and say which rule is broken; they repeat nothing of the token
// and do not ask for the connection to be closed, which is for the caller to decide.
func ParseToken(text, key string, secrets []string, now time.Time) (*Token, *Error) {
	t, err := parseToken(text, key, secrets, now)
	if err != nil {
		return nil, BadSignin("capability token " + err.Error())
	}
	return t, nil
}

func parseToken(text, key string, secrets []string, now time.Time) (*Token, error) {
	if len(text) > MaxTokenSize {
		return nil, fmt.Errorf("is longer than %d bytes", MaxTokenSize)
	}
	end := strings.LastIndexByte(text, '.')
	if strings.Count(text, ".") != 2 {
		return nil, errors.New("is not three parts joined by dots")
	}
	header, claims, _ := strings.Cut(text[:end], ".")
	if err := checkTokenHeader(header, key); err != nil {
		return nil, err
	}
	if !tokenSigned(text[:end], text[end+1:], secrets) {
		return nil, errors.New("signature is not valid")
	}
	members, err := tokenPart(claims)
	if err != nil {
		return nil, fmt.Errorf("claims are %w", err)
	}
	return tokenOf(members, now)
}

// checkTokenHeader checks what decides how the signature is made, before it is.
func checkTokenHeader(part, key string) error {
	header, err := tokenPart(part)
	if err != nil {
		return fmt.Errorf("header is %w", err)
	}
	if alg, _ := stringOf(header["alg"]); alg != "HS256" {
		return errors.New("alg must be HS256")
	}
	if kid, ok := stringOf(header["kid"]); !ok || kid != key {
		return errors.New("kid must be the app key")
	}
	if _, ok := header["crit"]; ok {
		return errors.New("crit names extensions that are not understood")
	}
	return nil
}

// tokenEncoding is base64url without padding, in its only form.
var tokenEncoding = base64.RawURLEncoding.Strict()

func decodeTokenPart(part string) ([]byte, error) {
	// The decoder skips line ends.
	if strings.ContainsAny(part, "\r\n") {
		return nil, errors.New("not base64url")
	}
	b, err := tokenEncoding.DecodeString(part)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	return b, nil
}

// tokenPart is the JSON object that a part of a token holds.
func tokenPart(part string) (map[string]json.RawMessage, error) {
	text, err := decodeTokenPart(part)
	if err != nil {
		return nil, err
	}
	list, err := strictObjectOf(text)
	if err != nil {
		return nil, err
	}
	members := make(map[string]json.RawMessage, len(list))
	for _, m := range list {
		members[m.name] = m.value
	}
	return members, nil
}

// tokenSigned reports whether one of the secrets has made the signature. An empty
// secret is one that everybody knows.
func tokenSigned(text, signature string, secrets []string) bool {
	got, err := decodeTokenPart(signature)
	if err != nil {
		return false
	}
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(text))
		if hmac.Equal(got, mac.Sum(nil)) {
			return true
		}
	}
	return false
}

// tokenOf checks the claims of a token whose signature is good.
func tokenOf(claims map[string]json.RawMessage, now time.Time) (*Token, error) {
	expires, err := checkTokenTimes(claims, now)
	if err != nil {
		return nil, err
	}
	t := &Token{Expires: expires}
	if t.ID, err = tokenName(claims, "jti"); err != nil {
		return nil, err
	}
	if t.ClientID, err = tokenName(claims, "x-sockudo-client-id"); err != nil {
		return nil, err
	}
	if t.Capabilities, err = tokenCapabilities(claims["x-sockudo-capability"]); err != nil {
		return nil, fmt.Errorf("x-sockudo-capability %w", err)
	}
	return t, nil
}

func checkTokenTimes(claims map[string]json.RawMessage, now time.Time) (expires time.Time, err error) {
	exp, hasExp, err := tokenTime(claims, "exp")
	if err != nil {
		return exp, err
	}
	iat, hasIat, err := tokenTime(claims, "iat")
	if err != nil {
		return exp, err
	}
	nbf, hasNbf, err := tokenTime(claims, "nbf")
	switch {
	case err != nil:
		return exp, err
	case !hasExp:
		return exp, errors.New("exp is missing")
	case !hasIat:
		return exp, errors.New("iat is missing")
	case !exp.After(iat):
		return exp, errors.New("exp must be after iat")
	case exp.Sub(iat) > MaxTokenLifetime:
		return exp, fmt.Errorf("lifetime is above %d seconds", int(MaxTokenLifetime/time.Second))
	case !now.Before(exp.Add(TokenLeeway)):
		return exp, errors.New("is expired")
	case iat.After(now.Add(TokenLeeway)):
		return exp, errors.New("iat is in the future")
	case hasNbf && nbf.After(now.Add(TokenLeeway)):
		return exp, errors.New("is not valid yet")
	}
	return exp, nil
}

// tokenTime is a claim in whole seconds. Null means absent. Fractions and exponents
// are refused, even where the number is whole.
func tokenTime(claims map[string]json.RawMessage, name string) (at time.Time, ok bool, err error) {
	raw, ok := claims[name]
	if !ok || isNull(raw) {
		return at, false, nil
	}
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil || n > maxSeconds {
		return at, false, fmt.Errorf("%s must be a whole number of seconds", name)
	}
	return time.Unix(int64(n), 0), true, nil
}

// tokenName is a claim that names something.
func tokenName(claims map[string]json.RawMessage, name string) (string, error) {
	text, ok := stringOf(claims[name])
	if !ok || text == "" || len(text) > MaxTokenName {
		return "", fmt.Errorf("%s must be a string of 1 to %d bytes", name, MaxTokenName)
	}
	return text, nil
}
