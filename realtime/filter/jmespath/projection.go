package jmespath

import "errors"

func (p *parser) current() (*node, error) { return p.add(node{op: opCurrent}) }

// orCurrent is left, or the current value if there is nothing on the left.
func (p *parser) orCurrent(left *node) (*node, error) {
	if left == nil {
		return p.current()
	}
	return left, nil
}

// projected reads what a projection does with each element: all that follows and
// binds more strongly than power.
func (p *parser) projected(power int) (*node, error) {
	if powers[p.peek()] < projectionStop {
		return p.current()
	}
	switch p.peek() {
	case tokenBracket, tokenFilter:
		return p.expression(power)
	case tokenDot:
		p.next()
		return p.member(power)
	default:
		return nil, unexpected(p.next())
	}
}

// elements reads the rest of "left[*]".
func (p *parser) elements(left *node) (*node, error) {
	if err := p.expect(tokenStar); err != nil {
		return nil, err
	}
	if err := p.expect(tokenBracketEnd); err != nil {
		return nil, err
	}
	left, err := p.orCurrent(left)
	if err != nil {
		return nil, err
	}
	right, err := p.projected(powers[tokenStar])
	if err != nil {
		return nil, err
	}
	return p.project(left, right)
}

// values reads the rest of "left.*".
func (p *parser) values(left *node, power int) (*node, error) {
	return p.applied(opValues, left, power)
}

// flatten reads the rest of "left[]".
func (p *parser) flatten(left *node) (*node, error) {
	return p.applied(opFlatten, left, powers[tokenFlatten])
}

// applied is a projection of what an operation makes of left.
func (p *parser) applied(op operation, left *node, power int) (*node, error) {
	left, err := p.orCurrent(left)
	if err != nil {
		return nil, err
	}
	if left, err = p.add(node{op: op, left: left}); err != nil {
		return nil, err
	}
	right, err := p.projected(power)
	if err != nil {
		return nil, err
	}
	return p.project(left, right)
}

// filter reads the rest of "left[?condition]".
func (p *parser) filter(left *node) (*node, error) {
	left, err := p.orCurrent(left)
	if err != nil {
		return nil, err
	}
	condition, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if err := p.expect(tokenBracketEnd); err != nil {
		return nil, err
	}
	then, err := p.projected(powers[tokenFilter])
	if err != nil {
		return nil, err
	}
	right, err := p.add(node{op: opCondition, left: condition, right: then})
	if err != nil {
		return nil, err
	}
	return p.project(left, right)
}

// index reads the rest of "left[1]" or "left[1:2:3]".
func (p *parser) index(left *node) (*node, error) {
	var bounds [3]*int
	colons := 0
	for !p.skip(tokenBracketEnd) {
		switch t := p.next(); {
		case t.kind == tokenNumber && bounds[colons] == nil:
			bounds[colons] = &t.number
		case t.kind == tokenColon && colons < 2:
			colons++
		default:
			return nil, unexpected(t)
		}
	}
	if colons == 0 {
		right, err := p.add(node{op: opIndex, number: *bounds[0]})
		if err != nil {
			return nil, err
		}
		return p.chain(left, right)
	}
	return p.slice(left, bounds)
}

func (p *parser) slice(left *node, bounds [3]*int) (*node, error) {
	if bounds[2] != nil && *bounds[2] == 0 {
		return nil, errors.New("the step of a slice must not be 0")
	}
	right, err := p.add(node{op: opSlice, bounds: bounds})
	if err != nil {
		return nil, err
	}
	if left, err = p.chain(left, right); err != nil {
		return nil, err
	}
	if right, err = p.projected(powers[tokenStar]); err != nil {
		return nil, err
	}
	return p.project(left, right)
}
