package history

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Annotations are those of the messages of one channel. Each of them, and each that
// says that one was taken back, is an entry of a log, about the message.
type Annotations struct {
	Store        storage.History
	App, Channel string
	// Age is how long they are kept and shown, which is how long versions of messages
	// are. Zero is for ever.
	Age time.Duration
	// Now is the time, in Unix milliseconds.
	Now int64
	// MaxFrame bounds the frame of a summary, in bytes. Zero means no bound.
	MaxFrame int
}

// What is wrong with an annotation that somebody wants to delete.
var (
	ErrNoAnnotation       = fmt.Errorf("annotation: %w", storage.ErrNotFound)
	ErrAnnotatesAnother   = errors.New("annotation is about another message")
	ErrAnnotationNoCreate = errors.New("annotation is a delete itself")
)

// The form of annotation serials: so many digits, so that texts are in the order of
// their numbers.
const (
	annotationSerialPrefix = "ann:"
	annotationSerialDigits = 20
)

func annotationSerial(n uint64) string {
	return fmt.Sprintf("%s%0*d", annotationSerialPrefix, annotationSerialDigits, n)
}

// ParseAnnotationSerial is the place of an annotation in its log. ok is false for a
// text that no annotation has.
func ParseAnnotationSerial(text string) (n uint64, ok bool) {
	if len(text) != len(annotationSerialPrefix)+annotationSerialDigits || text[:len(annotationSerialPrefix)] != annotationSerialPrefix {
		return 0, false
	}
	digits := text[len(annotationSerialPrefix):]
	if digits[0] < '0' || digits[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// Key names the log.
func (a Annotations) Key() storage.LogKey { return AnnotationKey(a.App, a.Channel) }

// Log is the log for those who retain it.
func (a Annotations) Log() Log {
	return Log{Store: a.Store, Key: a.Key(), Retention: Retention{Age: a.Age}, Now: a.Now}
}

// query is what is shown of the log.
func (a Annotations) query() storage.LogQuery {
	q := storage.LogQuery{}
	if a.Age > 0 {
		q.FromAt = a.Now - a.Age.Milliseconds()
	}
	return q
}

// Create adds an annotation, which gets its serial, its id and its time.
func (a Annotations) Create(ctx context.Context, one *protocol.Annotation) error {
	one.Action, one.ID, one.At = protocol.AnnotationCreate, protocol.NewMessageID(), a.Now
	return a.add(ctx, one, "")
}

func (a Annotations) add(ctx context.Context, one *protocol.Annotation, once string) error {
	one.Serial = "" // the entry has it
	entry := &storage.LogAppend{
		Key: a.Key(), Fresh: protocol.NewMessageID(), At: a.Now, Row: true, Subject: one.MessageSerial, Once: once,
		Payload: one.AppendJSON(nil), Keep: a.Age,
	}
	a.Store.Append(ctx, []*storage.LogAppend{entry})
	if entry.Err != nil {
		return fmt.Errorf("annotation of %q: %w", a.Channel, entry.Err)
	}
	one.Serial = annotationSerial(entry.Entry.Serial)
	return nil
}

// Annotated is an annotation that can be deleted.
type Annotated struct {
	protocol.Annotation
	stream string
}

// Find reads an annotation of a message that can be deleted. Otherwise the error is
// one of ErrNoAnnotation, ErrAnnotatesAnother and ErrAnnotationNoCreate, in this order.
func (a Annotations) Find(ctx context.Context, message, serial string) (found Annotated, err error) {
	n, ok := ParseAnnotationSerial(serial)
	if !ok || n == 0 {
		return found, ErrNoAnnotation
	}
	head, err := a.Store.Head(ctx, a.Key())
	if errors.Is(err, storage.ErrNotFound) {
		return found, ErrNoAnnotation
	}
	if err != nil {
		return found, fmt.Errorf("annotations of %q: %w", a.Channel, err)
	}
	q := a.query()
	q.From, q.To, q.Limit = n, n, 1
	entries, err := a.Store.Read(ctx, a.Key(), head.Stream, q)
	switch {
	case err != nil:
		return found, fmt.Errorf("annotations of %q: %w", a.Channel, err)
	case len(entries) == 0:
		return found, ErrNoAnnotation
	}
	found.stream = head.Stream
	if found.Annotation, err = annotationOf(&entries[0]); err != nil {
		return found, err
	}
	switch {
	case found.MessageSerial != message:
		return found, ErrAnnotatesAnother
	case found.Action != protocol.AnnotationCreate:
		return found, ErrAnnotationNoCreate
	}
	return found, nil
}

// annotationOf reads an annotation, and who has deleted which.
func annotationOf(e *storage.LogEntry) (protocol.Annotation, error) {
	one, err := protocol.ParseAnnotation(e.Payload)
	one.Serial = annotationSerial(e.Serial)
	return one, err
}

// Delete adds that an annotation was taken back, once: done is false if it had been
// before.
func (a Annotations) Delete(ctx context.Context, found *Annotated) (one protocol.Annotation, done bool, err error) {
	one = protocol.Annotation{
		Action: protocol.AnnotationDelete, MessageSerial: found.MessageSerial, Type: found.Type, Name: found.Name,
		ClientID: found.ClientID, Count: found.Count, At: a.Now,
	}
	err = a.add(ctx, &one, deleteOf(found.stream, found.Serial))
	if errors.Is(err, storage.ErrExists) {
		return one, false, nil
	}
	return one, err == nil, err
}

// deletePrefix begins the Once of an entry that takes an annotation back, which is
// what keeps a second one out. It names the log too: an annotation of a log that was
// reset meanwhile takes nothing away from its successor.
const deletePrefix = "del:"

func deleteOf(stream, serial string) string { return deletePrefix + serial + "@" + stream }

// deleted is the serial that an entry of a log takes back, and zero for none of it.
func deleted(stream string, e *storage.LogEntry) uint64 {
	const from, to = len(deletePrefix), len(deletePrefix) + len(annotationSerialPrefix) + annotationSerialDigits
	if len(e.Once) < to || e.Once != deleteOf(stream, e.Once[from:to]) {
		return 0
	}
	n, _ := ParseAnnotationSerial(e.Once[from:to])
	return n
}
