package webpush

import (
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/internal/netguard"
	"github.com/sockudo/caddy-sockudo/push"
)

// MaxEndpoint bounds the address of a subscription, in bytes.
const MaxEndpoint = 2048

// The sizes of a subscription's keys, in bytes.
const (
	pointSize = 65
	authSize  = 16
)

// encoding is how everything is written.
var encoding = base64.RawURLEncoding

// alphabets turns the standard alphabet into the one for URLs.
var alphabets = strings.NewReplacer("+", "-", "/", "_")

// decode reads base64 in both alphabets, padded or not. Longer texts than a key's are
// not looked at.
func decode(text string) ([]byte, bool) {
	if len(text) > 128 || strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	b, err := encoding.DecodeString(alphabets.Replace(strings.TrimRight(text, "=")))
	return b, err == nil
}

// decodePoint reads a public key.
func decodePoint(field, text string) (*ecdh.PublicKey, error) {
	if text == "" {
		return nil, push.Fault(field, "is missing")
	}
	b, ok := decode(text)
	switch {
	case !ok:
		return nil, push.Fault(field, "is not base64url of a key")
	case len(b) != pointSize:
		return nil, push.Fault(field, "has %d bytes; an uncompressed point of P-256 has %d", len(b), pointSize)
	}
	key, err := ecdh.P256().NewPublicKey(b)
	if err != nil {
		return nil, push.Fault(field, "is not a point of P-256")
	}
	return key, nil
}

func decodeAuth(text string) ([]byte, error) {
	if text == "" {
		return nil, push.Fault("auth", "is missing")
	}
	b, ok := decode(text)
	switch {
	case !ok:
		return nil, push.Fault("auth", "is not base64url of a secret")
	case len(b) != authSize:
		return nil, push.Fault("auth", "has %d bytes and not %d", len(b), authSize)
	}
	return b, nil
}

// checkEndpoint says what is wrong with an endpoint without repeating it, because who
// knows it can use it.
func checkEndpoint(text string, p push.Policy) error {
	if text == "" {
		return push.Fault("endpoint", "is missing")
	}
	if len(text) > MaxEndpoint {
		return push.Fault("endpoint", "has %d bytes, more than %d", len(text), MaxEndpoint)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return push.Fault("endpoint", "is not a URL")
	case u.Scheme != "https":
		return push.Fault("endpoint", "is not an https URL")
	case u.User != nil:
		return push.Fault("endpoint", "has a user name in it")
	}
	host, err := hostOf(u)
	if err != nil {
		return push.Fault("endpoint", "%s", err)
	}
	if !p.AllowLocal && isLocal(host) {
		return push.Fault("endpoint", "has a host that is not on the public network")
	}
	for _, denied := range p.DeniedHosts {
		if matches(denied, host) {
			return push.Fault("endpoint", "has a host that is not allowed")
		}
	}
	if len(p.AllowedHosts) == 0 {
		return nil
	}
	for _, allowed := range p.AllowedHosts {
		if matches(allowed, host) {
			return nil
		}
	}
	return push.Fault("endpoint", "has a host that is not allowed")
}

// hostOf is the host of a URL in the one form in which hosts are compared. Names with
// other characters than those of DNS are refused: a client may turn them into others,
// and browsers never show endpoints with such.
func hostOf(u *url.URL) (string, error) {
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", errors.New("has a port that is none")
		}
	}
	host := normal(u.Hostname())
	switch {
	case host == "":
		return "", errors.New("has no host")
	case len(host) > 253:
		return "", errors.New("has a host that is too long")
	}
	if address, err := netip.ParseAddr(host); err == nil {
		if address.Zone() != "" {
			return "", errors.New("has an address with a zone")
		}
		return host, nil
	}
	if strings.ContainsFunc(host, func(r rune) bool { return !isNameRune(r) }) {
		return "", errors.New("has a host with characters that no name has")
	}
	last := host
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 {
			return "", errors.New("has a host that is no name")
		}
		last = label
	}
	// Such as 127.1 or 0x7f000001, which some resolvers take for an address.
	if strings.HasPrefix(last, "0x") || strings.Trim(last, "0123456789") == "" {
		return "", errors.New("has an address that is not written in full")
	}
	return host, nil
}

func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

// normal is a host in lower case, without the dot that a full name may end with, and an
// address in its shortest form.
func normal(host string) string {
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap().String()
	}
	return host
}

// isLocal reports whether a host is on this machine or in a private network, by its
// name alone. What other names lead to is looked at when they are connected to.
func isLocal(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return !netguard.IsPublic(address)
	}
	for _, name := range []string{"localhost", "local"} {
		if host == name || strings.HasSuffix(host, "."+name) {
			return true
		}
	}
	return false
}

// matches compares a host with an entry of a list. One with a dot in front is every
// host below it, and so not one whose name only ends alike.
func matches(entry, host string) bool {
	entry = strings.TrimSpace(entry)
	if strings.HasPrefix(entry, ".") {
		return len(entry) > 1 && strings.HasSuffix(host, "."+normal(entry[1:]))
	}
	return normal(entry) == host
}
