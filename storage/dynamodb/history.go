package dynamodb

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sockudo/caddy-sockudo/storage"
)

// maxPayload is the largest payload that there is room for in an item, which may have
// 400 KiB with its key and all else that it says.
const maxPayload = (400 - 4) << 10

// History keeps logs in a table of DynamoDB. Every log has a head, and whoever changes
// the log does so in a transaction that demands that the head is as it was read.
type History struct {
	*link
	lines lines
}

// OpenHistory finds the table, or makes it if there is none, and waits until it can be
// used, at most for OpenTimeout. The default of its name is sockudo_history.
func OpenHistory(ctx context.Context, o Options) (*History, error) {
	l, err := o.forHistory().open(ctx, "history", logTable)
	if err != nil {
		return nil, err
	}
	return &History{link: l}, nil
}

func (o Options) forHistory() Options {
	o.Table = cmp.Or(o.Table, "sockudo_history")
	return o.withDefaults()
}

// MaxSize is the largest payload of an entry.
func (*History) MaxSize() int64 { return maxPayload }

// Close ends all connections, and the calls that are under way. Later calls are
// ErrClosed.
func (h *History) Close() error {
	err := h.link.Close()
	h.lines.close()
	h.http.CloseIdleConnections()
	return err
}

// Head implements storage.History.
func (h *History) Head(ctx context.Context, key storage.LogKey) (storage.LogHead, error) {
	ctx, done, err := h.begin(ctx)
	if err != nil {
		return storage.LogHead{}, err
	}
	defer done()
	there, err := h.head(ctx, key)
	if err == nil && there.Stream == "" {
		return storage.LogHead{}, fmt.Errorf("log of %s: %w", key.Channel, storage.ErrNotFound)
	}
	return there.LogHead, h.fail(ctx, err)
}

// head is the head of a log as it is now.
func (h *History) head(ctx context.Context, key storage.LogKey) (logHead, error) {
	i, err := h.get(ctx, at(logOf(key), headItem))
	if err != nil {
		return logHead{}, err
	}
	return headOf(i)
}

// get is an item as it is now, nil if there is none.
func (h *History) get(ctx context.Context, key item, attributes ...string) (item, error) {
	ask := &dynamodb.GetItemInput{TableName: &h.table, Key: key, ConsistentRead: aws.Bool(true)}
	if len(attributes) > 0 {
		ask.ProjectionExpression, ask.ExpressionAttributeNames = projection(attributes...)
	}
	out, err := h.client.GetItem(ctx, ask)
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// point is an entry without its payload, which has to be there.
func (h *History) point(ctx context.Context, s items, serial uint64) (storage.LogEntry, error) {
	i, err := h.get(ctx, at(s.log, s.entry(serial)), bare...)
	switch {
	case err != nil:
		return storage.LogEntry{}, err
	case i == nil:
		return storage.LogEntry{}, fmt.Errorf("serial %d: %w", serial, errHole)
	}
	return s.entryOf(i, true)
}

// change makes an update of a head if its conditions hold.
func (h *History) change(ctx context.Context, key storage.LogKey, u *update) error {
	_, err := h.client.UpdateItem(ctx, u.input(h.table, at(logOf(key), headItem)))
	return err
}

// Mark implements storage.History.
func (h *History) Mark(ctx context.Context, key storage.LogKey, stream string, state storage.LogState) error {
	ctx, done, err := h.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if state.Since <= 0 {
		return nil // a log without a note has one since zero
	}
	u := newUpdate()
	u.was(attributeStream, bin([]byte(stream)))
	since := u.name(attributeSince)
	u.must = append(u.must, "(attribute_not_exists("+since+") OR "+since+" < :"+attributeSince+")")
	u.set(attributeSince, num(state.Since))
	for attribute, text := range map[string]string{attributeState: state.Name, attributeReason: state.Reason, attributeNode: state.Node} {
		u.set(attribute, bin([]byte(text)))
	}
	err = retried(ctx, func() error {
		err := h.change(ctx, key, u)
		if unmet(err) {
			return nil
		}
		return err
	})
	return h.fail(ctx, err)
}

var (
	_ storage.History = (*History)(nil)
	_ storage.Checker = (*History)(nil)
)
