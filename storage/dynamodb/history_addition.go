package dynamodb

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// addition is a transaction that adds entries to a log.
type addition struct {
	items items
	was   *logHead
	head  logHead // after it
	// once and newest are the serials of the guards that were read. They may be those
	// of entries that are gone.
	once, newest map[string]uint64
	// there are the entries that have a Once.
	there map[string]storage.LogEntry
	// last is the newest entry of each subject, zero for none that is kept.
	last    map[string]uint64
	checked map[string]bool // subjects whose newest entry has to be as it was
	results []result        // of each entry
	adds    []int           // which entries are added
}

type result struct {
	entry  storage.LogEntry
	stream string
	err    error
}

func newAddition(key storage.LogKey, was *logHead, list []*storage.LogAppend) *addition {
	p := &addition{
		was: was, head: *was, once: map[string]uint64{}, newest: map[string]uint64{}, there: map[string]storage.LogEntry{},
		last: map[string]uint64{}, checked: map[string]bool{}, results: make([]result, len(list)),
	}
	if p.items = itemsOf(key, was.Stream); was.Stream == "" {
		p.head.First = 1
	}
	for _, a := range list {
		if a.Once != "" {
			p.once[a.Once] = 0
		}
		if a.After != nil && a.Subject != "" {
			p.checked[a.Subject] = true
		}
	}
	return p
}

// guards are the keys of the guards that have to be read.
func (p *addition) guards() (list []item) {
	for once := range p.once {
		list = append(list, at(p.items.log, p.items.once(once)))
	}
	for subject := range p.checked {
		list = append(list, at(p.items.log, p.items.newest(subject)))
	}
	return list
}

// know notes a guard that is there.
func (p *addition) know(i item) (serial uint64, isOnce bool, err error) {
	r := reader{item: i}
	name := r.binary(attributeItem)
	if serial = r.unsigned(attributeSerial); r.err == nil && serial == 0 {
		r.broken(attributeSerial)
	}
	if r.err != nil {
		return 0, false, fmt.Errorf("the guard of an entry is broken: %w", r.err)
	}
	if once, err := p.items.textOf(name, onceItem); err == nil {
		p.once[once] = serial
		return serial, true, nil
	}
	subject, err := p.items.textOf(name, newestItem)
	if err != nil {
		return 0, false, err
	}
	if p.newest[subject] = serial; serial >= p.was.First {
		p.last[subject] = serial
	}
	return serial, false, nil
}

// add decides about one entry.
func (p *addition) add(n int, a *storage.LogAppend) {
	r := &p.results[n]
	if e, is := p.there[a.Once]; is && a.Once != "" {
		*r = result{entry: e, stream: p.head.Stream, err: storage.ErrExists}
		return
	}
	if a.After != nil {
		if newest := p.last[a.Subject]; newest != *a.After {
			r.err = fmt.Errorf("the newest entry is %d: %w", newest, storage.ErrConflict)
			return
		}
	}
	if p.head.Stream == "" {
		p.head.Stream = a.Fresh
		p.items = itemsOf(a.Key, a.Fresh)
	}
	e := storage.LogEntry{
		Serial: p.head.Serial + 1, Row: p.head.Row, IsRow: a.Row, At: max(a.At, p.head.At), Total: p.head.Total,
		Size: len(a.Payload), Subject: a.Subject, Once: a.Once,
	}
	if a.Row {
		e.Row++
		e.Total += uint64(e.Size)
	}
	if p.head.First == e.Serial {
		p.head.firstAt = e.At
	}
	p.head.Serial, p.head.Row, p.head.At, p.head.Total, p.head.keep = e.Serial, e.Row, e.At, e.Total, keepOf(a.Keep)
	if e.Once != "" {
		p.there[e.Once] = e
	}
	if e.Subject != "" {
		p.last[e.Subject] = e.Serial
	}
	*r = result{entry: e, stream: p.head.Stream}
	p.adds = append(p.adds, n)
}

// writes are the changes of the transaction, none if no entry is added.
func (p *addition) writes(table string, list []*storage.LogAppend) []types.TransactWriteItem {
	if len(p.adds) == 0 {
		return nil
	}
	writes := []types.TransactWriteItem{p.move(table)}
	put := func(i item, must *update) {
		put := &types.Put{TableName: &table, Item: i}
		if must != nil {
			put.ConditionExpression, put.ExpressionAttributeNames = must.condition(), must.names
			if len(must.values) > 0 {
				put.ExpressionAttributeValues = must.values
			}
		}
		writes = append(writes, types.TransactWriteItem{Put: put})
	}
	subjects := map[string]bool{}
	for _, n := range p.adds {
		e := &p.results[n].entry
		fresh := newUpdate()
		fresh.new()
		put(p.items.entryItemOf(e, list[n].Payload), fresh)
		if e.Once != "" {
			put(p.guard(p.items.once(e.Once), e.Serial), asRead(p.once[e.Once]))
		}
		if e.Subject == "" {
			continue
		}
		put(at(p.items.log, p.items.pointer(e.Subject, e.Serial)), nil)
		if subjects[e.Subject] {
			continue // a transaction changes each item once
		}
		subjects[e.Subject] = true
		var must *update
		if p.checked[e.Subject] {
			must = asRead(p.newest[e.Subject])
		}
		put(p.guard(p.items.newest(e.Subject), p.last[e.Subject]), must)
	}
	return writes
}

func (p *addition) guard(name []byte, serial uint64) item {
	i := at(p.items.log, name)
	i[attributeSerial] = num(serial)
	return i
}

// asRead demands that a guard is as it was read. One that was there, of an entry that
// is gone, may have been removed since.
func asRead(was uint64) *update {
	u := newUpdate()
	if u.new(); was != 0 {
		u.must[0] += " OR " + u.name(attributeSerial) + " = :was"
		u.values[":was"] = num(was)
	}
	return u
}

// move is the change of the head.
func (p *addition) move(table string) types.TransactWriteItem {
	u := newUpdate()
	u.unmoved(p.was)
	u.set(attributeStream, bin([]byte(p.head.Stream)))
	p.head.setTo(u, p.items.log)
	return u.write(table, at(p.items.log, headItem))
}

// setTo says where a log stands.
func (h *logHead) setTo(u *update, log []byte) {
	u.set(attributeSerial, num(h.Serial))
	u.set(attributeRow, num(h.Row))
	u.set(attributeAt, num(h.At))
	u.set(attributeTotal, num(h.Total))
	u.set(attributeFirst, num(h.First))
	u.set(attributeFirstAt, num(h.firstAt))
	u.set(attributeKeep, num(h.keep))
	u.setDue(log, h)
}
