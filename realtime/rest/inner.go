package rest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// InnerEvent is an event that a part of this process publishes, which needs no
// signature.
type InnerEvent struct {
	// App is the id of the app.
	App string
	// Name is the name of the event.
	Name string
	// Channels are those that it goes to.
	Channels []string
	// Data is JSON, as in a call of the HTTP API.
	Data []byte
	// SocketID is the socket that does not get it, or "".
	SocketID string
}

// RefusedError is why an event was not published, as the HTTP API would have said it.
type RefusedError struct {
	// Status is that of the answer, from 400 to 599.
	Status int
	// Code is the word for programs.
	Code string
	// RetryAfter is when to try again, zero if there is no use in it.
	RetryAfter time.Duration

	text string
}

// Error is the text for people. That of a fault of the server does not tell what has
// failed; the log of the hub does.
func (e *RefusedError) Error() string { return e.text }

func (f *failure) asError() *RefusedError {
	return &RefusedError{Status: f.status, Code: f.code, RetryAfter: time.Duration(f.retry) * time.Second, text: bounded(f.text)}
}

// Publish publishes an event as POST /apps/{id}/events does: under the same limits, and
// with the same effects on history, webhooks and push notifications. Errors are of type
// RefusedError.
func (h *Handler) Publish(ctx context.Context, e InnerEvent) error {
	live, err := h.hub.Live()
	if err != nil {
		return errNoSettings.asError()
	}
	defer live.Release()
	r := (&http.Request{Method: http.MethodPost}).WithContext(ctx)
	c := newCall(h, live, nil, r)
	if f := c.publishInner(ctx, e); f != nil {
		c.free()
		return f.asError()
	}
	c.free()
	return nil
}

func (c *call) publishInner(ctx context.Context, from InnerEvent) *failure {
	if f := c.takeApp(ctx, from.App); f != nil {
		return f
	}
	c.rules = c.live.Settings.ChannelRules(c.app)
	e := &c.event
	e.reset()
	// The names are copied, because the event takes its lists back.
	e.name, e.data, e.socketID = from.Name, bytes.TrimSpace(from.Data), from.SocketID
	e.channels, e.count = append(e.channels, from.Channels...), len(from.Channels)
	for _, name := range e.channels {
		if f := c.checkChannel(name); f != nil { // of several channels, all or none
			return f
		}
	}
	if f := c.allowEvents(1); f != nil {
		return f
	}
	return c.publish(ctx, e)
}

// takeApp finds an app that may be published for, by its id.
func (c *call) takeApp(ctx context.Context, id string) *failure {
	app, err := c.settings().Drivers.Apps.AppByID(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return invalidInput.with("There is no app " + shown(id))
	case err != nil:
		c.settings().Log.Error("looking up an app by its id", zap.Error(err))
		return errStoreDown
	case !app.Enabled:
		return errDisabled
	}
	c.app = app
	return nil
}
