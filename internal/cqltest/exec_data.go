package cqltest

import (
	"bytes"
	"maps"
	"slices"

	"github.com/datastax/go-cassandra-native-protocol/datatype"
	"github.com/datastax/go-cassandra-native-protocol/message"
)

// keyOf takes the primary key out of values.
func keyOf(t *table, values row) (string, error) {
	key, ok := values[t.key]
	switch {
	case !ok:
		return "", invalid("Some partition key parts are missing: %s", t.key)
	case key == nil:
		return "", invalid("Invalid null value in condition for column %s", t.key)
	case len(key) == 0:
		return "", invalid("Key may not be empty")
	}
	delete(values, t.key)
	return string(key), nil
}

func (x *execution) insertion(s *insertion, up []*Node) (message.Message, error) {
	t, err := x.store.find(s.target)
	if err != nil {
		return nil, err
	}
	values, err := x.valuesOf(t, s.set)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(t, values)
	if err != nil {
		return nil, err
	}
	if err := x.writable(s.target, s.cond, up); err != nil {
		return nil, err
	}
	there := t.rows[key]
	if s.cond != nil && there != nil {
		return x.conditional(s.target, false, there, t.columns), nil
	}
	x.store.put(t, key, values)
	if s.cond != nil {
		return x.conditional(s.target, true, nil, t.columns), nil
	}
	return &message.VoidResult{}, nil
}

func (x *execution) change(s *change, up []*Node) (message.Message, error) {
	t, err := x.store.find(s.target)
	if err != nil {
		return nil, err
	}
	values, err := x.valuesOf(t, s.set)
	if err != nil {
		return nil, err
	}
	if _, ok := values[t.key]; ok {
		return nil, invalid("PRIMARY KEY part %s found in SET part", t.key)
	}
	return x.modify(t, s.target, s.where, s.cond, up, func(key string) { x.store.put(t, key, values) })
}

func (x *execution) deletion(s *deletion, up []*Node) (message.Message, error) {
	t, err := x.store.find(s.target)
	if err != nil {
		return nil, err
	}
	return x.modify(t, s.target, s.where, s.cond, up, func(key string) { x.store.remove(t, key) })
}

// modify does something to the row that where names, if a condition allows it.
func (x *execution) modify(t *table, of target, where []relation, cond *condition, up []*Node, do func(key string)) (message.Message, error) {
	values, err := x.valuesOf(t, where)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(t, values)
	if err != nil {
		return nil, err
	}
	if len(values) > 0 {
		return nil, invalid("Invalid restrictions on non-primary key columns")
	}
	if err := x.writable(of, cond, up); err != nil {
		return nil, err
	}
	if cond == nil {
		do(key)
		return &message.VoidResult{}, nil
	}
	there := t.rows[key]
	if cond.exists && there == nil {
		return x.conditional(of, false, nil, t.columns), nil
	}
	want, err := x.valuesOf(t, cond.equal)
	if err != nil {
		return nil, err
	}
	if _, ok := want[t.key]; ok {
		return nil, invalid("PRIMARY KEY column '%s' cannot have IF conditions", t.key)
	}
	columns := slices.DeleteFunc(slices.Clone(t.columns), func(c column) bool { _, asked := want[c.name]; return !asked })
	for name, value := range want {
		// A row that does not exist has null everywhere.
		if have := there[name]; !bytes.Equal(have, value) || (have == nil) != (value == nil) {
			return x.conditional(of, false, there, columns), nil
		}
	}
	do(key)
	if cond.exists {
		columns = t.columns
	}
	return x.conditional(of, true, there, columns), nil
}

// conditional is the answer to a lightweight transaction, with columns of the row
// that was there. ScyllaDB always shows them, Cassandra only if the transaction was
// not applied and there is a row.
func (x *execution) conditional(of target, applied bool, there row, columns []column) message.Message {
	m := &message.RowsMetadata{ColumnCount: 1, Columns: []*message.ColumnMetadata{
		{Keyspace: of.keyspace, Table: of.table, Name: "[applied]", Type: datatype.Boolean},
	}}
	data := message.Row{truth(applied)}
	if !x.conn.node.server.options.Cassandra || !applied && there != nil {
		for _, c := range metadata(of, columns).Columns {
			c.Index++
			m.Columns = append(m.Columns, c)
			data = append(data, there[c.Name])
		}
		m.ColumnCount = int32(len(m.Columns))
	}
	return &message.RowsResult{Metadata: m, Data: message.RowSet{data}}
}

// selected are the columns that a selection shows, and the table, which is nil for
// one that the server makes.
func (s *store) selected(sel *selection) (columns []column, t *table, err error) {
	var all []column
	if made, ok := systems[sel.target]; ok {
		all = made.columns
	} else {
		if t, err = s.find(sel.target); err != nil {
			return nil, nil, err
		}
		all = t.columns
	}
	if len(sel.columns) == 0 {
		return slices.Clone(all), t, nil
	}
	for _, name := range sel.columns {
		i := slices.IndexFunc(all, func(c column) bool { return c.name == name })
		if i < 0 {
			return nil, nil, invalid("Undefined column name %s in table %s.%s", name, sel.keyspace, sel.table)
		}
		columns = append(columns, all[i])
	}
	return columns, t, nil
}

func (x *execution) selection(s *selection, up []*Node) (message.Message, error) {
	columns, t, err := x.store.selected(s)
	if err != nil {
		return nil, err
	}
	limit, err := x.limit(s)
	if err != nil {
		return nil, err
	}
	result := &message.RowsResult{Metadata: metadata(s.target, columns)}
	add := func(r row) {
		var data message.Row
		for _, c := range columns {
			data = append(data, r[c.name])
		}
		result.Data = append(result.Data, data)
	}
	if t == nil {
		rows, err := x.system(s)
		for _, r := range rows {
			add(r)
		}
		return result, err
	}
	keys, err := x.matching(t, s, up)
	if err != nil {
		return nil, err
	}
	keys = ordered(keys, x.options.PagingState)
	if limit > 0 {
		keys = keys[:min(limit, len(keys))]
	}
	if size := int(x.options.PageSize); size > 0 && len(keys) > size {
		keys = keys[:size]
		result.Metadata.PagingState = []byte(keys[size-1])
	}
	for _, key := range keys {
		add(t.rows[key])
	}
	if x.skip {
		result.Metadata.Columns = nil
	}
	return result, nil
}

// matching are the keys of the rows that a selection is about.
func (x *execution) matching(t *table, s *selection, up []*Node) ([]string, error) {
	if err := x.reach(s.keyspace, x.options.Consistency, up); err != nil {
		return nil, err
	}
	where, err := x.valuesOf(t, s.where)
	if err != nil {
		return nil, err
	}
	_, point := where[t.key]
	switch {
	case x.options.Consistency.IsSerial() && !point:
		return nil, invalid("SERIAL/LOCAL_SERIAL consistency may only be requested for one partition at a time")
	case len(where) == 0:
		return slices.Collect(maps.Keys(t.rows)), nil
	case len(where) > 1:
		return nil, invalid("this server knows one condition at a time")
	case point:
		key, err := keyOf(t, where)
		if err != nil || t.rows[key] == nil {
			return nil, err
		}
		return []string{key}, nil
	}
	for _, i := range t.indexes {
		value, ok := where[i.column]
		switch {
		case !ok:
			continue
		case value == nil:
			return nil, invalid("Unsupported null value for column %s", i.column)
		}
		// What the index says is taken at its word, so long as there is such a row.
		return slices.DeleteFunc(slices.Collect(maps.Keys(i.entries[string(value)])), func(key string) bool { return t.rows[key] == nil }), nil
	}
	return nil, invalid("Cannot execute this query as it might involve data filtering and thus may have unpredictable performance. If you want to execute this query despite the performance unpredictability, use ALLOW FILTERING")
}

// system are the rows of a table that the server makes.
func (x *execution) system(s *selection) (rows []row, err error) {
	made := systems[s.target]
	want := row{}
	for _, r := range s.where {
		i := slices.IndexFunc(made.columns, func(c column) bool { return c.name == r.column })
		if i < 0 || i >= made.key {
			return nil, invalid("Cannot execute this query as it might involve data filtering")
		}
		if want[r.column], err = x.value(made.columns[i].kind, r.value); err != nil {
			return nil, err
		}
	}
	for _, r := range made.rows(x.conn.node) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(name string) bool { return !bytes.Equal(r[name], want[name]) }) {
			rows = append(rows, r)
		}
	}
	return rows, nil
}
