package dynamodb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// The attributes of the table's key, which are binary since texts may be of any bytes:
// the log, and which item of it.
const (
	attributeLog  = "log"
	attributeItem = "item"
)

// headItem is where a log stands. The other items begin with the id of the log, so
// that what is left of another one is never taken for what is there.
var headItem = []byte{'h'}

// streamItem begins what is not the head.
const streamItem = 'i'

// What items there are behind the id of the log. All numbers are of 8 bytes, so that
// items of one kind are in the order of serials.
const (
	entryItem   = 'e' // SERIAL: an entry
	newestItem  = 'n' // SUBJECT: the serial of its newest entry
	onceItem    = 'o' // ONCE: the serial of the entry that has it
	pointerItem = 's' // length SUBJECT SERIAL: an entry of the subject
)

// serialSize is the length of a serial in a key.
const serialSize = 8

// bin is a binary attribute. The service does not take nil for one that is empty.
func bin(b []byte) types.AttributeValue {
	if b == nil {
		b = []byte{}
	}
	return &types.AttributeValueMemberB{Value: b}
}

// counted is a text behind its length, so that nothing that follows can be taken for
// a part of it.
func counted(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// logOf is the attribute log of a log.
func logOf(key storage.LogKey) []byte { return append(counted(nil, key.App), key.Channel...) }

var errNoLog = errors.New("attribute log does not name a log")

// keyOf is the log of an attribute log.
func keyOf(log []byte) (storage.LogKey, error) {
	n, size := binary.Uvarint(log)
	if size <= 0 || n > uint64(len(log)-size) {
		return storage.LogKey{}, errNoLog
	}
	rest := log[size:]
	return storage.LogKey{App: string(rest[:n]), Channel: string(rest[n:])}, nil
}

// bucketOf spreads the logs that are due some time over the index of them.
func bucketOf(log []byte) uint64 {
	sum := fnv.New32a()
	_, _ = sum.Write(log)
	return uint64(sum.Sum32() % dueBuckets)
}

// items are those of the log with one id.
type items struct{ log, prefix []byte }

func itemsOf(key storage.LogKey, stream string) items {
	return items{log: logOf(key), prefix: counted([]byte{streamItem}, stream)}
}

// at is the key of an item of a log.
func at(log, name []byte) item { return item{attributeLog: bin(log), attributeItem: bin(name)} }

// name is the attribute item of a kind of item.
func (s items) name(kind byte) []byte { return append(bytes.Clone(s.prefix), kind) }

func (s items) entry(serial uint64) []byte {
	return binary.BigEndian.AppendUint64(s.name(entryItem), serial)
}

func (s items) pointer(subject string, serial uint64) []byte {
	return binary.BigEndian.AppendUint64(counted(s.name(pointerItem), subject), serial)
}

func (s items) newest(subject string) []byte { return append(s.name(newestItem), subject...) }

func (s items) once(once string) []byte { return append(s.name(onceItem), once...) }

var errNoItem = errors.New("attribute item is not that of the log")

// textOf is what the name of an item says behind its kind.
func (s items) textOf(name []byte, kind byte) (string, error) {
	text, ok := bytes.CutPrefix(name, s.name(kind))
	if !ok {
		return "", errNoItem
	}
	return string(text), nil
}

// serialOf is the serial at the end of the name of an item.
func (s items) serialOf(name []byte, kind byte) (uint64, error) {
	text, err := s.textOf(name, kind)
	if err != nil || len(text) < serialSize || kind == entryItem && len(text) != serialSize {
		return 0, errNoItem
	}
	return binary.BigEndian.Uint64([]byte(text[len(text)-serialSize:])), nil
}
