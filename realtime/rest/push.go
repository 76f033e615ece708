package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// The purposes of notifications that an event may ask for, see pushID.
const (
	pushExtras = "extras"
	pushRule   = "rule"
)

// push hands extras.push over, once for each channel that the event can be published
// on, before it goes out on any of them. The first error refuses the whole event.
func (c *call) push(ctx context.Context, e *event, one realtime.Event) *failure {
	if e.push == nil {
		return nil
	}
	notifier := c.settings().Push
	if notifier == nil {
		c.live.Hub.PushIgnored(c.app.ID)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	payload := bytes.Clone(e.push) // it is part of the body, and may be kept
	for _, name := range e.channels {
		one.Channel = name
		switch may, f := c.mayPush(ctx, one); {
		case f != nil:
			return f
		case !may:
			continue
		}
		p := protocol.PushEvent{Channel: name, Name: one.Name, ID: c.pushID(pushExtras, e, one, payload), Data: one.Data, Payload: payload}
		if err := notifier.Push(ctx, c.app, p); err != nil {
			return c.unpushed(err)
		}
	}
	return nil
}

// mayPush reports whether an event is still to be published on its channel, as far as
// that is known: the name is good, and no other event nor this one was under its key.
// The rest is up to the ids of notifications, which are the same for a repeated event.
func (c *call) mayPush(ctx context.Context, one realtime.Event) (bool, *failure) {
	switch {
	case c.checkChannel(one.Channel) != nil:
		return false, nil
	case one.Once == "":
		return true, nil
	}
	value, err := c.settings().Drivers.Cache.Get(ctx, claimName(c.app.ID, one.Channel, one.Once))
	if errors.Is(err, storage.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, c.cacheDown(err)
	}
	known, err := decodeRecord(value)
	if err != nil {
		return false, c.cacheDown(err)
	}
	return known.State == statePending && known.Fingerprint == fingerprint(one), nil
}

// unpushed is the refusal of an event whose notification was not accepted.
func (c *call) unpushed(err error) *failure {
	refused, ok := errors.AsType[realtime.PushRefusal](err)
	if !ok {
		return c.internal("accepting extras.push", err)
	}
	status, code, retry := refused.Refusal()
	if status < 400 || status > 599 || status == errInternal.status || !isSlug(code) {
		return c.internal("accepting extras.push", err)
	}
	f := kind{code: code, status: status}.with(refused.Error())
	if retry > 0 {
		f = f.after(seconds(retry))
	}
	return f
}

// isSlug reports whether a word can stand in the envelope as it is.
func isSlug(word string) bool {
	for i := range len(word) {
		if b := word[i]; (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '_' {
			return false
		}
	}
	return word != ""
}

// tellRules tells the rules of push notifications about an event that was published.
func (c *call) tellRules(e *event, one realtime.Event) {
	if c.live.WantsPush(c.app.ID, one.Channel, one.Name) {
		c.live.TellPush(c.app, protocol.PushEvent{Channel: one.Channel, Name: one.Name, ID: c.pushID(pushRule, e, one, nil), Data: one.Data})
	}
}

// pushID names what an event asks for on a channel: the same for one that is repeated
// with its key, also after a crash and after the key is forgotten. Another event under
// a key that is used again has another. It is "" for an event without a key.
func (c *call) pushID(purpose string, e *event, one realtime.Event, payload []byte) string {
	layer, key := "event", one.Once
	if key == "" {
		layer, key = "request", e.once
	}
	if key == "" {
		return ""
	}
	h := sha256.New()
	for _, part := range [...]string{"push", purpose, c.app.ID, layer, key, fingerprint(one), string(payload)} {
		addPart(h, part)
	}
	return hex.EncodeToString(h.Sum(nil))
}
