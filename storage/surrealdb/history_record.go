package surrealdb

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/surrealdb/surrealdb.go/pkg/models"

	"github.com/sockudo/caddy-sockudo/storage"
)

// word is a text as it is stored, see textOrBytes.
type word string

// UnmarshalCBOR takes a text or bytes.
func (w *word) UnmarshalCBOR(data []byte) error {
	var v any
	if err := codec.Unmarshal(data, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		*w = word(v)
	case []byte:
		*w = word(v)
	default:
		return fmt.Errorf("a %T is no text", v)
	}
	return nil
}

// never is when a log is due that keeps its entries for ever, or has none.
const never = math.MaxInt64

// headState is where a log stands, with what only this driver has to know.
type headState struct {
	storage.LogHead
	version uint64
	firstAt int64 // of the oldest entry, if any is kept
	keep    int64 // in milliseconds
	largest int   // the size of the largest payload it ever had
}

func (s *headState) empty() bool { return s.First > s.Serial }

// same reports whether a log is as it was.
func (s *headState) same(was headState) bool {
	return s.LogHead == was.LogHead && s.version == was.version
}

// due is from when on the log is due.
func (s *headState) due() int64 {
	if s.keep <= 0 || s.empty() || s.firstAt > never-s.keep {
		return never
	}
	return s.firstAt + s.keep
}

// inMilliseconds is a duration, rounded up.
func inMilliseconds(d time.Duration) int64 {
	ms := d.Milliseconds()
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}

// headColumns are what is asked for of a log.
const headColumns = "stream, serial, row, at, total, first, first_at, keep, largest, version, state, old"

// headRecord is a log as it is stored.
type headRecord struct {
	Stream  word        `json:"stream"`
	Serial  uint64      `json:"serial"`
	Row     uint64      `json:"row"`
	At      int64       `json:"at"`
	Total   uint64      `json:"total"`
	First   uint64      `json:"first"`
	FirstAt int64       `json:"first_at"`
	Keep    int64       `json:"keep"`
	Largest int         `json:"largest"`
	Version uint64      `json:"version"`
	State   stateRecord `json:"state"`
	Old     []oldRecord `json:"old"`
}

type stateRecord struct {
	Name   word  `json:"name"`
	Reason word  `json:"reason"`
	Node   word  `json:"node"`
	Since  int64 `json:"since"`
}

// oldRecord is what a log was before it was reset, if some of it may still be there.
type oldRecord struct {
	Stream word   `json:"stream"`
	First  uint64 `json:"first"`
	Serial uint64 `json:"serial"`
}

var errBroken = errors.New("its record is broken")

// head is the record as it is used. What no driver has written is an error.
func (r *headRecord) head() (headState, error) {
	if r.Stream == "" || r.Version == 0 || r.First == 0 || r.First > r.Serial+1 || r.Serial >= math.MaxInt64 || r.Row > r.Serial || r.Largest < 0 {
		return headState{}, errBroken
	}
	return headState{
		LogHead: storage.LogHead{
			Stream: string(r.Stream), Serial: r.Serial, Row: r.Row, At: r.At, Total: r.Total, First: r.First,
			State: storage.LogState{Name: string(r.State.Name), Reason: string(r.State.Reason), Node: string(r.State.Node), Since: r.State.Since},
		},
		version: r.Version, firstAt: r.FirstAt, keep: r.Keep, largest: r.Largest,
	}, nil
}

func storedState(s storage.LogState) map[string]any {
	return map[string]any{"name": textOrBytes(s.Name), "reason": textOrBytes(s.Reason), "node": textOrBytes(s.Node), "since": s.Since}
}

// setHead sets what a change of entries may change of a log. The parameters are those
// of headVars.
const setHead = "stream = $stream, serial = $serial, row = $row, at = $at, total = $total, first = $first, first_at = $first_at, " +
	"keep = $keep, largest = $largest, due = $due, version = $version"

func headVars(s *headState) map[string]any {
	return map[string]any{
		"stream": textOrBytes(s.Stream), "serial": s.Serial, "row": s.Row, "at": s.At, "total": s.Total, "first": s.First,
		"first_at": s.firstAt, "keep": s.keep, "largest": s.largest, "due": s.due(), "version": s.version,
	}
}

// dueRecord is a log that may be due.
type dueRecord struct {
	App     word  `json:"app"`
	Channel word  `json:"channel"`
	Due     int64 `json:"due"`
}

// entryColumns are what is asked for of an entry, without its payload.
const entryColumns = "serial, row, is_row, at, total, size, subject, once"

// entryRecord is an entry as it is read. A record that is not there has no serial.
type entryRecord struct {
	Serial  uint64 `json:"serial"`
	Row     uint64 `json:"row"`
	IsRow   bool   `json:"is_row"`
	At      int64  `json:"at"`
	Total   uint64 `json:"total"`
	Size    int    `json:"size"`
	Subject word   `json:"subject"`
	Once    word   `json:"once"`
	Payload []byte `json:"payload"`
}

func (r *entryRecord) entry() storage.LogEntry {
	return storage.LogEntry{
		Serial: r.Serial, Row: r.Row, IsRow: r.IsRow, At: r.At, Total: r.Total, Size: r.Size,
		Subject: string(r.Subject), Once: string(r.Once), Payload: r.Payload,
	}
}

// entries are those of records that are there.
func entries(records []entryRecord) []storage.LogEntry {
	there := make([]storage.LogEntry, 0, len(records))
	for i := range records {
		if records[i].Serial > 0 {
			there = append(there, records[i].entry())
		}
	}
	return there
}

// written is an entry as it is written.
func written(b branch, e *storage.LogEntry) map[string]any {
	payload := e.Payload
	if payload == nil {
		payload = []byte{}
	}
	return map[string]any{
		"id": b.entry(e.Serial), "serial": e.Serial, "row": e.Row, "is_row": e.IsRow, "at": e.At, "total": e.Total, "size": e.Size,
		"subject": textOrBytes(e.Subject), "once": textOrBytes(e.Once), "payload": payload,
	}
}

// serialRecord names an entry. A record that is not there names none.
type serialRecord struct {
	Key    word   `json:"key"`
	Serial uint64 `json:"serial"`
}

func serialOf(id models.RecordID, key string, serial uint64) map[string]any {
	return map[string]any{"id": id, "key": textOrBytes(key), "serial": serial}
}

// serials are those of records that are there.
func serials(records []serialRecord) map[string]uint64 {
	there := map[string]uint64{}
	for _, r := range records {
		if r.Serial > 0 {
			there[string(r.Key)] = r.Serial
		}
	}
	return there
}
