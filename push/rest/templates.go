package rest

import (
	"net/http"

	"github.com/sockudo/caddy-sockudo/push"
)

// putTemplate stores a template (section 6).
func (c *call) putTemplate() (reply, error) {
	if err := c.readable(); err != nil {
		return reply{}, err
	}
	t, err := push.ParseTemplate(c.in.Body)
	if err != nil {
		return reply{}, err
	}
	kept, err := c.registry().PutTemplate(c.ctx, c.app, t)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, kept}, nil
}

// templates lists them.
func (c *call) templates() (reply, error) {
	p, err := c.page(push.CursorTemplate)
	if err != nil {
		return reply{}, err
	}
	found, err := c.registry().Templates(c.ctx, c.app, p.position, p.limit)
	if err != nil {
		return reply{}, err
	}
	return listed(c, p, found.Items, found.Next), nil
}

// template reads one.
func (c *call) template() (reply, error) {
	t, err := c.registry().Template(c.ctx, c.app, c.params[0])
	if err != nil {
		return reply{}, absent("template", err)
	}
	return reply{http.StatusOK, t}, nil
}

// deleteTemplate removes one, if it is there.
func (c *call) deleteTemplate() (reply, error) {
	_, err := c.registry().DeleteTemplate(c.ctx, c.app, c.params[0])
	return reply{status: http.StatusNoContent}, err
}
