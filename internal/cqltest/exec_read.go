package cqltest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/datastax/go-cassandra-native-protocol/message"
)

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
	var rows []row
	if t == nil {
		rows, err = x.system(s)
	} else {
		rows, result.Metadata.PagingState, err = x.page(t, s, limit, up)
	}
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		var data message.Row
		for _, c := range columns {
			data = append(data, r[c.name])
		}
		result.Data = append(result.Data, data)
	}
	if x.skip {
		result.Metadata.Columns = nil
	}
	return result, nil
}

// page are the rows that come next, and where the page after them begins.
func (x *execution) page(t *table, s *selection, limit int, up []*Node) (rows []row, next []byte, err error) {
	keys, reverse, err := x.matching(t, s, up)
	if err != nil {
		return nil, nil, err
	}
	var after *string
	if state := x.options.PagingState; state != nil {
		left, size := binary.Uvarint(state)
		if size <= 0 {
			return nil, nil, invalid("Invalid value for the paging state")
		}
		last := string(state[size:])
		limit, after = int(left), &last
	}
	keys = t.sorted(keys, reverse, after)
	if limit > 0 {
		keys = keys[:min(limit, len(keys))]
	}
	if size := int(x.options.PageSize); size > 0 && len(keys) > size {
		keys = keys[:size]
		if limit > 0 {
			limit -= size
		}
		next = pageState(limit, keys[size-1])
	}
	for _, key := range keys {
		rows = append(rows, t.rows[key])
	}
	return rows, next, nil
}

// matching are the keys of the rows that a selection is about, and whether they are
// to be read in reverse.
func (x *execution) matching(t *table, s *selection, up []*Node) (keys []string, reverse bool, err error) {
	if err := x.reach(s.keyspace, x.options.Consistency, up); err != nil {
		return nil, false, err
	}
	r, err := x.restriction(t, s.where)
	if err != nil {
		return nil, false, err
	}
	if reverse, err = reversed(t, s.order, r.partition != nil); err != nil {
		return nil, false, err
	}
	switch {
	case x.options.Consistency.IsSerial() && r.partition == nil:
		return nil, false, invalid("SERIAL/LOCAL_SERIAL consistency may only be requested for one partition at a time")
	case r.partition != nil && len(r.others) == 0:
		return r.rows(t), reverse, nil
	case len(s.where) == 0:
		return slices.Collect(maps.Keys(t.rows)), false, nil
	case len(s.where) > 1:
		return nil, false, invalid("this server knows one condition at a time, but for those on primary keys")
	}
	for _, i := range t.indexes {
		value, ok := r.others[i.column]
		switch {
		case !ok:
			continue
		case value == nil:
			return nil, false, invalid("Unsupported null value for column %s", i.column)
		}
		// What the index says is taken at its word, so long as there is such a row.
		keys = slices.DeleteFunc(slices.Collect(maps.Keys(i.entries[string(value)])), func(key string) bool { return t.rows[key] == nil })
		return keys, false, nil
	}
	return nil, false, invalid("Cannot execute this query as it might involve data filtering and thus may have unpredictable performance. If you want to execute this query despite the performance unpredictability, use ALLOW FILTERING")
}

// reversed reports whether ORDER BY asks for the reverse of the order of the table.
func reversed(t *table, order []ordering, one bool) (bool, error) {
	for i, o := range order {
		switch {
		case !slices.Contains(t.clustering, o.column):
			return false, invalid("Order by is currently only supported on the clustered columns of the PRIMARY KEY, got %s", o.column)
		case !one:
			return false, invalid("ORDER BY is only supported when the partition key is restricted by an EQ or an IN.")
		case t.clustering[i] != o.column:
			return false, invalid("Order by currently only supports the ordering of columns following their declared order in the PRIMARY KEY")
		case o.reverse != order[0].reverse:
			return false, invalid("Unsupported order by relation")
		}
	}
	return len(order) > 0 && order[0].reverse, nil
}

// system are the rows of a table that the server makes.
func (x *execution) system(s *selection) (rows []row, err error) {
	made := systems[s.target]
	want := row{}
	for _, r := range s.where {
		i := slices.IndexFunc(made.columns, func(c column) bool { return c.name == r.column })
		if i < 0 || i >= made.key || r.sign != "=" {
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
