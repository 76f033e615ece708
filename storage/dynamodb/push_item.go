package dynamodb

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// The attributes of a record, beside its key and when it is due. A counter that is zero
// may be missing. Those that are due some time are in a queue.
const (
	attributeVersion = "version"
	attributeValue   = "value"
	attributeQueue   = "queue"
	attributeCount   = "count_" // and its number
)

func countAttribute(n int) string { return attributeCount + strconv.Itoa(n) }

// recordOf is the record that an item is.
func recordOf(i item) (storage.PushRecord, error) {
	r := reader{item: i}
	key, err := pushKeyOf(r.binary(attributeTable), r.binary(attributeRecord))
	if err != nil {
		return storage.PushRecord{}, err
	}
	record := storage.PushRecord{
		Key: key, Version: r.unsigned(attributeVersion), Due: maybe(&r, attributeDue, r.signed), Value: r.binary(attributeValue),
	}
	for n := range record.Counts {
		record.Counts[n] = maybe(&r, countAttribute(n), r.signed)
	}
	if r.err != nil {
		return storage.PushRecord{}, fmt.Errorf("a record of %q is broken: %w", key.Table, r.err)
	}
	return record, nil
}

// pushWrite is a change on its way.
type pushWrite struct {
	*storage.PushChange
	place item
	// there is whether the record is taken to be there, if it guesses.
	there bool
}

// guesses reports whether it makes a difference for what is written if the record is
// there, though the caller does not say. When a record is due goes into a new one alone,
// and no expression leaves an attribute out of those that are there.
func (w *pushWrite) guesses() bool { return w.Op == storage.PushAdd && w.If == nil && w.Due > 0 }

// must are the conditions of the change. It reports whether they say that the record is
// there, or is not.
func (w *pushWrite) must(u *update) (there, absent bool) {
	exists := func(function string) { u.must = append(u.must, function+"("+u.name(attributeRecord)+")") }
	switch {
	case w.If != nil && *w.If != 0:
		u.was(attributeVersion, num(*w.If))
		return true, false
	case w.guesses() && w.there:
		exists("attribute_exists")
		return true, false
	case w.If != nil || w.guesses():
		exists("attribute_not_exists")
		return false, true
	}
	return false, false
}

// write is the change as a part of a transaction.
func (w *pushWrite) write(table string) types.TransactWriteItem {
	u := newUpdate()
	there, absent := w.must(u)
	switch {
	case w.Op == storage.PushDelete:
		return w.delete(table, u)
	case w.Op == storage.PushCheck, w.Op == storage.PushAdd && there && w.Counts == [storage.PushCounts]int64{}:
		return w.check(table, u)
	case w.Op == storage.PushPut || absent:
		w.overwrite(u)
	case !there:
		u.setIfNone(attributeVersion, num(w.Version))
		u.setIfNone(attributeValue, bin(w.Value))
	}
	w.add(u)
	change := u.write(table, w.place)
	if len(u.must) == 0 {
		change.Update.ConditionExpression = nil
	}
	return change
}

// overwrite writes all but the counters.
func (w *pushWrite) overwrite(u *update) {
	u.set(attributeVersion, num(w.Version))
	u.set(attributeValue, bin(w.Value))
	if w.Due == 0 {
		u.remove(attributeQueue, attributeDue)
		return
	}
	u.set(attributeQueue, bin(queueKey(w.Key.Table, pushQueueOf(&w.Key))))
	u.set(attributeDue, num(w.Due))
}

func (w *pushWrite) add(u *update) {
	var adds []string
	for n, more := range w.Counts {
		if more != 0 {
			name := countAttribute(n)
			adds = append(adds, u.name(name)+" :"+name)
			u.values[":"+name] = num(more)
		}
	}
	if len(adds) > 0 {
		u.further = "ADD " + strings.Join(adds, ", ")
	}
}

func (w *pushWrite) delete(table string, u *update) types.TransactWriteItem {
	d := &types.Delete{TableName: &table, Key: w.place}
	if len(u.must) > 0 {
		d.ConditionExpression, d.ExpressionAttributeNames = u.condition(), u.names
	}
	if len(u.values) > 0 {
		d.ExpressionAttributeValues = u.values
	}
	return types.TransactWriteItem{Delete: d}
}

func (w *pushWrite) check(table string, u *update) types.TransactWriteItem {
	c := &types.ConditionCheck{TableName: &table, Key: w.place, ConditionExpression: u.condition(), ExpressionAttributeNames: u.names}
	if len(u.values) > 0 {
		c.ExpressionAttributeValues = u.values
	}
	return types.TransactWriteItem{ConditionCheck: c}
}

// setIfNone sets an attribute unless it is there.
func (u *update) setIfNone(attribute string, value types.AttributeValue) {
	name := u.name(attribute)
	u.sets = append(u.sets, name+" = if_not_exists("+name+", :"+attribute+")")
	u.values[":"+attribute] = value
}
