package cqltest

// statement is one that was read. It is executed by exec.go and schema.go.
type statement interface{ isStatement() }

// termKind is how a value is written.
type termKind int

const (
	markTerm termKind = iota
	stringTerm
	numberTerm
	truthTerm
	nullTerm
)

// term is a value in a statement.
type term struct {
	kind termKind
	text string
	mark int // the number of the bind marker
}

// relation is "column = value", or with another sign between them.
type relation struct {
	column string
	sign   string // =, <, <=, > or >=, or in
	value  term
}

// ordering is a column behind ORDER BY.
type ordering struct {
	column  string
	reverse bool
}

// condition is what stands behind IF.
type condition struct {
	exists bool // IF EXISTS, or IF NOT EXISTS with an insert
	equal  []relation
}

// target is the table that a statement is about.
type target struct{ keyspace, table string }

type (
	createKeyspace struct {
		name        string
		lenient     bool // IF NOT EXISTS
		replication map[string]string
	}
	createTable struct {
		target
		lenient bool
		columns []column
		// partition and clustering are the columns of the primary key.
		partition, clustering []string
	}
	alterTable struct {
		target
		add  []column
		drop string
	}
	createIndex struct {
		target
		lenient      bool
		name, column string
	}
	drop struct {
		target
		lenient bool
		index   bool // otherwise the table, or the keyspace if no table is named
	}
	insertion struct {
		target
		set  []relation
		cond *condition
	}
	change struct {
		target
		set, where []relation
		cond       *condition
	}
	deletion struct {
		target
		where []relation
		cond  *condition
	}
	selection struct {
		target
		columns []string // none for all
		where   []relation
		order   []ordering
		limit   *term
	}
	// batch is a list of insertions, changes and deletions. It is never written out, but
	// comes as a message of its own.
	batch struct{ list []statement }
)

func (*createKeyspace) isStatement() {}
func (*createTable) isStatement()    {}
func (*alterTable) isStatement()     {}
func (*createIndex) isStatement()    {}
func (*drop) isStatement()           {}
func (*insertion) isStatement()      {}
func (*change) isStatement()         {}
func (*deletion) isStatement()       {}
func (*selection) isStatement()      {}
func (*batch) isStatement()          {}

// parse reads a statement. One that it does not know is an error.
func parse(text string) (statement, error) {
	list, err := tokens(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: list}
	s, err := p.statement()
	if err != nil {
		return nil, err
	}
	p.has(";")
	if p.peek().kind != endToken {
		return nil, p.unexpected("the end")
	}
	return s, nil
}

func (p *parser) statement() (statement, error) {
	switch {
	case p.has("create", "keyspace"):
		return p.createKeyspace()
	case p.has("create", "table"):
		return p.createTable()
	case p.has("create", "index"):
		return p.createIndex()
	case p.has("alter", "table"):
		return p.alterTable()
	case p.has("drop"):
		return p.drop()
	case p.has("insert", "into"):
		return p.insertion()
	case p.has("update"):
		return p.change()
	case p.has("delete", "from"):
		return p.deletion()
	case p.has("select"):
		return p.selection()
	}
	return nil, p.unexpected("a statement that this server knows")
}

// target takes the name of a table with its keyspace.
func (p *parser) target() (t target, err error) {
	if t.keyspace, err = p.name(); err != nil {
		return t, err
	}
	if !p.has(".") {
		return t, invalid("No keyspace has been specified. USE a keyspace, or explicitly specify keyspace.tablename")
	}
	t.table, err = p.name()
	return t, err
}

// term takes a value.
func (p *parser) term() (term, error) {
	switch t := p.peek(); {
	case p.has("?"):
		p.marks++
		return term{kind: markTerm, mark: p.marks - 1}, nil
	case p.has("null"):
		return term{kind: nullTerm, text: "null"}, nil
	case p.has("true"), p.has("false"):
		return term{kind: truthTerm, text: t.text}, nil
	case t.kind == stringToken:
		p.next()
		return term{kind: stringTerm, text: t.text}, nil
	case t.kind == numberToken:
		p.next()
		return term{kind: numberTerm, text: t.text}, nil
	}
	return term{}, p.unexpected("a value")
}

func (p *parser) relation() (r relation, err error) {
	if r.column, err = p.name(); err != nil {
		return r, err
	}
	if err := p.want("="); err != nil {
		return r, err
	}
	r.sign = "="
	r.value, err = p.term()
	return r, err
}

// bound is a relation as it may stand behind WHERE.
func (p *parser) bound() (r relation, err error) {
	if r.column, err = p.name(); err != nil {
		return r, err
	}
	for _, sign := range []string{"=", "<=", ">=", "<", ">", "in"} {
		if !p.has(sign) {
			continue
		}
		r.sign = sign
		if r.value, err = p.term(); err == nil && sign == "in" && r.value.kind != markTerm {
			err = invalid("this server knows IN with a bind marker only")
		}
		return r, err
	}
	return r, p.unexpected("a relation")
}

// where takes what stands behind WHERE.
func (p *parser) where() (list []relation, err error) {
	for {
		r, err := p.bound()
		if err != nil {
			return nil, err
		}
		if list = append(list, r); !p.has("and") {
			return list, nil
		}
	}
}

// relations takes relations with a word or mark between them.
func (p *parser) relations(between string) (list []relation, err error) {
	for {
		r, err := p.relation()
		if err != nil {
			return nil, err
		}
		if list = append(list, r); !p.has(between) {
			return list, nil
		}
	}
}

// condition takes what may stand behind IF.
func (p *parser) condition() (*condition, error) {
	if !p.has("if") {
		return nil, nil
	}
	if p.has("exists") {
		return &condition{exists: true}, nil
	}
	list, err := p.relations("and")
	return &condition{equal: list}, err
}
