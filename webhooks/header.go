package webhooks

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// ownHeaders are those that this package and the transport set.
var ownHeaders = []string{
	"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Keep-Alive", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "X-Pusher-Key", "X-Pusher-Signature", IDHeader,
}

// CheckHeader says why a header must not be sent beside those of every request.
func CheckHeader(name, value string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", r)
	}):
		return fmt.Errorf("%q is no name of a header", name)
	case slices.Contains(ownHeaders, canonical), strings.HasPrefix(canonical, "Proxy-"):
		return fmt.Errorf("header %s is set by the server itself, or would break the request", name)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return fmt.Errorf("the value of header %s has control characters", name)
	}
	return nil
}
