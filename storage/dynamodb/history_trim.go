package dynamodb

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// trimStep is how many entries are removed at a time.
const trimStep = 100

// Trim implements storage.History. First the head says that the entries are gone, which
// nobody reads from then on, and then they are removed. What is left when that fails
// the next Trim removes.
func (h *History) Trim(ctx context.Context, key storage.LogKey, stream string, before uint64) error {
	var head logHead
	err := h.step(ctx, func(ctx context.Context) (err error) {
		head, err = h.moveFirst(ctx, key, stream, before)
		return err
	})
	if err != nil || !head.is(stream) {
		return err
	}
	if err := h.sweep(ctx, itemsOf(key, stream), head.First); err != nil {
		return err
	}
	return h.sweepGone(ctx, key, head.gone)
}

// step is one step of a call, which is done again if another is faster.
func (l *link) step(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, done, err := l.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return l.fail(ctx, retried(ctx, func() error { return do(ctx) }))
}

// moveFirst makes an entry the first one of a log. head is that of the log, whatever
// its id.
func (h *History) moveFirst(ctx context.Context, key storage.LogKey, stream string, before uint64) (logHead, error) {
	was, err := h.head(ctx, key)
	if err != nil || !was.is(stream) {
		return was, err
	}
	head := was
	if head.First = min(before, was.Serial+1); head.First <= was.First {
		return was, nil
	}
	u := newUpdate()
	u.was(attributeStream, bin([]byte(stream)))
	u.was(attributeFirst, num(was.First))
	u.was(attributeKeep, num(was.keep)) // which says when it is due
	if head.First > head.Serial {
		u.was(attributeSerial, num(was.Serial)) // nothing may have been added
	} else {
		first, err := h.point(ctx, itemsOf(key, stream), head.First)
		if err != nil {
			return logHead{}, err
		}
		head.firstAt = first.At
	}
	u.set(attributeFirst, num(head.First))
	u.set(attributeFirstAt, num(head.firstAt))
	u.setDue(logOf(key), &head)
	return head, h.change(ctx, key, u)
}

// sweep removes the entries before first, the oldest ones first.
func (h *History) sweep(ctx context.Context, s items, first uint64) error {
	if first <= 1 {
		return nil
	}
	for left := true; left; {
		err := h.step(ctx, func(ctx context.Context) error {
			ask := h.between(s.log, s.entry(0), s.entry(first-1), bare...)
			ask.Limit = aws.Int32(trimStep)
			out, err := h.client.Query(ctx, ask)
			if err != nil {
				return err
			}
			left = out.LastEvaluatedKey != nil
			return h.sweepItems(ctx, s, out.Items)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepItems removes entries, which go last since they say what else there is of them.
func (h *History) sweepItems(ctx context.Context, s items, entries []item) error {
	var guards, pointers, rest []item
	newest := map[string]uint64{}
	var serials []uint64
	for _, i := range entries {
		e, err := s.entryOf(i, true)
		if err != nil {
			return err
		}
		if e.Once != "" {
			guards, serials = append(guards, at(s.log, s.once(e.Once))), append(serials, e.Serial)
		}
		if e.Subject != "" {
			newest[e.Subject] = e.Serial
			pointers = append(pointers, at(s.log, s.pointer(e.Subject, e.Serial)))
		}
		rest = append(rest, at(s.log, s.entry(e.Serial)))
	}
	for subject, serial := range newest {
		guards, serials = append(guards, at(s.log, s.newest(subject))), append(serials, serial)
	}
	err := inParallel(len(guards), func(n int) error { return h.deleteGuard(ctx, guards[n], serials[n]) })
	if err != nil {
		return err
	}
	if err := h.deleteAll(ctx, pointers); err != nil {
		return err
	}
	return h.deleteAll(ctx, rest)
}

// deleteGuard removes a guard that is of an entry that is gone. Another entry may have
// it by now.
func (h *History) deleteGuard(ctx context.Context, key item, serial uint64) error {
	return retried(ctx, func() error {
		_, err := h.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &h.table, Key: key, ConditionExpression: aws.String("#serial <= :serial"),
			ExpressionAttributeNames: map[string]string{"#serial": attributeSerial}, ExpressionAttributeValues: item{":serial": num(serial)},
		})
		if unmet(err) {
			return nil
		}
		return err
	})
}

// Reset implements storage.History. First the head is that of the new log, which makes
// the other one invisible, and then what is left of that is removed. If this fails the
// next Reset or Trim does it.
func (h *History) Reset(ctx context.Context, key storage.LogKey, fresh string) error {
	if err := (&storage.LogAppend{Key: key, Fresh: fresh}).Check(); err != nil {
		return err
	}
	var gone [][]byte
	err := h.step(ctx, func(ctx context.Context) (err error) {
		gone, err = h.beginLog(ctx, key, fresh)
		return err
	})
	if err != nil {
		return err
	}
	return h.sweepGone(ctx, key, gone)
}

// beginLog makes a log another one, with nothing in it, and returns the ids of those
// before.
func (h *History) beginLog(ctx context.Context, key storage.LogKey, fresh string) (gone [][]byte, err error) {
	was, err := h.head(ctx, key)
	if err != nil || was.is(fresh) {
		return was.gone, err
	}
	u := newUpdate()
	head := logHead{LogHead: storage.LogHead{First: 1}}
	u.set(attributeStream, bin([]byte(fresh)))
	head.setTo(u, logOf(key))
	u.remove(attributeState, attributeReason, attributeNode, attributeSince)
	if gone = was.gone; was.Stream == "" {
		u.new()
	} else {
		id := []byte(was.Stream)
		u.was(attributeStream, bin(id))
		u.further = "ADD " + u.name(attributeGone) + " :gone"
		u.values[":gone"] = idSet(id)
		gone = append(slices.Clone(gone), id)
	}
	return gone, h.change(ctx, key, u)
}

func idSet(id []byte) types.AttributeValue {
	return &types.AttributeValueMemberBS{Value: [][]byte{id}}
}

// sweepGone removes what is left of logs that were there before.
func (h *History) sweepGone(ctx context.Context, key storage.LogKey, gone [][]byte) error {
	for _, id := range gone {
		if err := h.sweepLog(ctx, itemsOf(key, string(id))); err != nil {
			return err
		}
		u := newUpdate()
		u.further = "DELETE " + u.name(attributeGone) + " :gone"
		u.must = append(u.must, "attribute_exists("+u.name(attributeItem)+")")
		u.values[":gone"] = idSet(id)
		if err := h.step(ctx, func(ctx context.Context) error { return h.change(ctx, key, u) }); err != nil {
			return err
		}
	}
	return nil
}

// sweepLog removes everything of the log with one id.
func (h *History) sweepLog(ctx context.Context, s items) error {
	for left := true; left; {
		err := h.step(ctx, func(ctx context.Context) error {
			ask := h.between(s.log, s.prefix, append(slices.Clone(s.prefix), 0xff), attributeLog, attributeItem)
			ask.Limit = aws.Int32(maxPage)
			out, err := h.client.Query(ctx, ask)
			if err != nil {
				return err
			}
			left = out.LastEvaluatedKey != nil
			return h.deleteAll(ctx, out.Items)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
