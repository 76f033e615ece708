package cqltest

import (
	"crypto/md5" //nolint:gosec // names statements, as the real ones do
	"fmt"
	"slices"

	"github.com/datastax/go-cassandra-native-protocol/datatype"
	"github.com/datastax/go-cassandra-native-protocol/message"
	"github.com/datastax/go-cassandra-native-protocol/primitive"
)

// do answers a request that is about a statement.
func (c *conn) do(m message.Message) (message.Message, error) {
	switch m := m.(type) {
	case *message.Prepare:
		return c.prepare(m.Query)
	case *message.Query:
		return c.execute(m.Query, m.Options, false)
	case *message.Execute:
		s := c.node.server
		s.mu.Lock()
		text, ok := s.prepared[string(m.QueryId)]
		s.mu.Unlock()
		if !ok {
			return nil, &FaultError{&message.Unprepared{ErrorMessage: fmt.Sprintf("Prepared query with ID %x not found", m.QueryId), Id: m.QueryId}}
		}
		return c.execute(text, m.Options, true)
	case *message.Batch:
		return c.batch(m)
	}
	return nil, fmt.Errorf("%v is about no statement", m)
}

// Forget forgets what was prepared, as a node does that starts anew.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.prepared)
}

func (c *conn) prepare(text string) (message.Message, error) {
	s := c.node.server
	st, err := parse(text)
	if err != nil {
		return nil, err
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	variables, err := s.store.variables(st)
	if err != nil {
		return nil, err
	}
	result := &message.RowsMetadata{}
	if sel, ok := st.(*selection); ok {
		columns, _, err := s.store.selected(sel)
		if err != nil {
			return nil, err
		}
		result = metadata(sel.target, columns)
	}
	id := md5.Sum([]byte(text)) //nolint:gosec // see above
	s.mu.Lock()
	s.prepared[string(id[:])] = text
	s.mu.Unlock()
	return &message.PreparedResult{PreparedQueryId: id[:], VariablesMetadata: variables, ResultMetadata: result}, nil
}

// metadata describes columns of a table.
func metadata(t target, columns []column) *message.RowsMetadata {
	m := &message.RowsMetadata{ColumnCount: int32(len(columns))}
	for i, c := range columns {
		m.Columns = append(m.Columns, &message.ColumnMetadata{Keyspace: t.keyspace, Table: t.table, Name: c.name, Index: int32(i), Type: types[c.kind]})
	}
	return m
}

// about is the table of a statement about data, with all its relations in the order
// of their bind markers.
func about(st statement) (t target, relations []relation) {
	of := func(c *condition) []relation {
		if c == nil {
			return nil
		}
		return c.equal
	}
	switch st := st.(type) {
	case *insertion:
		return st.target, st.set
	case *change:
		return st.target, append(append(append(relations, st.set...), st.where...), of(st.cond)...)
	case *deletion:
		return st.target, append(append(relations, st.where...), of(st.cond)...)
	case *selection:
		return st.target, st.where
	}
	return t, nil
}

// variables describes the bind markers of a statement, and checks that all columns
// exist that it names.
func (s *store) variables(st statement) (*message.VariablesMetadata, error) {
	of, relations := about(st)
	m := new(message.VariablesMetadata)
	if of.table == "" {
		return m, nil
	}
	columns, partition, err := s.described(of)
	if err != nil {
		return nil, err
	}
	mark := func(name string, t datatype.DataType) {
		m.Columns = append(m.Columns, &message.ColumnMetadata{Keyspace: of.keyspace, Table: of.table, Name: name, Index: int32(len(m.Columns)), Type: t})
	}
	where := map[int]int{} // the markers of the partition's columns
	for _, r := range relations {
		kind, ok := columns[r.column]
		if !ok {
			return nil, invalid("Undefined column name %s in table %s.%s", r.column, of.keyspace, of.table)
		}
		switch {
		case r.value.kind != markTerm:
		case r.sign == "in":
			mark("in("+r.column+")", lists[kind])
		default:
			if i := slices.Index(partition, r.column); i >= 0 {
				where[i] = len(m.Columns)
			}
			mark(r.column, types[kind])
		}
	}
	for i := range partition {
		if at, ok := where[i]; ok && len(where) == len(partition) { // otherwise none helps
			m.PkIndices = append(m.PkIndices, uint16(at))
		}
	}
	if sel, ok := st.(*selection); ok && sel.limit != nil && sel.limit.kind == markTerm {
		mark("[limit]", datatype.Int)
	}
	return m, nil
}

// described are the columns of a table with their types, and those of the partition.
func (s *store) described(of target) (columns map[string]string, partition []string, err error) {
	var list []column
	if t, ok := systems[of]; ok {
		list, partition = t.columns, []string{t.columns[0].name}
	} else {
		t, err := s.find(of)
		if err != nil {
			return nil, nil, err
		}
		list, partition = t.columns, t.partition
	}
	columns = map[string]string{}
	for _, c := range list {
		columns[c.name] = c.kind
	}
	return columns, partition, nil
}

// bound are the values of bind markers.
func bound(variables *message.VariablesMetadata, given []*primitive.Value) ([][]byte, error) {
	if len(given) != len(variables.Columns) {
		return nil, invalid("Invalid amount of bind variables: there are %d, not %d", len(variables.Columns), len(given))
	}
	values := make([][]byte, len(given))
	for i, v := range given {
		if v.Type == primitive.ValueTypeUnset {
			return nil, invalid("this server knows no unset values")
		}
		if err := check(variables.Columns[i].Type, v.Contents); err != nil {
			return nil, err
		}
		values[i] = v.Contents
	}
	return values, nil
}
