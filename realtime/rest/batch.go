package rest

import (
	"context"
	"fmt"
	"strconv"
)

// batch publishes several events (section 2.3). Everything that can be refused
// without publishing is refused before the first event goes out.
func (c *call) batch() ([]byte, *failure) {
	object, f := c.document()
	if f != nil {
		return nil, f
	}
	if f := c.parseBatch(object); f != nil {
		return nil, f
	}
	for i := range c.items {
		if f := c.checkItemKeys(&c.items[i]); f != nil {
			return nil, f
		}
	}
	if len(c.items) > 0 {
		if f := c.allowEvents(len(c.items)); f != nil {
			return nil, f
		}
	}
	key, given := c.headerKey()
	if !given || !c.idempotent() {
		return c.publishBatch(c.r.Context())
	}
	if f := c.checkKey(key); f != nil {
		return nil, f
	}
	c.keyed = true
	for i := range c.items {
		c.items[i].once = "batch-" + strconv.Itoa(i) + ":" + key
	}
	answer, _, f := c.once(c.cacheKey("batch-idempotency", key), batchBusy, c.publishBatch)
	return answer, f
}

// parseBatch reads the items. A batch over the limit is not read at all.
func (c *call) parseBatch(object []byte) *failure {
	var list []byte
	members := walk(object)
	for name, value, ok := members.member(); ok; name, value, ok = members.member() {
		if string(name) == "batch" {
			list = value
		}
	}
	if list == nil || !isArray(list) {
		return wrongShape.with("batch must be a list of events")
	}
	n := 0
	count := walk(list)
	for item, ok := count.element(); ok; item, ok = count.element() {
		if !isObject(item) {
			return wrongShape.with("batch must be a list of events")
		}
		n++
	}
	if limit := c.maxBatch(); n > limit {
		return limitExceeded.with(fmt.Sprintf("Batch size (%d) exceeds limit (%d)", n, limit))
	}
	c.items = grown(c.items, n)
	items := walk(list)
	for i := range c.items {
		item, _ := items.element()
		if f := c.items[i].parse(item, c.maxChannels()); f != nil {
			return f
		}
	}
	return nil
}

// grown is a list of n events, with the buffers of those it had.
func grown(items []event, n int) []event {
	items = items[:cap(items)]
	if len(items) < n {
		items = append(items, make([]event, n-len(items))...)
	}
	return items[:n]
}

func (c *call) checkItemKeys(e *event) *failure {
	if e.key.set && c.idempotent() {
		if f := c.checkKey(e.key.text); f != nil {
			return f
		}
	}
	return c.checkClaimKey(e)
}

// publishBatch publishes the items one after the other and makes the answer. The
// first failure ends it; earlier items stay published.
func (c *call) publishBatch(ctx context.Context) ([]byte, *failure) {
	c.out = append(c.out[:0], `{"batch":[`...)
	asked := false
	for i := range c.items {
		e := &c.items[i]
		published, f := c.publishItem(ctx, e)
		if f != nil {
			return nil, f
		}
		if i > 0 {
			c.out = append(c.out, ',')
		}
		asked = asked || e.asks()
		if published && e.asks() {
			c.out = c.appendAck(ctx, c.out, e, 0)
		} else {
			c.out = append(c.out, emptyAnswer...)
		}
	}
	if !asked {
		return emptyAnswer, nil
	}
	c.out = append(c.out, `]}`...)
	return c.out, nil
}

// itemDone is what the cache keeps under the key of a published item. Items have
// no answer of their own, and their keys are apart from those of events.
var itemDone = []byte("done")

// publishItem publishes one item. published is false for a repeated one.
func (c *call) publishItem(ctx context.Context, e *event) (published bool, f *failure) {
	if !e.key.set || !c.idempotent() {
		return true, c.publish(ctx, e)
	}
	_, published, f = c.once(c.cacheKey("batch-item-idempotency", e.key.text), batchBusy, func(ctx context.Context) ([]byte, *failure) {
		return itemDone, c.publish(ctx, e)
	})
	return published, f
}
