package cqltest

import (
	"bytes"
	"slices"
)

// restriction is which rows a statement is about.
type restriction struct {
	partition row        // the values of its columns, nil if it is not named
	fixed     [][][]byte // what the first clustering columns may be
	among     bool       // there is an IN
	bounds    []limit    // of the clustering column after those
	others    row        // what columns that are no part of the primary key have to be
}

// limit is an end of a range.
type limit struct {
	column string
	sign   string
	value  []byte
}

// restriction reads what stands behind WHERE, by the rules of the real ones: all
// columns of the partition, then the clustering columns in their order, and the last
// of those that are named may be a range.
func (x *execution) restriction(t *table, where []relation) (*restriction, error) {
	r := &restriction{others: row{}}
	equal, ranges := map[string][][]byte{}, map[string][]limit{}
	for _, rel := range where {
		kind, ok := t.kindOf(rel.column)
		if !ok || len(equal[rel.column]) > 0 || rel.sign == "=" && len(ranges[rel.column]) > 0 {
			return nil, invalid("Undefined or repeated column name %s", rel.column)
		}
		value, err := x.value(kind, rel.value)
		switch {
		case err != nil:
			return nil, err
		case value == nil && slices.Contains(t.key(), rel.column):
			return nil, invalid("Invalid null value in condition for column %s", rel.column)
		case !slices.Contains(t.key(), rel.column) && rel.sign != "=", slices.Contains(t.partition, rel.column) && rel.sign != "=":
			return nil, invalid("Only EQ and IN relation are supported on the partition key (unless you use the token() function)")
		case !slices.Contains(t.key(), rel.column):
			if _, twice := r.others[rel.column]; twice {
				return nil, invalid("Undefined or repeated column name %s", rel.column)
			}
			r.others[rel.column] = value
		case rel.sign == "in":
			r.among = true
			if equal[rel.column], err = elements(value); err != nil {
				return nil, err
			}
		case rel.sign == "=":
			equal[rel.column] = [][]byte{value}
		default:
			ranges[rel.column] = append(ranges[rel.column], limit{rel.column, rel.sign, value})
		}
	}
	if err := r.takePartition(t, equal); err != nil {
		return nil, err
	}
	return r, r.takeClustering(t, equal, ranges)
}

func (r *restriction) takePartition(t *table, equal map[string][][]byte) error {
	for i, name := range t.partition {
		value, ok := equal[name]
		switch {
		case !ok && r.partition != nil:
			return invalid("Some partition key parts are missing: %s", name)
		case !ok:
			continue
		case i > 0 && r.partition == nil:
			return invalid("Some partition key parts are missing: %s", t.partition[0])
		case len(value[0]) == 0 && len(t.partition) == 1:
			return invalid("Key may not be empty")
		case r.partition == nil:
			r.partition = row{}
		}
		r.partition[name] = value[0]
	}
	return nil
}

func (r *restriction) takeClustering(t *table, equal map[string][][]byte, ranges map[string][]limit) error {
	before := "" // the first column that is not fixed
	for _, name := range t.clustering {
		values, fixed := equal[name]
		if before != "" && (fixed || len(ranges[name]) > 0) {
			how := "is not restricted"
			if len(ranges[before]) > 0 {
				how = "is restricted by a non-EQ relation"
			}
			return invalid("PRIMARY KEY column %q cannot be restricted (preceding column %q %s)", name, before, how)
		}
		switch {
		case fixed:
			r.fixed = append(r.fixed, values)
		case before == "":
			before, r.bounds = name, ranges[name]
		}
	}
	return nil
}

// rows are the keys of the rows, in any order.
func (r *restriction) rows(t *table) (keys []string) {
	for key := range t.partitions[id(r.partition, t.partition)] {
		if r.admits(t, t.rows[key]) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (r *restriction) admits(t *table, one row) bool {
	for i, values := range r.fixed {
		if !slices.ContainsFunc(values, func(v []byte) bool { return bytes.Equal(v, one[t.clustering[i]]) }) {
			return false
		}
	}
	for _, b := range r.bounds {
		kind, _ := t.kindOf(b.column)
		way := compare(kind, one[b.column], b.value)
		if way < 0 && b.sign[0] == '>' || way > 0 && b.sign[0] == '<' || way == 0 && len(b.sign) == 1 {
			return false
		}
	}
	return true
}
