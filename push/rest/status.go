package rest

import (
	"net/http"

	"github.com/sockudo/caddy-sockudo/push"
)

// status tells how far a publish is (section 8).
func (c *call) status() (reply, error) {
	s, err := c.pipeline().Status(c.ctx, c.app, c.params[0])
	if err != nil {
		return reply{}, absent("publish", err)
	}
	return reply{http.StatusOK, s}, nil
}

// deliveries lists what has come of each notification of a publish. A page has whole
// batches, so it may have more items than are asked for.
func (c *call) deliveries() (reply, error) {
	p, err := c.pageOf(push.CursorDelivery)
	if err != nil {
		return reply{}, err
	}
	views, next, err := c.pipeline().Deliveries(c.ctx, c.app, c.params[0], p.position, p.limit)
	if err != nil {
		return reply{}, err
	}
	return listed(c, p, views, next), nil
}

// events lists what has been reported of a publish, oldest first.
func (c *call) events() (reply, error) {
	p, err := c.pageOf(push.CursorEvent)
	if err != nil {
		return reply{}, err
	}
	reports, next, err := c.pipeline().Events(c.ctx, c.app, c.params[0], p.position, p.limit)
	if err != nil {
		return reply{}, err
	}
	return listed(c, p, reports, next), nil
}

// pageOf is the page of a list of a publish that exists.
func (c *call) pageOf(kind push.CursorKind) (page, error) {
	p, err := c.page(kind)
	if err == nil {
		_, err = c.pipeline().Status(c.ctx, c.app, c.params[0])
	}
	return p, absent("publish", err)
}

// cancel ends a publish whose time has not come (section 14).
func (c *call) cancel() (reply, error) {
	if err := c.pipeline().Cancel(c.ctx, c.app, c.params[0]); err != nil {
		return reply{}, absent("publish", err)
	}
	return reply{status: http.StatusNoContent}, nil
}
