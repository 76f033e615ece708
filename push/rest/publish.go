package rest

import (
	"errors"
	"net/http"

	"github.com/sockudo/caddy-sockudo/push"
)

// The values of the parameter mode of publishes.
const (
	modeSync     = "sync"
	modeAsync    = "async"
	modeItemized = "itemized"
)

// forcedAsync tells a caller who wanted to wait that publishing never waits.
const forcedAsync = "publish-api-is-async"

// publishing is how the publishes of a call are to be accepted.
type publishing struct {
	accept         push.AcceptOptions
	sync, itemized bool
}

// publishing reads parameters and headers.
func (c *call) publishing(batch bool) (p publishing, err error) {
	switch mode := c.in.Param("mode"); {
	case mode == "" || mode == modeAsync:
	case mode == modeSync:
		p.sync = true
	case mode == modeItemized && batch:
		p.itemized = true
	case batch:
		return p, push.Fault("mode", "it must be sync, async or itemized")
	default:
		return p, push.Fault("mode", "it must be sync or async")
	}
	p.accept.NoQuotas = len(c.r.Header.Values(headerOverride)) > 0
	if values := c.r.Header.Values(headerConflict); len(values) > 0 {
		if len(values) > 1 || values[0] != "reject" {
			return p, push.Fault(headerConflict, "the header can only be reject")
		}
		p.accept.Conflict = true
	}
	return p, nil
}

// publish accepts a publish (section 7).
func (c *call) publish() (reply, error) {
	p, err := c.publishing(false)
	if err == nil {
		err = c.readable()
	}
	if err != nil {
		return reply{}, err
	}
	r := &push.Request{}
	if err := push.Parse(c.in.Body, r); err != nil {
		return reply{}, err
	}
	accepted, err := c.accept(r, p)
	if err != nil {
		return reply{}, err
	}
	if p.sync || r.Sync {
		c.wait(accepted)
	}
	return reply{http.StatusAccepted, accepted}, nil
}

// accept hands a publish over.
func (c *call) accept(r *push.Request, p publishing) (*push.Acceptance, error) {
	accepted, err := c.pipeline().Accept(c.ctx, c.app, r, p.accept)
	switch {
	case err == nil && p.accept.NoQuotas:
		c.pipeline().Audit("quotaOverride", c.app, accepted.PublishID)
	case err != nil && !errors.As(err, new(*push.FieldError)) && !errors.As(err, new(*push.Refusal)):
		err = errInternal // the pipeline has logged the cause
	}
	return accepted, err
}
