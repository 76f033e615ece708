package rest

import (
	"net/http"
	"strconv"

	"github.com/sockudo/caddy-sockudo/push"
)

// deadLetters lists notifications that have failed for good (section 13).
func (c *call) deadLetters() (reply, error) {
	p, err := c.page(push.CursorDeadLetter)
	if err != nil {
		return reply{}, err
	}
	f, err := c.deadFilter()
	if err != nil {
		return reply{}, err
	}
	views, next, err := c.pipeline().DeadLetters(c.ctx, c.app, f, p.position, p.limit)
	if err != nil {
		return reply{}, err
	}
	return listed(c, p, views, next), nil
}

func (c *call) deadFilter() (f push.DeadLetterFilter, err error) {
	word, err := c.filter("provider")
	if err != nil {
		return f, err
	}
	if word != "" {
		if f.Provider, err = push.ParseKind(word); err != nil || f.Provider == push.Realtime {
			return f, push.Fault("provider", "it must be fcm, apns, webpush, hms or wns")
		}
	}
	if f.SinceMS, _, err = c.moment("sinceMs"); err != nil {
		return f, err
	}
	until, given, err := c.moment("untilMs")
	switch {
	case err != nil || !given:
		return f, err
	case f.SinceMS > until:
		return f, push.Fault("sinceMs", "it is after untilMs")
	}
	f.UntilMS = max(until, 1) // zero would be no bound
	return f, nil
}

// moment is a parameter in Unix milliseconds.
func (c *call) moment(name string) (ms int64, given bool, err error) {
	text, err := c.filter(name)
	if err != nil || text == "" {
		return 0, false, err
	}
	ms, err = strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 0 {
		return 0, false, push.Fault(name, "it must be a time in milliseconds")
	}
	return ms, true, nil
}

// replay sends a dead letter again.
func (c *call) replay() (reply, error) {
	id := c.params[0]
	if !isHash(id) { // it is looked for in all of them
		return reply{}, notFound("dead letter")
	}
	message, err := c.pipeline().Replay(c.ctx, c.app, id)
	if err != nil {
		return reply{}, absent("dead letter", err)
	}
	return reply{http.StatusAccepted, struct {
		ID       string `json:"deadLetterId"`
		Replayed bool   `json:"replayed"`
		Message  string `json:"messageId"`
	}{id, true, message}}, nil
}

// isHash reports whether a text can be the id of a dead letter.
func isHash(text string) bool {
	for i := range len(text) {
		if b := text[i]; (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return false
		}
	}
	return len(text) == 64
}
