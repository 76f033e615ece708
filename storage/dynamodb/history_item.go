package dynamodb

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// The attributes of entries and heads. Texts are binary, since they may be of any
// bytes, and times and lengths of time are in milliseconds.
const (
	attributeSerial  = "serial"
	attributeRow     = "row"
	attributeIsRow   = "is_row"
	attributeAt      = "at"
	attributeTotal   = "total"
	attributeSize    = "size"
	attributeSubject = "subject"
	attributeOnce    = "once"
	attributePayload = "payload"

	attributeStream  = "stream"
	attributeFirst   = "first"
	attributeFirstAt = "first_at" // of the oldest entry
	attributeKeep    = "keep"
	attributeBucket  = "bucket" // of the index of what is due
	attributeDue     = "due"
	attributeGone    = "gone" // ids of logs before, of which something may be left
	attributeState   = "state"
	attributeReason  = "reason"
	attributeNode    = "node"
	attributeSince   = "since"
)

// bare are the attributes of an entry without its payload.
var bare = []string{
	attributeItem, attributeRow, attributeIsRow, attributeAt, attributeTotal, attributeSize, attributeSubject, attributeOnce,
}

// num is a number as an attribute.
func num[T int | int64 | uint64](n T) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
}

// reader reads attributes, and keeps the first error.
type reader struct {
	item
	err error
}

func (r *reader) broken(name string) {
	if r.err == nil {
		r.err = fmt.Errorf("attribute %s is missing or of another kind", name)
	}
}

func (r *reader) unsigned(name string) uint64 {
	if v, ok := r.item[name].(*types.AttributeValueMemberN); ok {
		if n, err := strconv.ParseUint(v.Value, 10, 64); err == nil {
			return n
		}
	}
	r.broken(name)
	return 0
}

func (r *reader) signed(name string) int64 {
	if v, ok := r.item[name].(*types.AttributeValueMemberN); ok {
		if n, err := strconv.ParseInt(v.Value, 10, 64); err == nil {
			return n
		}
	}
	r.broken(name)
	return 0
}

func (r *reader) binary(name string) []byte {
	v, ok := r.item[name].(*types.AttributeValueMemberB)
	if !ok {
		r.broken(name)
		return nil
	}
	return v.Value
}

// maybe is an attribute that need not be there.
func maybe[T any](r *reader, name string, read func(string) T) (none T) {
	if r.item[name] == nil {
		return none
	}
	return read(name)
}

// entryItemOf is the item of an entry.
func (s items) entryItemOf(e *storage.LogEntry, payload []byte) item {
	i := at(s.log, s.entry(e.Serial))
	i[attributeRow], i[attributeTotal] = num(e.Row), num(e.Total)
	i[attributeAt], i[attributeSize], i[attributePayload] = num(e.At), num(len(payload)), bin(payload)
	if e.IsRow {
		i[attributeIsRow] = &types.AttributeValueMemberBOOL{Value: true}
	}
	if e.Subject != "" {
		i[attributeSubject] = bin([]byte(e.Subject))
	}
	if e.Once != "" {
		i[attributeOnce] = bin([]byte(e.Once))
	}
	return i
}

// entryOf is an item as an entry. If it is bare, it has no payload.
func (s items) entryOf(i item, isBare bool) (e storage.LogEntry, err error) {
	r := reader{item: i}
	name := r.binary(attributeItem)
	e = storage.LogEntry{
		Row: r.unsigned(attributeRow), At: r.signed(attributeAt), Total: r.unsigned(attributeTotal),
		Subject: string(maybe(&r, attributeSubject, r.binary)), Once: string(maybe(&r, attributeOnce, r.binary)),
	}
	size := r.unsigned(attributeSize)
	if !isBare {
		if e.Payload = r.binary(attributePayload); uint64(len(e.Payload)) != size {
			r.broken(attributePayload)
		}
	}
	if size > storage.MaxLogPayload {
		r.broken(attributeSize)
	}
	if e.Size = int(min(size, storage.MaxLogPayload)); len(e.Payload) == 0 {
		e.Payload = nil
	}
	if b, ok := i[attributeIsRow].(*types.AttributeValueMemberBOOL); ok {
		e.IsRow = b.Value
	}
	if r.err == nil {
		e.Serial, r.err = s.serialOf(name, entryItem)
	}
	if r.err != nil {
		return storage.LogEntry{}, fmt.Errorf("an entry is broken: %w", r.err)
	}
	return e, nil
}

// logHead is the head of a log as the table has it. The zero value is that of a log
// that does not exist.
type logHead struct {
	storage.LogHead
	firstAt int64
	keep    int64 // in milliseconds
	gone    [][]byte
}

// is reports whether the log has an id.
func (h *logHead) is(stream string) bool { return h.Stream != "" && h.Stream == stream }

// due is when the oldest entry is due to go, and whether it ever is.
func (h *logHead) due() (at int64, ever bool) {
	if h.keep <= 0 || h.First > h.Serial {
		return 0, false
	}
	if at = h.firstAt + h.keep; at < h.firstAt {
		at = math.MaxInt64
	}
	return at, true
}

// keepOf is a length of time in milliseconds, rounded up so that nothing goes early.
func keepOf(d time.Duration) int64 {
	keep := d.Milliseconds()
	if d > 0 && time.Duration(keep)*time.Millisecond < d {
		keep++
	}
	return keep
}

// headOf is an item as a head.
func headOf(i item) (h logHead, err error) {
	if i == nil {
		return h, nil
	}
	r := reader{item: i}
	h = logHead{
		LogHead: storage.LogHead{
			Stream: string(r.binary(attributeStream)), Serial: r.unsigned(attributeSerial), Row: r.unsigned(attributeRow),
			At: r.signed(attributeAt), Total: r.unsigned(attributeTotal), First: r.unsigned(attributeFirst),
			State: storage.LogState{
				Name: string(maybe(&r, attributeState, r.binary)), Reason: string(maybe(&r, attributeReason, r.binary)),
				Node: string(maybe(&r, attributeNode, r.binary)), Since: maybe(&r, attributeSince, r.signed),
			},
		},
		firstAt: r.signed(attributeFirstAt), keep: r.signed(attributeKeep),
	}
	if gone, ok := i[attributeGone].(*types.AttributeValueMemberBS); ok {
		h.gone = gone.Value
	}
	if r.err == nil && (h.Stream == "" || h.First == 0 || h.First-1 > h.Serial) {
		r.err = fmt.Errorf("id %q, first serial %d of %d", h.Stream, h.First, h.Serial)
	}
	if r.err != nil {
		return logHead{}, fmt.Errorf("the head of a log is broken: %w", r.err)
	}
	return h, nil
}
