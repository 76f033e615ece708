package protocol

import (
	"fmt"
	"net/url"
	"slices"
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

// Terms are what a handshake asks for (section 1.2).
type Terms struct {
	Format Format
	// Echo is echo_messages, nil when it is absent. V1 has no use for it.
	Echo *bool
	// AppendFull asks for appends to mutable messages in their accumulated form.
	AppendFull bool
	// Token is a capability token, which V1 refuses with 4009 (section 1.5).
	Token string
}

// Negotiate reads the query of an upgrade request. Its errors are answered with
// HTTP 400.
func Negotiate(rawQuery string) (Terms, error) {
	var t Terms
	if rawQuery == "" {
		return t, nil
	}
	v2 := false
	if value, ok := lastValue(rawQuery, "protocol"); ok {
		n, err := strconv.ParseUint(value, 10, 8)
		if err != nil {
			return t, fmt.Errorf("protocol %q is not a number from 0 to 255", value)
		}
		v2 = n == uint64(V2)
	}
	if value, ok := lastValue(rawQuery, "echo_messages"); ok {
		if value != "true" && value != "false" {
			return t, fmt.Errorf("echo_messages %q is neither true nor false", value)
		}
		echo := value == "true"
		t.Echo = &echo
	}
	window, windowed := lastValue(rawQuery, "append_rollup_window")
	var rollup uint64
	if windowed {
		var err error
		if rollup, err = strconv.ParseUint(window, 10, 64); err != nil {
			return t, fmt.Errorf("append_rollup_window %q is not a number", window)
		}
	}
	t.Token, _ = lastValue(rawQuery, "token")
	if !v2 {
		t.AppendFull = true
		return t, nil
	}
	return t, t.takeV2(rawQuery, rollup)
}

// rollupWindows are the windows, in milliseconds, in which appends may be asked to
// be joined.
var rollupWindows = []uint64{0, 20, 40, 100, 500}

// takeV2 reads what only V2 knows.
func (t *Terms) takeV2(rawQuery string, rollup uint64) (err error) {
	format, _ := lastValue(rawQuery, "format")
	if t.Format, err = parseFormat(format); err != nil {
		return err
	}
	if !slices.Contains(rollupWindows, rollup) {
		return fmt.Errorf("append_rollup_window %d is none of 0, 20, 40, 100 and 500", rollup)
	}
	switch mode, _ := lastValue(rawQuery, "append_mode"); mode {
	case "", "delta":
	case "full":
		t.AppendFull = true
	default:
		return fmt.Errorf("append_mode %q is neither delta nor full", mode)
	}
	return nil
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
