package rest

import (
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

var okAnswer = []byte(`{"ok":true}`)

// terminate closes every socket of a user with 4009 (section 3.4).
func (c *call) terminate() ([]byte, *failure) { return c.closeUser(protocol.ErrTerminated) }

// reconnect closes every socket of a user with 4200 (section 3.5).
func (c *call) reconnect() ([]byte, *failure) { return c.closeUser(protocol.ErrForceReconnect) }

// closeUser answers alike for users that are here, elsewhere or unknown. It does
// not when the order could not be passed on: an operator who shuts somebody out
// must know that it did not happen.
func (c *call) closeUser(e *protocol.Error) ([]byte, *failure) {
	if err := c.live.CloseUser(c.r.Context(), c.app, c.param, e); err != nil {
		c.settings().Log.Error("closing the connections of a user", zap.String("app", c.app.ID), zap.Error(err))
		return nil, errTermination
	}
	return okAnswer, nil
}
