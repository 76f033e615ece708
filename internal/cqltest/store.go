package cqltest

import (
	"bytes"
	"crypto/sha256"
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
	key     string // the column of the primary key
	rows    map[string]row
	indexes map[string]*index
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
		now = row{t.key: []byte(key)}
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
	delete(t.rows, key)
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

// place is where a row stands among others, which has nothing to do with the order
// of their keys.
func place(key string) string {
	sum := sha256.Sum256([]byte(key))
	return string(sum[:8])
}

// ordered are keys in the order of their places, those after a key only.
func ordered(keys []string, after []byte) []string {
	if after != nil {
		keys = slices.DeleteFunc(keys, func(key string) bool { return place(key) <= place(string(after)) })
	}
	slices.SortFunc(keys, func(a, b string) int { return strings.Compare(place(a), place(b)) })
	return keys
}
