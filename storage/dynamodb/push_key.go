package dynamodb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"strings"

	"github.com/sockudo/caddy-sockudo/storage"
)

// The attributes of the key of a record: which table of which app, and which record of
// it. Both are binary, which the service has in the order of the bytes.
const (
	attributeTable  = "table"
	attributeRecord = "record"
)

// A record is called by its group, in which a zero byte is followed by groupZero, by a
// zero byte with groupEnd, and by its name. So the order of what records are called is
// that of the groups, and in a group that of the names.
const (
	groupEnd  = 0x01
	groupPast = 0x02 // is between a group and the next one
	groupZero = 0xff
)

// maxRecord is the longest attribute record, which the service takes up to 1024 bytes of.
// What is called something longer is under a hash key of its own, which goes on with so
// many bytes, and has the others as its attribute record. The table has a door in that
// place, so that whoever lists records finds the way. A door stays: it has no content, and
// nothing that push keeps has so long a name.
const maxRecord = 1000

// doorEnd is what the attribute record of a door has behind the bytes of the hash key.
const doorEnd = 0x01

// tableKey is the attribute table of the records of an app.
func tableKey(app, table string) []byte { return counted(counted(nil, app), table) }

// groupStart is what the records of a group are called, up to their names.
func groupStart(group string) []byte {
	called := make([]byte, 0, len(group)+2)
	for i := range len(group) {
		if called = append(called, group[i]); group[i] == 0 {
			called = append(called, groupZero)
		}
	}
	return append(called, 0, groupEnd)
}

// calledOf is what a record is called.
func calledOf(key *storage.PushKey) []byte { return append(groupStart(key.Group), key.Name...) }

// recordAt is the key of an item.
func recordAt(table, record []byte) item {
	return item{attributeTable: bin(table), attributeRecord: bin(record)}
}

// placeOf is the key of a record's item, and that of its door, if it needs one.
func placeOf(key *storage.PushKey) (place, door item) {
	table, called := tableKey(key.App, key.Table), calledOf(key)
	if len(called) <= maxRecord {
		return recordAt(table, called), nil
	}
	before, rest := called[:maxRecord], called[maxRecord:]
	return recordAt(bytes.Join([][]byte{table, before}, nil), rest), recordAt(table, doorOf(before))
}

func doorOf(before []byte) []byte { return append(bytes.Clone(before), doorEnd) }

var errNoRecord = errors.New("attributes table and record do not name a record")

// pushKeyOf is the key of the record that an item is.
func pushKeyOf(table, record []byte) (key storage.PushKey, err error) {
	var before []byte
	app, rest, ok := uncounted(table)
	if ok {
		key.App = app
		key.Table, before, ok = uncounted(rest)
	}
	if !ok || len(before) != 0 && len(before) != maxRecord || len(before) == 0 && len(record) > maxRecord {
		return storage.PushKey{}, errNoRecord
	}
	called := bytes.Join([][]byte{before, record}, nil)
	var group strings.Builder
	for i := 0; i+1 < len(called); i++ {
		if called[i] != 0 {
			_ = group.WriteByte(called[i])
			continue
		}
		switch i++; called[i] {
		case groupZero:
			_ = group.WriteByte(0)
		case groupEnd:
			key.Group, key.Name = group.String(), string(called[i+1:])
			if key.Check() != nil {
				return storage.PushKey{}, errNoRecord
			}
			return key, nil
		default:
			return storage.PushKey{}, errNoRecord
		}
	}
	return storage.PushKey{}, errNoRecord
}

// uncounted is the text that counted has written, and what follows it.
func uncounted(from []byte) (text string, rest []byte, ok bool) {
	n, size := binary.Uvarint(from)
	if size <= 0 || n > uint64(len(from)-size) {
		return "", nil, false
	}
	end := size + int(n)
	return string(from[size:end]), from[end:], true
}

// pushQueueOf spreads the records of a table that are due some time over the queues of
// the index.
func pushQueueOf(key *storage.PushKey) int {
	sum := fnv.New32a()
	for _, text := range []string{key.App, key.Group, key.Name} {
		_, _ = sum.Write([]byte(text))
	}
	return int(sum.Sum32() % pushQueues)
}

// queueKey is the attribute queue of one of the queues of a table of all apps.
func queueKey(table string, queue int) []byte { return append([]byte{byte(queue)}, table...) }
