package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// TokenClaims are what a capability token is to say (section 1.5).
type TokenClaims struct {
	// ClientID is the client that the token is of, and ID its jti.
	ClientID, ID string
	// Issued and Expires count in whole seconds, and so does NotBefore, which is left out
	// if it is zero.
	Issued, NotBefore, Expires time.Time
	// Capabilities are the operations that are permitted, by pattern of channels.
	Capabilities map[string][]string
}

// SignToken makes a capability token. It refuses one that ParseToken would refuse, with
// the same texts.
func SignToken(key, secret string, c TokenClaims) (string, error) {
	if key == "" || secret == "" {
		return "", errors.New("key and secret must not be empty")
	}
	claims := map[string]any{
		"x-sockudo-client-id": c.ClientID, "jti": c.ID,
		"iat": c.Issued.Unix(), "exp": c.Expires.Unix(),
		"x-sockudo-capability": c.Capabilities,
	}
	if !c.NotBefore.IsZero() {
		claims["nbf"] = c.NotBefore.Unix()
	}
	header, err := json.Marshal(map[string]string{"alg": "HS256", "kid": key, "typ": "JWT"})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := tokenEncoding.EncodeToString(header) + "." + tokenEncoding.EncodeToString(payload)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	text += "." + tokenEncoding.EncodeToString(mac.Sum(nil))
	now := c.Issued
	if c.NotBefore.After(now) {
		now = c.NotBefore
	}
	if _, err := parseToken(text, key, []string{secret}, now); err != nil {
		return "", err
	}
	return text, nil
}

// Operations are the names of all operations that a capability may permit.
func Operations() []string { return slices.Clone(operationNames[:]) }

// KnownOperation reports whether a capability may permit an operation of this name, in
// either spelling.
func KnownOperation(name string) bool {
	_, known := operationsByName[name]
	return known
}
