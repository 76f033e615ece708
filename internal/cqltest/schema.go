package cqltest

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/datastax/go-cassandra-native-protocol/message"
	"github.com/datastax/go-cassandra-native-protocol/primitive"
)

// find is the table that a statement is about.
func (s *store) find(t target) (*table, error) {
	k := s.keyspaces[t.keyspace]
	if k == nil {
		return nil, invalid("Keyspace '%s' does not exist", t.keyspace)
	}
	if found := k.tables[t.table]; found != nil {
		return found, nil
	}
	return nil, invalid("unconfigured table %s", t.table)
}

// changed is the answer to a statement that has changed the schema.
func (s *store) changed(kind primitive.SchemaChangeType, of primitive.SchemaChangeTarget, t target) message.Message {
	s.version = newUUID()
	return &message.SchemaChangeResult{ChangeType: kind, Target: of, Keyspace: t.keyspace, Object: t.table}
}

func (s *store) createKeyspace(c *createKeyspace) (message.Message, error) {
	if s.keyspaces[c.name] != nil {
		if c.lenient {
			return &message.VoidResult{}, nil
		}
		return nil, &FaultError{&message.AlreadyExists{ErrorMessage: fmt.Sprintf("Cannot add existing keyspace %q", c.name), Keyspace: c.name}}
	}
	if len(c.name) > 48 {
		return nil, invalid("Keyspace names shouldn't be more than 48 characters long (got %q)", c.name)
	}
	switch c.replication["class"] {
	case "SimpleStrategy", "NetworkTopologyStrategy":
	default:
		return nil, &FaultError{&message.ConfigError{ErrorMessage: fmt.Sprintf("Unable to find replication strategy class 'org.apache.cassandra.locator.%s'", c.replication["class"])}}
	}
	if n, err := strconv.Atoi(c.replication["replication_factor"]); err != nil || n < 1 {
		return nil, &FaultError{&message.ConfigError{ErrorMessage: "Replication factor must be numeric and positive; found " + c.replication["replication_factor"]}}
	}
	s.keyspaces[c.name] = &keyspace{replication: c.replication, tables: map[string]*table{}}
	return s.changed(primitive.SchemaChangeTypeCreated, primitive.SchemaChangeTargetKeyspace, target{keyspace: c.name}), nil
}

func (s *store) createTable(c *createTable) (message.Message, error) {
	k := s.keyspaces[c.keyspace]
	switch {
	case k == nil:
		return nil, &FaultError{&message.ConfigError{ErrorMessage: fmt.Sprintf("Keyspace '%s' doesn't exist", c.keyspace)}}
	case k.tables[c.table] != nil && c.lenient:
		return &message.VoidResult{}, nil
	case k.tables[c.table] != nil:
		return nil, &FaultError{&message.AlreadyExists{ErrorMessage: fmt.Sprintf("Cannot add already existing table %q to keyspace %q", c.table, c.keyspace), Keyspace: c.keyspace, Table: c.table}}
	case len(c.table) > 48:
		return nil, invalid("Table names shouldn't be more than 48 characters long (got %q)", c.table)
	}
	t := &table{
		partition: c.partition, clustering: c.clustering, rows: map[string]row{}, partitions: map[string]map[string]struct{}{},
		indexes: map[string]*index{},
	}
	for _, column := range c.columns {
		if _, twice := t.kindOf(column.name); twice {
			return nil, invalid("Multiple definition of identifier %s", column.name)
		}
		t.columns = append(t.columns, column)
	}
	for i, name := range t.key() {
		if _, ok := t.kindOf(name); !ok || slices.Contains(t.key()[:i], name) {
			return nil, invalid("Unknown or repeated definition %s referenced in PRIMARY KEY", name)
		}
	}
	k.tables[c.table] = t
	return s.changed(primitive.SchemaChangeTypeCreated, primitive.SchemaChangeTargetTable, c.target), nil
}

func (s *store) alterTable(a *alterTable) (message.Message, error) {
	t, err := s.find(a.target)
	if err != nil {
		return nil, err
	}
	for _, c := range a.add {
		if _, ok := t.kindOf(c.name); ok {
			return nil, invalid("Invalid column name %s because it conflicts with an existing column", c.name)
		}
	}
	t.columns = append(t.columns, a.add...)
	if a.drop != "" {
		if _, ok := t.kindOf(a.drop); !ok || slices.Contains(t.key(), a.drop) {
			return nil, invalid("Column %s was not found in table %s, or is part of its primary key", a.drop, a.table)
		}
		for name, i := range t.indexes {
			if i.column == a.drop {
				return nil, invalid("Cannot drop column %s because it has dependent secondary indexes (%s)", a.drop, name)
			}
		}
		t.columns = slices.DeleteFunc(t.columns, func(c column) bool { return c.name == a.drop })
		for _, r := range t.rows {
			delete(r, a.drop)
		}
	}
	return s.changed(primitive.SchemaChangeTypeUpdated, primitive.SchemaChangeTargetTable, a.target), nil
}

func (s *store) createIndex(c *createIndex) (message.Message, error) {
	t, err := s.find(c.target)
	if err != nil {
		return nil, err
	}
	if _, ok := t.kindOf(c.column); !ok {
		return nil, invalid("No column definition found for column %s", c.column)
	}
	name := c.name
	if name == "" {
		name = c.table + "_" + c.column + "_idx"
	}
	for other, i := range t.indexes {
		if other != name && i.column != c.column {
			continue
		}
		if c.lenient {
			return &message.VoidResult{}, nil
		}
		return nil, invalid("Index %s already exists", other)
	}
	i := &index{column: c.column, entries: map[string]map[string]struct{}{}}
	for key, r := range t.rows {
		if value := r[c.column]; value != nil {
			i.add(value, key)
		}
	}
	t.indexes[name] = i
	return s.changed(primitive.SchemaChangeTypeUpdated, primitive.SchemaChangeTargetTable, c.target), nil
}

func (s *store) drop(d *drop) (message.Message, error) {
	k := s.keyspaces[d.keyspace]
	switch {
	case k == nil && d.lenient:
		return &message.VoidResult{}, nil
	case k == nil:
		return nil, &FaultError{&message.ConfigError{ErrorMessage: fmt.Sprintf("Cannot drop non existing keyspace '%s'.", d.keyspace)}}
	case d.table == "":
		delete(s.keyspaces, d.keyspace)
		return s.changed(primitive.SchemaChangeTypeDropped, primitive.SchemaChangeTargetKeyspace, target{keyspace: d.keyspace}), nil
	case d.index:
		for name, t := range k.tables {
			if t.indexes[d.table] != nil {
				delete(t.indexes, d.table)
				return s.changed(primitive.SchemaChangeTypeUpdated, primitive.SchemaChangeTargetTable, target{d.keyspace, name}), nil
			}
		}
		return nil, invalid("Index '%s' could not be found in any of the tables of keyspace '%s'", d.table, d.keyspace)
	case k.tables[d.table] == nil && d.lenient:
		return &message.VoidResult{}, nil
	case k.tables[d.table] == nil:
		return nil, invalid("unconfigured table %s", d.table)
	}
	delete(k.tables, d.table)
	return s.changed(primitive.SchemaChangeTypeDropped, primitive.SchemaChangeTargetTable, d.target), nil
}
