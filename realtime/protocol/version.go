package protocol

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Version is the protocol that a connection speaks.
type Version uint8

const (
	// V1 is Pusher Channels protocol 7. Every protocol number except 2 selects it.
	V1 Version = 1
	// V2 is the native protocol, selected by protocol=2.
	V2 Version = 2
)

// System and internal event prefixes (section 0.5). All four are accepted from
// clients on every connection; a server frame carries those of its receiver.
const (
	PrefixSystem     = "pusher:"
	PrefixInternal   = "pusher_internal:"
	PrefixSystemV2   = "sockudo:"
	PrefixInternalV2 = "sockudo_internal:"
)

// ErrUnsupportedV2 is returned for protocol=2, which this build does not speak.
var ErrUnsupportedV2 = errors.New("protocol 2 is not supported by this server")

// Negotiate reads the query of an upgrade request (section 1.2). Its errors are
// answered with HTTP 400.
func Negotiate(rawQuery string) (Version, error) {
	if rawQuery == "" {
		return V1, nil
	}
	version := V1
	if value, ok := lastValue(rawQuery, "protocol"); ok {
		n, err := strconv.ParseUint(value, 10, 8)
		if err != nil {
			return 0, fmt.Errorf("protocol %q is not a number from 0 to 255", value)
		}
		if n == uint64(V2) {
			version = V2
		}
	}
	if value, ok := lastValue(rawQuery, "echo_messages"); ok && value != "true" && value != "false" {
		return 0, fmt.Errorf("echo_messages %q is neither true nor false", value)
	}
	if value, ok := lastValue(rawQuery, "append_rollup_window"); ok {
		if _, err := strconv.ParseUint(value, 10, 64); err != nil {
			return 0, fmt.Errorf("append_rollup_window %q is not a number", value)
		}
	}
	return version, nil
}

// HasToken reports whether the query of an upgrade request carries a capability
// token, which V1 refuses with 4009 (section 1.5).
func HasToken(rawQuery string) bool {
	token, _ := lastValue(rawQuery, "token")
	return token != ""
}

// lastValue is the last value of a parameter. Parameters that are not asked for
// may look as they like.
func lastValue(rawQuery, name string) (value string, ok bool) {
	for part := range strings.SplitSeq(rawQuery, "&") {
		k, v, _ := strings.Cut(part, "=")
		if key, err := url.QueryUnescape(k); err != nil || key != name {
			continue
		}
		if unescaped, err := url.QueryUnescape(v); err == nil {
			v = unescaped
		}
		value, ok = v, true
	}
	return value, ok
}

// Canonical strips the prefix of a system or internal event. ok is false for a
// name without one of the four prefixes.
func Canonical(event string) (name string, ok bool) {
	for _, prefix := range [...]string{PrefixSystem, PrefixInternal, PrefixSystemV2, PrefixInternalV2} {
		if rest, found := strings.CutPrefix(event, prefix); found {
			return rest, true
		}
	}
	return event, false
}
