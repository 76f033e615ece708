package rest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// confirmation is the body of a call that removes history (section 4.6).
type confirmation struct {
	channel, operation, reason, by, mode optional
	beforeSerial                         *uint64
	beforeTime                           *int64
}

// removalTimeout bounds a removal. It goes on when the client goes away: half a reset
// would leave other nodes with what is gone.
const removalTimeout = time.Minute

func (c *call) removal() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(c.r.Context()), removalTimeout)
}

// The modes of a purge.
const (
	purgeAll    = "all"
	purgeSerial = "before_serial"
	purgeTime   = "before_time_ms"
)

// resetHistory removes everything of a channel's history and begins a new stream.
func (c *call) resetHistory() ([]byte, *failure) {
	past, _, f := c.historyLog()
	if f != nil {
		return nil, f
	}
	return c.reset(past, "messages", func(ctx context.Context) error {
		return c.live.HistoryReset(ctx, c.app, c.param)
	})
}

// reset resets either history. counted is what its rows are called, and tell, unless
// it is nil, tells other nodes that there is a new stream.
func (c *call) reset(past history.Log, counted string, tell func(ctx context.Context) error) ([]byte, *failure) {
	body, f := c.confirmed("reset")
	if f != nil {
		return nil, f
	}
	ctx, cancel := c.removal()
	defer cancel()
	result, err := past.Reset(ctx)
	if result.Stream != "" {
		c.logRemoval("a history was reset", body, result.Rows, zap.String("previous_stream", result.Previous), zap.String("stream", result.Stream))
		if tell != nil {
			if told := tell(ctx); told != nil && err == nil {
				err = fmt.Errorf("telling other nodes: %w", told)
			}
		}
	}
	if err != nil {
		return nil, c.unread("resetting a history", err)
	}
	c.begin("reset", body)
	c.out = append(c.out, `,"previous_stream_id":`...)
	c.out = appendTextOrNull(c.out, result.Previous)
	c.out = append(c.out, `,"new_stream_id":`...)
	c.out = protocol.AppendString(c.out, result.Stream)
	return c.finish(past, counted, result.Rows, result.Bytes)
}

// purgeHistory removes rows of a channel's history.
func (c *call) purgeHistory() ([]byte, *failure) {
	past, _, f := c.historyLog()
	if f != nil {
		return nil, f
	}
	body, f := c.confirmed("purge")
	if f != nil {
		return nil, f
	}
	if f := body.checkMode(); f != nil {
		return nil, f
	}
	ctx, cancel := c.removal()
	defer cancel()
	result, err := past.Purge(ctx, history.Purge{BeforeSerial: body.beforeSerial, BeforeTime: body.beforeTime})
	if err != nil {
		return nil, c.unread("purging a history", err)
	}
	c.logRemoval("a history was purged", body, result.Rows, zap.String("mode", body.mode.text))
	c.begin("purge", body)
	return c.finish(past, "messages", result.Rows, result.Bytes)
}

// logRemoval leaves a trace of who has removed what.
func (c *call) logRemoval(what string, body *confirmation, rows uint64, more ...zap.Field) {
	c.settings().Log.Info(what, append(more,
		zap.String("app", c.app.ID), zap.String("channel", c.param), zap.Uint64("rows", rows),
		zap.String("reason", shown(body.reason.text)), zap.String("requested_by", shown(body.by.text)))...)
}

// begin begins the answer to a removal.
func (c *call) begin(operation string, body *confirmation) {
	c.out = append(c.out[:0], `{"ok":true,"operation":"`...)
	c.out = append(c.out, operation...)
	c.out = append(c.out, `","channel":`...)
	c.out = protocol.AppendString(c.out, c.param)
	if operation == "purge" {
		c.out = append(c.out, `,"mode":`...)
		c.out = protocol.AppendString(c.out, body.mode.text)
		c.out = append(c.out, `,"before_serial":`...)
		if body.beforeSerial == nil {
			c.out = append(c.out, "null"...)
		} else {
			c.out = strconv.AppendUint(c.out, *body.beforeSerial, 10)
		}
		c.out = append(c.out, `,"before_time_ms":`...)
		if body.beforeTime == nil {
			c.out = append(c.out, "null"...)
		} else {
			c.out = strconv.AppendInt(c.out, *body.beforeTime, 10)
		}
	}
	c.out = append(c.out, `,"reason":`...)
	c.out = protocol.AppendString(c.out, body.reason.text)
	c.out = append(c.out, `,"requested_by":`...)
	c.out = appendTextOrNull(c.out, body.by.text)
}

// finish ends it with what was removed and what there is now.
func (c *call) finish(past history.Log, counted string, rows, size uint64) ([]byte, *failure) {
	c.out = append(c.out, `,"purged_`...)
	c.out = append(c.out, counted...)
	c.out = append(c.out, `":`...)
	c.out = strconv.AppendUint(c.out, rows, 10)
	c.out = append(c.out, `,"purged_bytes":`...)
	c.out = strconv.AppendUint(c.out, size, 10)
	if f := c.appendStream(past); f != nil {
		return nil, f
	}
	c.out = append(c.out, '}')
	return c.out, nil
}

func appendTextOrNull(b []byte, text string) []byte {
	if text == "" {
		return append(b, "null"...)
	}
	return protocol.AppendString(b, text)
}

// confirmed reads the body, and refuses one that does not name the channel and the
// operation of the call again.
func (c *call) confirmed(operation string) (*confirmation, *failure) {
	object, f := c.document()
	if f != nil {
		return nil, f
	}
	body := &confirmation{}
	if f := body.parse(object); f != nil {
		return nil, f
	}
	if f := body.checkShape(operation == "purge"); f != nil {
		return nil, f
	}
	switch {
	case body.channel.text != c.param:
		return nil, invalidInput.with("confirm_channel must exactly match the channel path")
	case body.operation.text != operation:
		return nil, invalidInput.with("confirm_operation must be '" + operation + "'")
	case strings.TrimSpace(body.reason.text) == "":
		return nil, invalidInput.with("reason must not be empty")
	}
	return body, nil
}

// parse reads the members. Of a repeated one the last counts.
func (b *confirmation) parse(object []byte) *failure {
	members := walk(object)
	for name, value, ok := members.member(); ok; name, value, ok = members.member() {
		var f *failure
		switch string(name) {
		case "confirm_channel":
			f = b.channel.take("confirm_channel", value)
		case "confirm_operation":
			f = b.operation.take("confirm_operation", value)
		case "reason":
			f = b.reason.take("reason", value)
		case "requested_by":
			f = b.by.take("requested_by", value)
		case "mode":
			f = b.mode.take("mode", value)
		case purgeSerial:
			b.beforeSerial, f = takeNumber(purgeSerial, value, func(text string) (uint64, error) { return strconv.ParseUint(text, 10, 64) })
		case purgeTime:
			b.beforeTime, f = takeNumber(purgeTime, value, func(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) })
		}
		if f != nil {
			return f
		}
	}
	return nil
}

// takeNumber is a whole number, nil for null.
func takeNumber[T any](field string, value []byte, parse func(string) (T, error)) (*T, *failure) {
	if isNull(value) {
		return nil, nil
	}
	n, err := parse(string(value))
	if err != nil {
		return nil, wrongShape.with(fmt.Sprintf("%s must be a whole number: %s", field, shown(string(value))))
	}
	return &n, nil
}

// checkShape wants the members that cannot be left out.
func (b *confirmation) checkShape(purge bool) *failure {
	for _, m := range []struct {
		name string
		optional
	}{{"confirm_channel", b.channel}, {"confirm_operation", b.operation}, {"reason", b.reason}} {
		if !m.set {
			return wrongShape.with(m.name + " is required")
		}
	}
	if !purge {
		return nil
	}
	switch b.mode.text {
	case purgeAll, purgeSerial, purgeTime:
		return nil
	}
	if !b.mode.set {
		return wrongShape.with("mode is required")
	}
	return wrongShape.with(fmt.Sprintf("mode is '%s', and must be all, before_serial or before_time_ms", shown(b.mode.text)))
}

// checkMode wants the bound of the mode and no other one.
func (b *confirmation) checkMode() *failure {
	switch serial, at := b.beforeSerial != nil, b.beforeTime != nil; {
	case b.mode.text == purgeAll && (serial || at):
		return invalidInput.with("Purge mode 'all' does not accept bounds")
	case b.mode.text == purgeSerial && (!serial || at):
		return invalidInput.with("Purge mode 'before_serial' requires before_serial only")
	case b.mode.text == purgeTime && (!at || serial):
		return invalidInput.with("Purge mode 'before_time_ms' requires before_time_ms only")
	}
	return nil
}
