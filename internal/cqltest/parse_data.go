package cqltest

func (p *parser) insertion() (statement, error) {
	s := new(insertion)
	var err error
	if s.target, err = p.target(); err != nil {
		return nil, err
	}
	if err := p.listed(func() error {
		name, err := p.name()
		s.set = append(s.set, relation{column: name, sign: "="})
		return err
	}); err != nil {
		return nil, err
	}
	if err := p.want("values"); err != nil {
		return nil, err
	}
	n := 0
	if err := p.listed(func() error {
		value, err := p.term()
		if err == nil && n < len(s.set) {
			s.set[n].value = value
		}
		n++
		return err
	}); err != nil {
		return nil, err
	}
	if n != len(s.set) {
		return nil, invalid("Unmatched column names/values")
	}
	if p.has("if", "not", "exists") {
		s.cond = &condition{exists: true}
	}
	return s, nil
}

func (p *parser) change() (statement, error) {
	s := new(change)
	var err error
	if s.target, err = p.target(); err != nil {
		return nil, err
	}
	if err := p.want("set"); err != nil {
		return nil, err
	}
	if s.set, err = p.relations(","); err != nil {
		return nil, err
	}
	if err := p.want("where"); err != nil {
		return nil, err
	}
	if s.where, err = p.where(); err != nil {
		return nil, err
	}
	s.cond, err = p.condition()
	return s, err
}

func (p *parser) deletion() (statement, error) {
	s := new(deletion)
	var err error
	if s.target, err = p.target(); err != nil {
		return nil, err
	}
	if err := p.want("where"); err != nil {
		return nil, err
	}
	if s.where, err = p.where(); err != nil {
		return nil, err
	}
	s.cond, err = p.condition()
	return s, err
}

func (p *parser) selection() (statement, error) {
	s := new(selection)
	for !p.has("*") {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		if s.columns = append(s.columns, name); !p.has(",") {
			break
		}
	}
	if err := p.want("from"); err != nil {
		return nil, err
	}
	var err error
	if s.target, err = p.target(); err != nil {
		return nil, err
	}
	if p.has("where") {
		if s.where, err = p.where(); err != nil {
			return nil, err
		}
	}
	if p.has("order", "by") {
		if s.order, err = p.ordering(); err != nil {
			return nil, err
		}
	}
	if p.has("limit") {
		value, err := p.term()
		if err != nil {
			return nil, err
		}
		s.limit = &value
	}
	return s, nil
}

// ordering takes what stands behind ORDER BY.
func (p *parser) ordering() (list []ordering, err error) {
	for {
		var o ordering
		if o.column, err = p.name(); err != nil {
			return nil, err
		}
		if o.reverse = p.has("desc"); !o.reverse {
			p.has("asc")
		}
		if list = append(list, o); !p.has(",") {
			return list, nil
		}
	}
}
