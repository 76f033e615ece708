package cqltest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/datastax/go-cassandra-native-protocol/datatype"
	"github.com/datastax/go-cassandra-native-protocol/message"
)

// maxKey is the longest value of a column of a primary key.
const maxKey = 1<<16 - 1

// keyOf takes the primary key of one row out of values.
func keyOf(t *table, values row) (string, error) {
	key := row{}
	for i, name := range t.key() {
		value, ok := values[name]
		switch {
		case !ok && i < len(t.partition):
			return "", invalid("Some partition key parts are missing: %s", name)
		case !ok:
			return "", invalid("Some clustering keys are missing: %s", name)
		case value == nil:
			return "", invalid("Invalid null value in condition for column %s", name)
		case len(value) == 0 && len(t.partition) == 1 && i == 0:
			return "", invalid("Key may not be empty")
		case len(value) > maxKey:
			return "", invalid("Key length of %d is longer than maximum of %d", len(value), maxKey)
		}
		key[name] = value
		delete(values, name)
	}
	return id(key, t.key()), nil
}

// step is one statement that changes rows, ready to be executed.
type step struct {
	of        target
	table     *table
	partition string     // the id of the one that it changes
	key       string     // the row that a condition is about
	cond      *condition // nil for none
	absent    bool       // the condition is that there is no such row
	want      row        // what the columns of the row have to be
	removes   bool
	do        func()
}

// step makes one of a statement.
func (x *execution) step(st statement) (*step, error) {
	of, _ := about(st)
	t, err := x.store.find(of)
	if err != nil {
		return nil, err
	}
	s := &step{of: of, table: t, cond: conditionOf(st)}
	switch st := st.(type) {
	case *insertion:
		s.absent = s.cond != nil
		err = x.writing(s, st.set, nil)
	case *change:
		err = x.writing(s, st.where, st.set)
	case *deletion:
		err = x.removing(s, st.where)
	default:
		err = invalid("Invalid statement in batch: only UPDATE, INSERT and DELETE statements are allowed.")
	}
	if err != nil || s.cond == nil {
		return s, err
	}
	s.want, err = x.valuesOf(t, s.cond.equal)
	for _, name := range t.key() {
		if _, ok := s.want[name]; ok {
			return nil, invalid("PRIMARY KEY column '%s' cannot have IF conditions", name)
		}
	}
	return s, err
}

// writing makes a step of one that writes the row that where names.
func (x *execution) writing(s *step, where, set []relation) error {
	for _, r := range where {
		if r.sign != "=" {
			return invalid("Slice restrictions are not supported on the clustering columns in UPDATE statements")
		}
	}
	key, err := x.valuesOf(s.table, where)
	if err != nil {
		return err
	}
	values, err := x.valuesOf(s.table, set)
	if err != nil {
		return err
	}
	for _, name := range s.table.key() {
		if _, ok := values[name]; ok {
			return invalid("PRIMARY KEY part %s found in SET part", name)
		}
	}
	if s.key, err = keyOf(s.table, key); err != nil {
		return err
	}
	if set == nil {
		values = key
	} else if len(key) > 0 {
		return invalid("Invalid restrictions on non-primary key columns")
	}
	s.partition = id(valuesOf(s.key, s.table.key()), s.table.partition)
	s.do = func() { x.store.put(s.table, s.key, values) }
	return nil
}

// removing makes a step of one that removes all rows that where names.
func (x *execution) removing(s *step, where []relation) error {
	r, err := x.restriction(s.table, where)
	switch {
	case err != nil:
		return err
	case r.partition == nil:
		return invalid("Some partition key parts are missing: %s", s.table.partition[0])
	case len(r.others) > 0:
		return invalid("Invalid restrictions on non-primary key columns")
	case r.among:
		return invalid("this server knows no IN in deletions")
	}
	s.partition, s.removes = id(r.partition, s.table.partition), true
	if s.cond != nil {
		if len(r.fixed) < len(s.table.clustering) {
			return invalid("DELETE statements must restrict all PRIMARY KEY columns with equality relations in order to use IF conditions")
		}
		key := maps.Clone(r.partition)
		for i, values := range r.fixed {
			key[s.table.clustering[i]] = values[0]
		}
		s.key = id(key, s.table.key())
	}
	s.do = func() {
		for _, key := range r.rows(s.table) {
			x.store.remove(s.table, key)
		}
	}
	return nil
}

// holds reports whether the condition of a step is met. A row that does not exist has
// null everywhere.
func (s *step) holds() bool {
	there := s.table.rows[s.key]
	switch {
	case s.cond == nil:
		return true
	case s.absent:
		return there == nil
	case s.cond.exists && there == nil:
		return false
	}
	for name, value := range s.want {
		if have := there[name]; !bytes.Equal(have, value) || (have == nil) != (value == nil) {
			return false
		}
	}
	return true
}

// shown are the columns of the row that the answer to a transaction shows.
func (s *step) shown() []column {
	if s.cond.exists {
		return s.table.columns
	}
	return slices.DeleteFunc(slices.Clone(s.table.columns), func(c column) bool { _, asked := s.want[c.name]; return !asked })
}

// modification executes a statement that changes rows.
func (x *execution) modification(st statement, up []*Node) (message.Message, error) {
	s, err := x.step(st)
	if err != nil {
		return nil, err
	}
	if err := x.writable(s.of, s.cond, up); err != nil {
		return nil, err
	}
	there, holds := s.table.rows[s.key], s.holds()
	if holds {
		s.do()
	}
	if s.cond == nil {
		return &message.VoidResult{}, nil
	}
	return x.conditional(s.of, holds, []row{there}, s.shown()), nil
}

// conditional is the answer to a lightweight transaction, with columns of the rows
// that were there. ScyllaDB always shows them, Cassandra only if the transaction was
// not applied and there is a row.
func (x *execution) conditional(of target, applied bool, there []row, columns []column) message.Message {
	m := &message.RowsMetadata{ColumnCount: 1, Columns: []*message.ColumnMetadata{
		{Keyspace: of.keyspace, Table: of.table, Name: "[applied]", Type: datatype.Boolean},
	}}
	if x.conn.node.server.options.Cassandra {
		if there = slices.DeleteFunc(there, func(r row) bool { return applied || r == nil }); len(there) == 0 {
			return &message.RowsResult{Metadata: m, Data: message.RowSet{{truth(applied)}}}
		}
	}
	result := &message.RowsResult{Metadata: m}
	for _, c := range metadata(of, columns).Columns {
		c.Index++
		m.Columns = append(m.Columns, c)
	}
	m.ColumnCount = int32(len(m.Columns))
	for _, r := range there {
		data := message.Row{truth(applied)}
		for _, c := range columns {
			data = append(data, r[c.name])
		}
		result.Data = append(result.Data, data)
	}
	return result
}

// pageState is where the next page begins: how many rows are wanted yet, zero for
// all, and the key of the last one.
func pageState(left int, last string) []byte {
	return append(binary.AppendUvarint(nil, uint64(left)), last...)
}
