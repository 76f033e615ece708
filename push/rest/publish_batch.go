package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// maxBatch bounds the publishes of one call.
const maxBatch = 1000

// publishBatch accepts publishes one after another (section 7.7). The first that fails ends
// the call, and those before it stay accepted; if the call is itemized, each has its
// own answer.
func (c *call) publishBatch() (reply, error) {
	p, err := c.publishing(true)
	if err == nil {
		err = c.readable()
	}
	if err != nil {
		return reply{}, err
	}
	var items []json.RawMessage
	if err := push.Parse(c.in.Body, &items); err != nil || items == nil {
		return reply{}, push.Fault("body", "it must be an array of publishes")
	}
	if len(items) > maxBatch {
		return reply{}, push.Fault("body", "it has %d publishes, more than %d", len(items), maxBatch)
	}
	answers, waits, err := c.publishAll(items, p)
	if err != nil {
		return reply{}, err
	}
	if waits {
		c.wait(answers...)
	}
	return reply{http.StatusAccepted, struct {
		Items []any `json:"items"`
	}{answers}}, nil
}

// publishAll accepts the items of a batch. waits says that the caller wanted to wait.
func (c *call) publishAll(items []json.RawMessage, p publishing) (answers []any, waits bool, err error) {
	requests, faults := make([]*push.Request, len(items)), make([]error, len(items))
	for i, text := range items {
		requests[i] = &push.Request{}
		if faults[i] = push.Parse(text, requests[i]); faults[i] != nil && !p.itemized {
			return nil, false, at(i, faults[i])
		}
	}
	answers = make([]any, len(items))
	var retry time.Duration
	for i, r := range requests {
		var accepted *push.Acceptance
		err := faults[i]
		if err == nil {
			accepted, err = c.accept(r, p)
		}
		switch {
		case err == nil:
			answers[i] = accepted
		case !p.itemized || c.ctx.Err() != nil: // nobody reads the rest
			return nil, false, at(i, err)
		default:
			f := c.api.failure(c, err)
			answers[i], retry = f.envelope(), max(retry, f.retry)
		}
		waits = waits || r.Sync
	}
	if retry > 0 {
		c.header.Set("Retry-After", strconv.FormatInt(wholeSeconds(retry), 10))
	}
	return answers, waits || p.sync, nil
}

// at names the item of a batch that a fault is in.
func at(i int, err error) error {
	var f *push.FieldError
	if !errors.As(err, &f) {
		return err
	}
	if f.Field == "body" { // of the item
		return push.Fault(fmt.Sprintf("[%d]", i), "%s", f.Text)
	}
	return push.Fault(fmt.Sprintf("[%d].%s", i, f.Field), "%s", f.Text)
}
