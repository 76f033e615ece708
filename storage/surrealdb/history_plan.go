package surrealdb

import (
	"fmt"

	"github.com/sockudo/caddy-sockudo/storage"
)

// addition is what appends do to a log: it is made from how the log is, and can be carried
// out as long as the log is like that.
type addition struct {
	branch

	key    storage.LogKey
	before headState                   // without a version if there is no log
	there  map[string]storage.LogEntry // what is there with the Once of an append
	newest map[string]uint64           // the newest entries of the subjects with an After

	after headState
	added []*storage.LogEntry // with payloads
}

// make plans appends, and sets what becomes of each if the plan is carried out.
func (p *addition) make(items []*item) {
	p.after, p.added = p.before, nil
	p.stream = p.before.Stream
	there, newest := map[string]storage.LogEntry{}, map[string]uint64{} // by this plan
	for _, i := range items {
		i.Entry, i.Stream, i.Err = storage.LogEntry{}, "", nil
		if e, ok := p.known(i.Once, there); ok {
			i.Entry, i.Stream, i.Err = e, p.stream, storage.ErrExists
			continue
		}
		if i.After != nil {
			if serial := p.newestOf(i.Subject, newest); serial != *i.After {
				i.Err = fmt.Errorf("the newest entry is %d: %w", serial, storage.ErrConflict)
				continue
			}
		}
		e := p.add(i)
		i.Entry, i.Stream = *e, p.stream
		i.Entry.Payload = nil
		there[i.Once], newest[i.Subject] = i.Entry, e.Serial
	}
	p.after.version = p.before.version + 1
}

func (p *addition) known(once string, there map[string]storage.LogEntry) (e storage.LogEntry, ok bool) {
	if once == "" {
		return e, false
	}
	if e, ok = there[once]; !ok {
		e, ok = p.there[once]
	}
	return e, ok
}

func (p *addition) newestOf(subject string, newest map[string]uint64) uint64 {
	if subject == "" {
		return 0
	}
	if serial, ok := newest[subject]; ok {
		return serial
	}
	return p.newest[subject]
}

// add puts an entry behind the others.
func (p *addition) add(i *item) *storage.LogEntry {
	s := &p.after
	if s.Stream == "" {
		s.Stream, s.First = i.Fresh, 1
		p.stream = i.Fresh
	}
	e := &storage.LogEntry{
		Serial: s.Serial + 1, Row: s.Row, IsRow: i.Row, At: max(i.At, s.At), Total: s.Total,
		Size: len(i.Payload), Subject: i.Subject, Once: i.Once, Payload: i.Payload,
	}
	if i.Row {
		e.Row++
		e.Total += uint64(e.Size)
	}
	if s.empty() {
		s.firstAt = e.At
	}
	s.Serial, s.Row, s.At, s.Total = e.Serial, e.Row, e.At, e.Total
	s.keep, s.largest = inMilliseconds(i.Keep), max(s.largest, e.Size)
	p.added = append(p.added, e)
	return e
}

func (p *addition) entryRecords() []map[string]any {
	records := make([]map[string]any, len(p.added))
	for i, e := range p.added {
		records[i] = written(p.branch, e)
	}
	return records
}

func (p *addition) onceRecords() (records []map[string]any) {
	for _, e := range p.added {
		if e.Once != "" {
			records = append(records, serialOf(p.once(e.Once), e.Once, e.Serial))
		}
	}
	return records
}

// subjectRecords say which entries are about a subject, and which is the newest one of
// each.
func (p *addition) subjectRecords() (all, newest []map[string]any) {
	last := map[string]int{}
	for _, e := range p.added {
		if e.Subject == "" {
			continue
		}
		all = append(all, serialOf(p.about(e.Subject, e.Serial), e.Subject, e.Serial))
		head := serialOf(p.about(e.Subject, 0), e.Subject, e.Serial)
		if at, ok := last[e.Subject]; ok {
			newest[at] = head
			continue
		}
		last[e.Subject] = len(newest)
		newest = append(newest, head)
	}
	return all, newest
}
