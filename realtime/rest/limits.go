package rest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// unlimited stands for a limit of zero.
const unlimited = math.MaxInt

// limitOf is the limit of an app, else the hub's. Zero in both means none.
func limitOf(app, hub int) int {
	if limit := cmp.Or(max(app, 0), max(hub, 0)); limit > 0 {
		return limit
	}
	return unlimited
}

func (c *call) maxChannels() int {
	return limitOf(c.app.Limits.MaxEventChannelsAtOnce, c.settings().Limits.EventChannels)
}

func (c *call) maxBatch() int {
	return limitOf(c.app.Limits.MaxEventBatchSize, c.settings().Limits.EventBatch)
}

// check runs steps 4 to 7 of section 2.1 and gives the data that subscribers get,
// which holds no part of the body.
func (c *call) check(e *event) (json.RawMessage, *failure) {
	if e.name == "" {
		return nil, errNameMissing
	}
	limits := &c.settings().Limits
	if limit := limitOf(c.app.Limits.MaxEventNameLength, limits.EventNameLength); len(e.name) > limit {
		return nil, limitExceeded.with(fmt.Sprintf("Event name '%s' exceeds maximum length of %d", shown(e.name), limit))
	}
	data, f := checkPayload(e, limitOf(c.app.Limits.MaxEventPayloadInKB<<10, limits.EventPayload))
	if f != nil {
		return nil, f
	}
	if e.count == 0 {
		return nil, errNoChannel
	}
	if limit := c.maxChannels(); e.count > limit {
		return nil, limitExceeded.with(fmt.Sprintf("Number of channels (%d) exceeds limit (%d)", e.count, limit))
	}
	return data, nil
}

// checkPayload makes the data of an event and checks its size. The size of a
// string is counted only where it matters: its value is never longer than it
// was written, and reading escapes costs more than the rest of a publish.
func checkPayload(e *event, limit int) (json.RawMessage, *failure) {
	if len(e.data) > 0 && isText(e.data) && len(e.data)-2 <= limit {
		return append(make(json.RawMessage, 0, len(e.data)), e.data...), nil
	}
	data, size := protocol.EventData(e.data)
	if size > limit {
		return nil, payloadTooLarge.with(fmt.Sprintf("Event payload size (%d bytes) for event '%s' exceeds limit (%s)", size, shown(e.name), sizeText(limit)))
	}
	if len(e.data) > 0 && isText(e.data) {
		data = append(make(json.RawMessage, 0, len(data)), data...)
	}
	return data, nil
}

// sizeText is a size as limits are configured.
func sizeText(n int) string {
	if n%1024 == 0 {
		return fmt.Sprintf("%dKB", n/1024)
	}
	return fmt.Sprintf("%d bytes", n)
}

// shown is the start of a name, for a text about it.
func shown(name string) string {
	const enough = 256
	if len(name) <= enough {
		return name
	}
	return name[:enough] + "..."
}
