package cqltest

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/datastax/go-cassandra-native-protocol/message"
	"github.com/datastax/go-cassandra-native-protocol/primitive"
)

// execution is the execution of one statement.
type execution struct {
	conn    *conn
	store   *store
	options *message.QueryOptions
	values  [][]byte // of bind markers
	skip    bool     // the client knows the metadata of the result
}

// execute executes a statement, by way of the hook if there is one.
func (c *conn) execute(text string, o *message.QueryOptions, prepared bool) (message.Message, error) {
	st, err := parse(text)
	if err != nil {
		return nil, err
	}
	s := c.node.server
	s.store.mu.Lock()
	variables, err := s.store.variables(st)
	s.store.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if o == nil {
		o = new(message.QueryOptions)
	}
	if len(o.NamedValues) > 0 {
		return nil, invalid("this server knows no named values")
	}
	x := &execution{conn: c, store: s.store, options: o, skip: prepared && o.SkipMetadata}
	if x.values, err = bound(variables, o.PositionalValues); err != nil {
		return nil, err
	}
	if of, _ := about(st); strings.HasPrefix(of.keyspace, "system") {
		return x.run(st)
	}
	r := Request{Text: text, Values: x.values, Consistency: levelName(o.Consistency), Node: c.node.number, User: c.user}
	if o.SerialConsistency != nil {
		r.Serial = levelName(*o.SerialConsistency)
	}
	return x.hooked(r, st)
}

// hooked executes a statement by way of the hook, if there is one.
func (x *execution) hooked(r Request, st statement) (result message.Message, err error) {
	s := x.conn.node.server
	s.mu.Lock()
	s.asked = append(s.asked, r)
	hook := s.hook
	s.mu.Unlock()
	done := false
	run := func() error {
		if !done {
			result, err = x.run(st)
			done = true
		}
		return err
	}
	if hook != nil {
		if err := hook(r, run); err != nil {
			return nil, err
		}
	}
	err = run()
	return result, err
}

// levelName is the name of a consistency level, such as "LOCAL_QUORUM".
func levelName(level primitive.ConsistencyLevel) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(level.String(), "ConsistencyLevel "), " ")
	return name
}

// run executes a statement, as one whole.
func (x *execution) run(st statement) (message.Message, error) {
	if err := x.allowed(st); err != nil {
		return nil, err
	}
	up := x.conn.node.server.up()
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	switch st := st.(type) {
	case *createKeyspace:
		return x.store.createKeyspace(st)
	case *createTable:
		return x.store.createTable(st)
	case *alterTable:
		return x.store.alterTable(st)
	case *createIndex:
		return x.store.createIndex(st)
	case *drop:
		return x.store.drop(st)
	case *selection:
		return x.selection(st, up)
	case *batch:
		return x.batched(st, up)
	case *insertion, *change, *deletion:
		return x.modification(st, up)
	}
	return nil, invalid("this server does not execute a %T", st)
}

// allowed checks the rights of the client.
func (x *execution) allowed(st statement) error {
	on := func(t target) string {
		if t.table == "" {
			return "keyspace " + t.keyspace
		}
		return "table " + t.keyspace + "." + t.table
	}
	of, _ := about(st)
	switch st := st.(type) {
	case *batch:
		for _, one := range st.list {
			if err := x.allowed(one); err != nil {
				return err
			}
		}
		return nil
	case *createKeyspace:
		return x.conn.may("CREATE", "all keyspaces")
	case *createTable:
		return x.conn.may("CREATE", on(target{keyspace: st.keyspace}))
	case *alterTable:
		return x.conn.may("ALTER", on(st.target))
	case *createIndex:
		return x.conn.may("ALTER", on(st.target))
	case *drop:
		return x.conn.may("DROP", on(st.target))
	case *selection:
		if strings.HasPrefix(of.keyspace, "system") {
			return nil // everybody may
		}
		return x.conn.may("SELECT", on(of))
	}
	if cond := conditionOf(st); cond != nil {
		if err := x.conn.may("SELECT", on(of)); err != nil {
			return err
		}
	}
	return x.conn.may("MODIFY", on(of))
}

func conditionOf(st statement) *condition {
	switch st := st.(type) {
	case *insertion:
		return st.cond
	case *change:
		return st.cond
	case *deletion:
		return st.cond
	}
	return nil
}

// reach checks whether the nodes that are up can do with a keyspace what a level
// asks for. Nodes have what others have written, so this counts and does nothing
// else.
func (x *execution) reach(keyspace string, level primitive.ConsistencyLevel, up []*Node) error {
	k := x.store.keyspaces[keyspace]
	factor, err := strconv.Atoi(k.replication["replication_factor"])
	if err != nil {
		return err
	}
	alive := 0
	for _, n := range up {
		if !level.IsLocal() || k.replication["class"] != "NetworkTopologyStrategy" || n.center == x.conn.node.center {
			alive++
		}
	}
	alive = min(alive, factor)
	required := 1
	switch level {
	case primitive.ConsistencyLevelQuorum, primitive.ConsistencyLevelLocalQuorum, primitive.ConsistencyLevelSerial, primitive.ConsistencyLevelLocalSerial:
		required = factor/2 + 1
	case primitive.ConsistencyLevelAll:
		required = factor
	case primitive.ConsistencyLevelOne, primitive.ConsistencyLevelLocalOne:
	default:
		return invalid("this server does not know the level %s", levelName(level))
	}
	if alive < required {
		return unavailable(level, required, alive)
	}
	return nil
}

// writable checks the levels of a write.
func (x *execution) writable(t target, cond *condition, up []*Node) error {
	if x.options.Consistency.IsSerial() {
		return invalid("You must use conditional updates for serializable writes")
	}
	if cond != nil {
		serial := primitive.ConsistencyLevelSerial
		if x.options.SerialConsistency != nil {
			serial = *x.options.SerialConsistency
		}
		if err := x.reach(t.keyspace, serial, up); err != nil {
			return err
		}
	}
	return x.reach(t.keyspace, x.options.Consistency, up)
}

// value is the value of a term for a column of a type.
func (x *execution) value(kind string, t term) ([]byte, error) {
	if t.kind == markTerm {
		return x.values[t.mark], nil
	}
	return literal(kind, t)
}

// valuesOf are the values of relations, by column.
func (x *execution) valuesOf(t *table, relations []relation) (row, error) {
	values := row{}
	for _, r := range relations {
		kind, ok := t.kindOf(r.column)
		if _, twice := values[r.column]; twice || !ok {
			return nil, invalid("Undefined or repeated column name %s", r.column)
		}
		value, err := x.value(kind, r.value)
		if err != nil {
			return nil, err
		}
		values[r.column] = value
	}
	return values, nil
}

// limit is the most rows that a selection is to give, 0 for all.
func (x *execution) limit(s *selection) (int, error) {
	if s.limit == nil {
		return 0, nil
	}
	value, err := x.value("int", *s.limit)
	if err != nil {
		return 0, err
	}
	if len(value) != 4 || int32(binary.BigEndian.Uint32(value)) < 1 {
		return 0, invalid("LIMIT must be strictly positive")
	}
	return int(binary.BigEndian.Uint32(value)), nil
}
