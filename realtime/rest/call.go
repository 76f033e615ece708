package rest

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// call is one request under /apps/, from authentication to answer. Calls and
// their buffers are reused, so nothing of a call may be kept after free: what
// the hub gets of a body is copied out first.
type call struct {
	h    *Handler
	live realtime.Live
	w    http.ResponseWriter
	r    *http.Request

	app   *storage.App
	query *protocol.SignedQuery
	param string

	body  []byte // as received
	out   []byte // the answer, when it is not a constant
	event event
	items []event // of a batch
	keyed bool    // the request itself has an idempotency key
	rules protocol.ChannelRules
}

// What is kept for the next call: buffers up to keepBuffer bytes, batches up to
// keepItems events, lists up to keepNames channels.
const (
	keepBuffer = 64 << 10
	keepItems  = 64
	keepNames  = 256
)

var calls = sync.Pool{New: func() any { return &call{body: make([]byte, 0, 4<<10)} }}

func newCall(h *Handler, live realtime.Live, w http.ResponseWriter, r *http.Request) *call {
	c := calls.Get().(*call)
	c.h, c.live, c.w, c.r = h, live, w, r
	return c
}

// free gives the call back. A call that panicked is never given back.
func (c *call) free() {
	if cap(c.body) > keepBuffer || cap(c.out) > keepBuffer || cap(c.items) > keepItems {
		return
	}
	for i := range c.items {
		c.items[i].reset()
	}
	c.event.reset()
	*c = call{body: c.body[:0], out: c.out[:0], event: c.event, items: c.items[:0]}
	calls.Put(c)
}

// serve authenticates the call, answers it and counts it.
func (c *call) serve(rt *route, appID, param string) {
	f := c.authenticate(appID)
	authenticated := c.app != nil
	var body []byte
	if f == nil {
		body, f = c.answer(rt, param)
	}
	var sent int
	if f != nil {
		sent = f.write(c.w)
	} else {
		sent = writeJSON(c.w, http.StatusOK, body)
	}
	if authenticated {
		c.live.Hub.HTTPCall(c.app, len(c.body), sent)
	}
}

// answer runs the endpoint for an authenticated call.
func (c *call) answer(rt *route, param string) ([]byte, *failure) {
	if f := c.mayCall(rt.reads()); f != nil {
		return nil, f
	}
	var err error
	if c.param, err = unescapeSegment(param); err != nil {
		return nil, invalidInput.with("Path is not valid: " + err.Error())
	}
	c.rules = c.live.Settings.ChannelRules(c.app)
	return rt.handle(c)
}

// mayCall refuses an authenticated call of a disabled app, and one that reads over the
// app's rate.
func (c *call) mayCall(reads bool) *failure {
	if !c.app.Enabled {
		return errDisabled
	}
	if reads {
		return c.allowRead()
	}
	return nil
}

// settings are those the call was started with.
func (c *call) settings() *realtime.Settings { return c.live.Settings }

// internal logs what has failed and gives the refusal that does not tell. A
// client that went away is no fault of the server.
func (c *call) internal(what string, err error) *failure {
	level := zap.ErrorLevel
	if errors.Is(err, context.Canceled) {
		level = zap.DebugLevel
	}
	c.settings().Log.Log(level, what, zap.String("app", c.app.ID), zap.Error(err))
	return errInternal
}
