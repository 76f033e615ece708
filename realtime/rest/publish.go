package rest

import (
	"context"
	"errors"
	"strconv"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// emptyAnswer is what a publish answers that asked for nothing. The official
// libraries' own tests want exactly this.
var emptyAnswer = []byte(`{}`)

const (
	eventBusy = "Idempotent publish is still in progress"
	batchBusy = "Idempotent batch publish is still in progress"
)

// events publishes one event (section 2.1).
func (c *call) events() ([]byte, *failure) {
	object, f := c.document()
	if f != nil {
		return nil, f
	}
	e := &c.event
	if f := e.parse(object, c.maxChannels()); f != nil {
		return nil, f
	}
	if f := c.allowEvents(1); f != nil {
		return nil, f
	}
	key, given := e.key.text, e.key.set
	if !given {
		key, given = c.headerKey()
	}
	if !given || !c.idempotent() {
		return c.publishEvent(c.r.Context(), e)
	}
	if f := c.checkKey(key); f != nil {
		return nil, f
	}
	c.keyed, e.once = true, "event:"+key
	answer, _, f := c.once(c.cacheKey("idempotency", key), eventBusy, func(ctx context.Context) ([]byte, *failure) {
		return c.publishEvent(ctx, e)
	})
	return answer, f
}

// publishEvent publishes an event and makes the answer.
func (c *call) publishEvent(ctx context.Context, e *event) ([]byte, *failure) {
	if f := c.checkClaimKey(e); f != nil {
		return nil, f
	}
	if f := c.publish(ctx, e); f != nil {
		return nil, f
	}
	if !e.asks() {
		return emptyAnswer, nil
	}
	c.out = append(c.out[:0], `{"channels":{`...)
	for i, name := range e.channels {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		c.out = protocol.AppendString(c.out, name)
		c.out = append(c.out, ':')
		c.out = c.appendAck(ctx, c.out, e, i)
	}
	c.out = append(c.out, `}}`...)
	return c.out, nil
}

// publish sends an event to each of its channels, in their order. All are
// attempted; of the failures the first counts, and nothing is taken back.
func (c *call) publish(ctx context.Context, e *event) *failure {
	data, f := c.check(e)
	if f != nil {
		return f
	}
	extras, f := c.extras(e)
	if f != nil {
		return f
	}
	e.channels = distinct(e.channels)
	key, claimed := e.claimKey()
	claimed = claimed && c.idempotent()
	one := realtime.Event{Name: e.name, Data: data, Except: e.socketID, Tags: e.tags, Extras: extras, Full: e.full}
	if claimed {
		one.Once = key
	}
	if f := c.push(ctx, e, one); f != nil {
		return f
	}
	var first *failure
	repeated := false
	for i, name := range e.channels {
		one.Channel, one.MessageID = name, ""
		if e.asks() || claimed {
			one.MessageID = e.ackID(i)
		}
		ack, known, f := c.publishOne(ctx, e, one)
		repeated = repeated || known
		if first == nil {
			first = f
		}
		e.acks = append(e.acks, ack)
	}
	if claimed || c.keyed {
		c.live.Hub.Idempotent(c.app.ID, repeated)
	}
	return first
}

// publishOne sends an event to one channel. known says that it was there before.
func (c *call) publishOne(ctx context.Context, e *event, one realtime.Event) (ack receipt, known bool, f *failure) {
	if f := c.checkChannel(one.Channel); f != nil {
		return ack, false, f
	}
	if one.Once != "" {
		ack, known, f = c.publishOnce(ctx, one, one.Once)
	} else if accepted, err := c.live.Publish(ctx, c.app, one); err != nil {
		f = c.unpublished(err)
	} else {
		ack = receiptOf(accepted)
	}
	if f == nil && !known {
		c.tellRules(e, one)
	}
	return ack, known, f
}

// extras are those that V2 sockets get, nil for none.
func (c *call) extras(e *event) (*protocol.Extras, *failure) {
	if e.extras == nil {
		return nil, nil
	}
	s := &c.settings().Extras
	extras, err := protocol.ParseExtras(e.extras, protocol.ExtrasRules{Ephemeral: s.Ephemeral, Echo: s.Echo})
	if err != nil {
		return nil, invalidInput.with(err.Error())
	}
	if extras.JSON == nil {
		return nil, nil
	}
	return extras, nil
}

// unpublished is the refusal of an event that could not be published. What does not
// fit into the adapter or the cache will not do so later.
func (c *call) unpublished(err error) *failure {
	switch {
	case errors.Is(err, storage.ErrTooLarge):
		return errEventTooLarge
	case errors.Is(err, storage.ErrFull):
		return errHistoryFull
	case errors.Is(err, realtime.ErrOtherContent):
		return errConflict
	}
	return c.internal("publishing an event", err)
}

func (c *call) checkChannel(name string) *failure {
	if err := c.rules.Check(protocol.ParseChannel(name)); err != nil {
		return invalidInput.with(err.Error())
	}
	return nil
}

// appendAck appends the acknowledgement of channel i and what was asked about
// it. A count that cannot be had is left out.
func (c *call) appendAck(ctx context.Context, dst []byte, e *event, i int) []byte {
	dst = e.acks[i].append(append(dst, '{'))
	if e.info.userCount || e.info.subscriptionCount {
		if state, err := c.live.Channel(ctx, c.app, e.channels[i]); err == nil {
			dst = appendCounts(dst, state, e.info)
		}
	}
	return append(dst, '}')
}

// appendCounts appends the counts that were asked for, each after a comma.
// user_count is for presence channels only.
func appendCounts(dst []byte, state realtime.ChannelState, info attributes) []byte {
	if info.userCount && state.Presence {
		dst = append(dst, `,"user_count":`...)
		dst = strconv.AppendInt(dst, int64(state.Users), 10)
	}
	if info.subscriptionCount {
		dst = append(dst, `,"subscription_count":`...)
		dst = strconv.AppendInt(dst, int64(state.Subscriptions), 10)
	}
	return dst
}

// ackID is the acknowledgement of channel i, by which V2 sockets know the message
// too: on the first channel the client's own id of the message, else a new one.
// Clients take two messages with one id for the same.
func (e *event) ackID(i int) string {
	if e.messageID.text != "" && i == 0 {
		return e.messageID.text
	}
	return protocol.NewMessageID()
}

// distinct drops channels that are named twice, in place: an event reaches a
// channel once.
func distinct(names []string) []string {
	if len(names) < 2 {
		return names
	}
	seen := make(map[string]struct{}, len(names))
	kept := names[:0]
	for _, name := range names {
		if _, twice := seen[name]; !twice {
			seen[name] = struct{}{}
			kept = append(kept, name)
		}
	}
	return kept
}
