package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// The headers of requests and answers.
const (
	headerCapability = "X-Sockudo-Push-Capability"
	headerToken      = "X-Sockudo-Device-Identity-Token" //nolint:gosec // the name of a header
	headerRotate     = "X-Sockudo-Rotate-Device-Identity-Token"
	headerOverride   = "X-Sockudo-Push-Quota-Override"
	headerConflict   = "X-Sockudo-Publish-Conflict"
	headerForced     = "X-Sockudo-Forced-Async"
)

// The capabilities. Whoever can sign has both, and may do with less.
const (
	capabilityAdmin     = "push-admin"
	capabilitySubscribe = "push-subscribe"
)

// call is one call of the API.
type call struct {
	api    *API
	ctx    context.Context //nolint:containedctx // it is that of the call
	r      *http.Request
	in     realtime.SignedCall
	app    string
	name   string // of the route
	params []string
	header http.Header // of the answer
	// confined says that the caller has the rights of one device.
	confined bool
}

// admit refuses a call that its capability is not good for.
func (c *call) admit(rt *route) error {
	asked := c.r.Header.Values(headerCapability)
	for i, one := range asked {
		if one != capabilityAdmin && one != capabilitySubscribe || one != asked[0] || i > 3 {
			return errCapability
		}
	}
	c.confined = len(asked) > 0 && asked[0] == capabilitySubscribe
	if c.confined && !rt.device {
		return errAdminOnly
	}
	return nil
}

// token is the identity token of the device that calls.
func (c *call) token() string {
	if values := c.r.Header.Values(headerToken); len(values) > 0 {
		return values[0]
	}
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// mayUse refuses a device that calls about another one.
func (c *call) mayUse(device string) error {
	if !c.confined {
		return nil
	}
	token := c.token()
	if token == "" {
		return errToken
	}
	return absent("device", c.registry().VerifyToken(c.ctx, c.app, device, token))
}

// mayRegister does the same where the device is to be changed, and must exist already.
func (c *call) mayRegister(device string) error {
	err := c.mayUse(device)
	if f, ok := errors.AsType[*failure](err); ok && f.status == http.StatusNotFound {
		return errUnknown
	}
	return err
}

// filter is a parameter that says what a call is about. One that is there and empty is
// likely a mistake of the caller, which must not make the call about more.
func (c *call) filter(name string) (string, error) {
	value, ok := c.in.Query.Get(strings.ToLower(name))
	switch {
	case ok && strings.TrimSpace(value) == "":
		return "", push.Fault(name, "it is there and empty")
	case len(value) > push.MaxName:
		return "", push.Fault(name, "it has %d bytes, more than %d", len(value), push.MaxName)
	}
	return value, nil
}

func (c *call) registry() *push.Registry { return c.api.o.Registry }

func (c *call) pipeline() *push.Pipeline { return c.api.o.Pipeline }

// secrets are those with which cursors of the app are made, the newest first.
func (c *call) secrets() []string { return c.in.App.Secrets(c.api.o.Now()) }

// isGone reports whether an error says that something does not exist.
func isGone(err error) bool { return errors.Is(err, storage.ErrNotFound) }
