package cqltest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/datastax/go-cassandra-native-protocol/primitive"
)

// store is what the nodes of a server share.
type store struct {
	mu        sync.Mutex // held while one statement is executed
	keyspaces map[string]*keyspace
	version   primitive.UUID // of the schema
	held      bool           // indexes are not brought up to date
	behind    []func()       // what is to be done with them
}

type keyspace struct {
	replication map[string]string
	tables      map[string]*table
}

type column struct{ name, kind string }

type table struct {
	columns []column
	// partition and clustering are the columns of the primary key.
	partition, clustering []string
	rows                  map[string]row                 // by id
	partitions            map[string]map[string]struct{} // ids of rows, by the id of the partition
	indexes               map[string]*index
}

// key are the columns of the primary key.
func (t *table) key() []string { return slices.Concat(t.partition, t.clustering) }

// id is made of the values of columns: that of a row or of a partition. The one value
// of a key of one column is the id itself.
func id(values row, columns []string) string {
	if len(columns) == 1 {
		return string(values[columns[0]])
	}
	var b []byte
	for _, c := range columns {
		b = append(binary.AppendUvarint(b, uint64(len(values[c]))), values[c]...)
	}
	return string(b)
}

// valuesOf are the values that an id is made of.
func valuesOf(id string, columns []string) row {
	if len(columns) == 1 {
		return row{columns[0]: []byte(id)}
	}
	values, rest := row{}, []byte(id)
	for _, c := range columns {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			break
		}
		values[c], rest = rest[size:size+int(n)], rest[size+int(n):]
	}
	return values
}

// row are the values of columns by name, without those that are null.
type row map[string][]byte

// index finds rows by the value of a column. It says what it last heard, which may
// not be true any more.
type index struct {
	column  string
	entries map[string]map[string]struct{} // keys of rows by value
}

func newStore() *store {
	return &store{keyspaces: map[string]*keyspace{}, version: newUUID()}
}

func (t *table) kindOf(name string) (string, bool) {
	for _, c := range t.columns {
		if c.name == name {
			return c.kind, true
		}
	}
	return "", false
}

// hold says whether indexes are kept back.
func (s *store) hold(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held = on; on {
		return
	}
	for _, do := range s.behind {
		do()
	}
	s.behind = nil
}

// later does something to an index, now or when indexes are brought up to date.
func (s *store) later(do func()) {
	if s.held {
		s.behind = append(s.behind, do)
		return
	}
	do()
}

// put makes values those of a row. Nil values are null.
func (s *store) put(t *table, key string, values row) {
	old, there := t.rows[key]
	now := maps.Clone(old)
	if !there {
		now = valuesOf(key, t.key())
		partition := id(now, t.partition)
		if t.partitions[partition] == nil {
			t.partitions[partition] = map[string]struct{}{}
		}
		t.partitions[partition][key] = struct{}{}
	}
	for name, value := range values {
		if now[name] = value; value == nil {
			delete(now, name)
		}
	}
	t.rows[key] = now
	s.reindex(t, key, old, now)
}

func (s *store) remove(t *table, key string) {
	old := t.rows[key]
	if old == nil {
		return
	}
	delete(t.rows, key)
	partition := id(old, t.partition)
	if delete(t.partitions[partition], key); len(t.partitions[partition]) == 0 {
		delete(t.partitions, partition)
	}
	s.reindex(t, key, old, nil)
}

// reindex tells the indexes of a row that has changed.
func (s *store) reindex(t *table, key string, old, now row) {
	for _, i := range t.indexes {
		before, after := old[i.column], now[i.column]
		if bytes.Equal(before, after) && (before == nil) == (after == nil) {
			continue
		}
		s.later(func() {
			if before != nil {
				delete(i.entries[string(before)], key)
			}
			if after != nil {
				i.add(after, key)
			}
		})
	}
}

func (i *index) add(value []byte, key string) {
	if i.entries[string(value)] == nil {
		i.entries[string(value)] = map[string]struct{}{}
	}
	i.entries[string(value)][key] = struct{}{}
}

// place is where a partition stands among others, which has nothing to do with the
// order of their keys.
func place(partition string) string {
	sum := sha256.Sum256([]byte(partition))
	return string(sum[:8])
}

// sorted are keys of rows in the order in which they are read: by the places of their
// partitions, and within one by the clustering columns. Those after a key only.
func (t *table) sorted(keys []string, reverse bool, after *string) []string {
	order := func(a, b string) int {
		left, right := valuesOf(a, t.key()), valuesOf(b, t.key())
		if way := strings.Compare(place(id(left, t.partition)), place(id(right, t.partition))); way != 0 {
			return way
		}
		for _, name := range t.clustering {
			kind, _ := t.kindOf(name)
			if way := compare(kind, left[name], right[name]); way != 0 {
				if reverse {
					way = -way
				}
				return way
			}
		}
		return 0
	}
	if after != nil {
		keys = slices.DeleteFunc(keys, func(key string) bool { return order(key, *after) <= 0 })
	}
	slices.SortFunc(keys, order)
	return keys
}
