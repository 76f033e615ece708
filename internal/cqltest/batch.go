package cqltest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/datastax/go-cassandra-native-protocol/message"
	"github.com/datastax/go-cassandra-native-protocol/primitive"
)

// maxMutation bounds what a batch writes, as the half of a segment of the commit log
// does by default.
const maxMutation = 16 << 20

// batch executes a batch, by way of the hook if there is one.
func (c *conn) batch(m *message.Batch) (message.Message, error) {
	s := c.node.server
	if m.Type == primitive.BatchTypeCounter {
		return nil, invalid("Cannot include non-counter statement in a counter batch")
	}
	x := &execution{conn: c, store: s.store, options: &message.QueryOptions{Consistency: m.Consistency, SerialConsistency: m.SerialConsistency}}
	b := new(batch)
	var texts []string
	size := 0
	for _, child := range m.Children {
		text := child.Query
		if text == "" {
			s.mu.Lock()
			known, ok := s.prepared[string(child.Id)]
			s.mu.Unlock()
			if text = known; !ok {
				return nil, &FaultError{&message.Unprepared{ErrorMessage: fmt.Sprintf("Prepared query with ID %x not found", child.Id), Id: child.Id}}
			}
		}
		st, err := parse(text)
		if err != nil {
			return nil, err
		}
		s.store.mu.Lock()
		variables, err := s.store.variables(st)
		s.store.mu.Unlock()
		if err != nil {
			return nil, err
		}
		values, err := bound(variables, child.Values)
		if err != nil {
			return nil, err
		}
		shift(st, len(x.values))
		for _, v := range values {
			size += len(v)
		}
		b.list, texts, x.values = append(b.list, st), append(texts, text), append(x.values, values...)
	}
	if size > maxMutation {
		return nil, invalid("Mutation of %d bytes is too large for the maximum size of %d", size, maxMutation)
	}
	r := Request{
		Text: "BEGIN BATCH " + strings.Join(texts, "; ") + "; APPLY BATCH", Values: x.values, Consistency: levelName(m.Consistency),
		Node: c.node.number, User: c.user,
	}
	if m.SerialConsistency != nil {
		r.Serial = levelName(*m.SerialConsistency)
	}
	return x.hooked(r, b)
}

// shift lets the bind markers of a statement in a batch come after those of the
// statements before it.
func shift(st statement, by int) {
	move := func(lists ...[]relation) {
		for _, list := range lists {
			for i := range list {
				list[i].value.mark += by
			}
		}
	}
	switch st := st.(type) {
	case *insertion:
		move(st.set)
	case *change:
		move(st.set, st.where)
	case *deletion:
		move(st.where)
	}
	if cond := conditionOf(st); cond != nil {
		move(cond.equal)
	}
}

// batched executes a batch as one whole: all of it or, if a condition is not met,
// nothing. Conditions are about what was there before.
func (x *execution) batched(b *batch, up []*Node) (message.Message, error) {
	var steps, conditions []*step
	for _, st := range b.list {
		s, err := x.step(st)
		if err != nil {
			return nil, err
		}
		if err := x.writable(s.of, s.cond, up); err != nil {
			return nil, err
		}
		if steps = append(steps, s); s.cond != nil {
			conditions = append(conditions, s)
		}
	}
	if len(conditions) == 0 {
		apply(steps)
		return &message.VoidResult{}, nil
	}
	first := steps[0]
	for _, s := range steps {
		switch {
		case s.table != first.table:
			return nil, invalid("Batch with conditions cannot span multiple tables")
		case s.partition != first.partition:
			return nil, invalid("Batch with conditions cannot span multiple partitions")
		}
	}
	holds := !slices.ContainsFunc(conditions, func(s *step) bool { return !s.holds() })
	var there []row
	shown := slices.Clone(first.table.key())
	for _, s := range conditions {
		there = append(there, first.table.rows[s.key])
		for _, c := range s.shown() {
			shown = append(shown, c.name)
		}
	}
	if holds {
		apply(steps)
	}
	columns := slices.DeleteFunc(slices.Clone(first.table.columns), func(c column) bool { return !slices.Contains(shown, c.name) })
	return x.conditional(first.of, holds, there, columns), nil
}

// apply executes steps that all have one time: what is removed and written by them
// is removed.
func apply(steps []*step) {
	for _, s := range steps {
		if !s.removes {
			s.do()
		}
	}
	for _, s := range steps {
		if s.removes {
			s.do()
		}
	}
}
