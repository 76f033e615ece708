package dynamodb

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxWrites is how many items a transaction may change, and maxBytes how large they
	// may be, which is less than the 4 MiB that the service takes.
	maxWrites = 100
	maxBytes  = 2 << 20
	// itemBytes is more than an item takes beside the payload and its key.
	itemBytes = 1 << 10
)

// Append implements storage.History. What goes to one log at the same time is added by
// as few transactions as its size allows, whoever adds it.
func (h *History) Append(ctx context.Context, appends []*storage.LogAppend) {
	var keys []storage.LogKey
	logs := map[storage.LogKey][]*storage.LogAppend{}
	for _, a := range appends {
		if a.Err = h.mayAppend(ctx, a); a.Err != nil {
			continue
		}
		if logs[a.Key] == nil {
			keys = append(keys, a.Key)
		}
		logs[a.Key] = append(logs[a.Key], a)
	}
	_ = inParallel(len(keys), func(n int) error {
		h.appendTo(ctx, keys[n], logs[keys[n]])
		return nil // which each entry has by itself
	})
}

func (h *History) mayAppend(ctx context.Context, a *storage.LogAppend) error {
	if h.closed.Err() != nil || ctx.Err() != nil {
		return h.fail(ctx, ctx.Err())
	}
	if err := a.Check(); err != nil {
		return err
	}
	if len(a.Payload) > maxPayload {
		return fmt.Errorf("%s: an entry of %d bytes, of at most %d: %w", h.place, len(a.Payload), maxPayload, storage.ErrTooLarge)
	}
	return nil
}

// appendTo adds entries to one log. When a transaction fails those that would follow
// are not tried, since they would fail for the same reason.
func (h *History) appendTo(ctx context.Context, key storage.LogKey, list []*storage.LogAppend) {
	var err error
	for len(list) > 0 && err == nil {
		n := portion(list)
		if err = h.appendPortion(ctx, key, list[:n]); err == nil {
			list = list[n:]
		}
	}
	for _, a := range list {
		a.Err = err
	}
}

// portion is how many entries go into one transaction, which is at least one.
func portion(list []*storage.LogAppend) int {
	var c cargo
	for n, a := range list {
		if !c.add(a) {
			return max(n, 1)
		}
	}
	return len(list)
}

// tryAppend plans a transaction out of the log as it is, and makes it. The client gives
// it a token, by which one whose answer was lost is sent again without being made
// twice.
func (h *History) tryAppend(ctx context.Context, key storage.LogKey, list []*storage.LogAppend) error {
	was, err := h.head(ctx, key)
	if err != nil {
		return err
	}
	p := newAddition(key, &was, list)
	if err := h.readGuards(ctx, p); err != nil {
		return err
	}
	for n, a := range list {
		p.add(n, a)
	}
	if writes := p.writes(h.table, list); len(writes) > 0 {
		if _, err := h.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes}); err != nil {
			return err
		}
	}
	for n, a := range list {
		r := &p.results[n]
		a.Entry, a.Stream, a.Err = r.entry, r.stream, r.err
	}
	return nil
}

// readGuards reads the items that say which entry has a Once, and which is the newest
// of a subject. They are in the transaction as well: the head alone does not say that
// they were read as they are, since a transaction shows its items one by one.
func (h *History) readGuards(ctx context.Context, p *addition) error {
	if p.was.Stream == "" {
		return nil
	}
	wanted := p.guards()
	if len(wanted) == 0 {
		return nil
	}
	found, err := h.getAll(ctx, wanted, attributeItem, attributeSerial)
	if err != nil {
		return err
	}
	var entries []item
	for _, i := range found {
		serial, isOnce, err := p.know(i)
		if err != nil {
			return err
		}
		if isOnce && serial >= p.was.First {
			entries = append(entries, at(p.items.log, p.items.entry(serial)))
		}
	}
	if found, err = h.getAll(ctx, entries, bare...); err != nil {
		return err
	}
	if len(found) < len(entries) {
		return errHole
	}
	for _, i := range found {
		e, err := p.items.entryOf(i, true)
		if err != nil {
			return err
		}
		p.there[e.Once] = e
	}
	return nil
}
