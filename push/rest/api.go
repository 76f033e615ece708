package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/realtime"
)

// Options are what an API is made of.
type Options struct {
	// Registry has the devices, subscriptions, credentials and templates.
	Registry *push.Registry
	// Pipeline takes the publishes.
	Pipeline *push.Pipeline
	// AllowSync makes a publish that asks for it wait until its notifications have ended, for
	// at most ten seconds. Otherwise it never waits, and a header says so.
	AllowSync bool
	// Log is for what operators should know. Nil means that nobody reads it.
	Log *zap.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// API answers the calls of one configuration. It is a realtime.SignedAPI.
type API struct {
	o       Options
	waiting chan struct{} // bounds publishes that wait for their end
}

// New makes one.
func New(o Options) *API {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &API{o: o, waiting: make(chan struct{}, maxWaiting)}
}

var _ realtime.SignedAPI = (*API)(nil)

// How long a call may take. A batch has many publishes, each of which is bounded itself.
const (
	callTime  = time.Minute
	batchTime = 5 * time.Minute
)

// ServeSigned answers a call.
func (a *API) ServeSigned(w http.ResponseWriter, r *http.Request, in realtime.SignedCall) {
	c := &call{api: a, r: r, in: in, app: in.App.ID, header: w.Header()}
	rt, err := c.route()
	var answer reply
	if err == nil {
		var end context.CancelFunc
		c.ctx, end = context.WithTimeout(r.Context(), rt.most())
		defer end()
		answer, err = rt.handle(c)
	}
	if err != nil {
		f := a.failure(c, err)
		if f.retry > 0 {
			c.header.Set("Retry-After", strconv.FormatInt(wholeSeconds(f.retry), 10))
		}
		answer = reply{f.status, f.envelope()}
	}
	if answer.value == nil {
		w.WriteHeader(answer.status)
		return
	}
	body, err := encode(answer.value)
	if err != nil { // a record of the store is no JSON
		a.o.Log.Error("an answer of push notifications cannot be written", zap.String("app", c.app), zap.Error(err))
		answer.status, body = http.StatusInternalServerError, internalBody
	}
	c.header.Set("Content-Type", "application/json")
	w.WriteHeader(answer.status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// reply is the answer to a call. Without a value it has no body.
type reply struct {
	status int
	value  any
}

// encode writes JSON without the escapes that only HTML needs.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
