package rest

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/sockudo/caddy-sockudo/push"
)

// provider is the one in the path of a call about credentials.
func (c *call) provider() (push.Kind, error) {
	kind, err := push.ParseKind(c.params[0])
	if err != nil || kind == push.Realtime { // which has none
		return "", errPath
	}
	return kind, nil
}

// putCredential stores credentials for a provider (section 5).
func (c *call) putCredential() (reply, error) {
	kind, err := c.provider()
	if err == nil {
		err = c.readable()
	}
	if err != nil {
		return reply{}, err
	}
	view, err := c.registry().PutCredential(c.ctx, c.app, kind, c.in.Body)
	if err != nil {
		return reply{}, err
	}
	c.pipeline().Audit("credentialWrite", c.app, strings.ToLower(fmt.Sprintf("credential:%s:%s:%d", kind.Key(), view.CredentialID, view.Version)))
	return reply{http.StatusCreated, view}, nil
}

// credentials lists them without what is secret.
func (c *call) credentials() (reply, error) {
	p, err := c.page(push.CursorCredential)
	if err != nil {
		return reply{}, err
	}
	found, err := c.registry().Credentials(c.ctx, c.app, p.position, p.limit)
	if err != nil {
		return reply{}, err
	}
	return listed(c, p, found.Items, found.Next), nil
}

// deleteCredential removes one.
func (c *call) deleteCredential() (reply, error) {
	kind, err := c.provider()
	if err != nil {
		return reply{}, err
	}
	if err := c.registry().DeleteCredential(c.ctx, c.app, kind, c.params[1]); err != nil {
		return reply{}, absent("credential", err)
	}
	c.pipeline().Audit("credentialDelete", c.app, strings.ToLower(fmt.Sprintf("credential:%s:%s", kind.Key(), c.params[1])))
	return reply{status: http.StatusNoContent}, nil
}
