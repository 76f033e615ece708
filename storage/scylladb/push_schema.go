package scylladb

import (
	"encoding/binary"
	"errors"

	"github.com/sockudo/caddy-sockudo/storage"
)

// The records of an app are one partition, since a transaction reaches no further and one
// Apply may be about any of them. In it they are in the order in which they are listed. So
// an app takes as many changes as one partition does, and with all that it has it had best
// stay below what the servers call a large partition.
//
// A record has beside its version a stamp, which changes with its counters too. Every
// change of a record is on the condition that the one or the other is as it was read,
// and all changes of an Apply are one transaction.
//
// When a record is due is noted in a table of its own, see push_note.go.
var pushRelations = []relation{
	{
		"",
		[]column{
			{"app", blob},
			{"tbl", blob},
			{"grp", blob},
			{"name", blob},
			{"version", whole},
			{"stamp", blob}, // the id of the last Apply that has put the record or added to it
			{"due", whole},
			{"note", blob},    // the id of the note about that
			{"bucket", whole}, // and its place
			{"counts", blob},  // nothing as long as all are zero
			{"value", blob},
		},
		"(app), tbl, grp, name",
	},
	{
		dueEnding,
		[]column{
			{"tbl", blob},
			{"bucket", whole},
			{"due", whole},
			{"app", blob},
			{"grp", blob},
			{"name", blob},
			{"note", blob},
			{"noted", whole},
		},
		"(tbl, bucket), due, app, grp, name, note",
	},
}

// pushRow is a record as the table has it.
type pushRow struct {
	storage.PushRecord
	stamp, note string
	bucket      int64
}

// errCounts says that the counters of a record are not as they are written here.
var errCounts = errors.New("column counts of a record is of another length")

const countSize = 8

// countsOf are the counters of a column counts.
func countsOf(text []byte) (counts [storage.PushCounts]int64, err error) {
	switch len(text) {
	case 0:
		return counts, nil
	case len(counts) * countSize:
	default:
		return counts, errCounts
	}
	for i := range counts {
		counts[i] = int64(binary.BigEndian.Uint64(text[i*countSize:]))
	}
	return counts, nil
}

// countsText is the column counts of counters.
func countsText(counts [storage.PushCounts]int64) []byte {
	if counts == [storage.PushCounts]int64{} {
		return []byte{}
	}
	text := make([]byte, 0, len(counts)*countSize)
	for _, n := range counts {
		text = binary.BigEndian.AppendUint64(text, uint64(n))
	}
	return text
}
