package cqltest

func (p *parser) createKeyspace() (statement, error) {
	s := &createKeyspace{lenient: p.has("if", "not", "exists"), replication: map[string]string{}}
	var err error
	if s.name, err = p.name(); err != nil {
		return nil, err
	}
	if err := p.want("with", "replication", "=", "{"); err != nil {
		return nil, err
	}
	for {
		option := p.next()
		if option.kind != stringToken {
			p.at--
			return nil, p.unexpected("an option")
		}
		if err := p.want(":"); err != nil {
			return nil, err
		}
		value := p.next()
		if value.kind != stringToken && value.kind != numberToken {
			p.at--
			return nil, p.unexpected("a value")
		}
		s.replication[option.text] = value.text
		if !p.has(",") {
			return s, p.want("}")
		}
	}
}

func (p *parser) createTable() (statement, error) {
	s := &createTable{lenient: p.has("if", "not", "exists")}
	var err error
	if s.target, err = p.target(); err != nil {
		return nil, err
	}
	err = p.listed(func() error {
		if p.has("primary", "key") {
			return p.listed(func() error { return p.primary(s) })
		}
		c, err := p.column()
		if err != nil {
			return err
		}
		s.columns = append(s.columns, c)
		switch {
		case !p.has("primary", "key"):
		case len(s.partition) > 0:
			return invalid("Multiple PRIMARY KEYs specified (exactly one required)")
		default:
			s.partition = []string{c.name}
		}
		return nil
	})
	if err == nil && len(s.partition) == 0 {
		err = invalid("No PRIMARY KEY specified for table '%s' (exactly one required)", s.table)
	}
	return s, err
}

// primary takes the next column of a primary key, or the columns of the partition in
// parentheses of their own.
func (p *parser) primary(s *createTable) error {
	if len(s.partition) == 0 && p.peek().text == "(" {
		return p.listed(func() error {
			name, err := p.name()
			s.partition = append(s.partition, name)
			return err
		})
	}
	name, err := p.name()
	if len(s.partition) == 0 {
		s.partition = []string{name}
	} else {
		s.clustering = append(s.clustering, name)
	}
	return err
}

// column takes a name and a type.
func (p *parser) column() (c column, err error) {
	if c.name, err = p.name(); err != nil {
		return c, err
	}
	t := p.next()
	switch {
	case t.kind == wordToken && t.text == "varchar":
		c.kind = "text"
	case t.kind == wordToken && t.text == "set" && p.has("<", "text", ">"):
		c.kind = "set<text>"
	case t.kind == wordToken && t.text == "map" && p.has("<", "text", ",", "text", ">"):
		c.kind = "map<text, text>"
	case t.kind == wordToken && types[t.text] != nil:
		c.kind = t.text
	default:
		return c, invalid("Unknown type %s", t.text)
	}
	return c, nil
}

func (p *parser) createIndex() (statement, error) {
	s := &createIndex{lenient: p.has("if", "not", "exists")}
	var err error
	if !p.has("on") {
		if s.name, err = p.name(); err != nil {
			return nil, err
		}
		if err := p.want("on"); err != nil {
			return nil, err
		}
	}
	if s.target, err = p.target(); err != nil {
		return nil, err
	}
	err = p.listed(func() error {
		if s.column != "" {
			return invalid("this server knows indexes of one column only")
		}
		s.column, err = p.name()
		return err
	})
	return s, err
}

func (p *parser) alterTable() (statement, error) {
	s := new(alterTable)
	var err error
	if s.target, err = p.target(); err != nil {
		return nil, err
	}
	if p.has("drop") {
		s.drop, err = p.name()
		return s, err
	}
	if err := p.want("add"); err != nil {
		return nil, err
	}
	for {
		c, err := p.column()
		if err != nil {
			return nil, err
		}
		if s.add = append(s.add, c); !p.has(",") {
			return s, nil
		}
	}
}

func (p *parser) drop() (statement, error) {
	s := new(drop)
	kind := p.next()
	s.lenient = p.has("if", "exists")
	var err error
	switch kind.text {
	case "keyspace":
		s.keyspace, err = p.name()
	case "table":
		s.target, err = p.target()
	case "index":
		s.index = true
		s.target, err = p.target()
	default:
		p.at--
		return nil, p.unexpected("KEYSPACE, TABLE or INDEX")
	}
	return s, err
}
