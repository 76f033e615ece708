package jmespath

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Expression is a compiled expression. Many goroutines may use it at once.
type Expression struct{ root *node }

// Compile reads an expression. Its errors say what is wrong, and where.
func Compile(source string) (*Expression, error) {
	switch {
	case len(source) > MaxLength:
		return nil, fmt.Errorf("%d bytes are more than %d", len(source), MaxLength)
	case !utf8.ValidString(source):
		return nil, errors.New("not valid UTF-8")
	}
	tokens, err := tokenize(source)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	root, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if t := p.next(); t.kind != tokenEnd {
		return nil, unexpected(t)
	}
	return &Expression{root}, nil
}

// parser is an operator precedence parser: each token knows how strongly it binds.
type parser struct {
	tokens []token
	nodes  int
	// open is the number of expressions that are not read to their end. Parentheses and
	// operators before their operand count here before they count as nodes, if at all.
	open int
}

func (p *parser) peek() kind { return p.tokens[0].kind }

// next takes a token. The end stays.
func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != tokenEnd {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) expect(k kind) error {
	if t := p.next(); t.kind != k {
		return unexpected(t)
	}
	return nil
}

// skip takes the next token if it is of a kind.
func (p *parser) skip(k kind) bool {
	if p.peek() != k {
		return false
	}
	p.next()
	return true
}

func unexpected(t token) error { return fmt.Errorf("unexpected %s", t) }

// expression reads up to a token that binds no more strongly than power.
func (p *parser) expression(power int) (*node, error) {
	if p.open++; p.open > MaxNodes {
		return nil, errTooDeep
	}
	defer func() { p.open-- }()
	left, err := p.operand(p.next())
	for err == nil && power < powers[p.peek()] {
		left, err = p.operator(p.next(), left)
	}
	return left, err
}

// operand reads what begins with t and needs nothing before it.
func (p *parser) operand(t token) (*node, error) {
	switch t.kind {
	case tokenName:
		if p.skip(tokenParen) {
			return p.call(t)
		}
		return p.add(node{op: opField, name: t.name})
	case tokenQuoted:
		return p.add(node{op: opField, name: t.name})
	case tokenLiteral:
		return p.add(node{op: opLiteral, value: t.value})
	case tokenCurrent:
		return p.current()
	case tokenParen:
		inner, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		return inner, p.expect(tokenParenEnd)
	case tokenNot:
		of, err := p.expression(notPower)
		if err != nil {
			return nil, err
		}
		return p.add(node{op: opNot, left: of})
	case tokenStar:
		return p.values(nil, powers[tokenStar])
	case tokenFlatten:
		return p.flatten(nil)
	case tokenFilter:
		return p.filter(nil)
	case tokenBracket:
		if k := p.peek(); k == tokenNumber || k == tokenColon {
			return p.index(nil)
		}
		if p.peek() == tokenStar && p.tokens[1].kind == tokenBracketEnd {
			return p.elements(nil)
		}
		return p.list()
	case tokenBrace:
		return p.hash()
	default:
		return nil, unexpected(t)
	}
}

// binary are the operations that have an expression on both sides.
var binary = map[kind]operation{
	tokenPipe: opChain, tokenOr: opOr, tokenAnd: opAnd, tokenEqual: opEqual, tokenNotEqual: opNotEqual,
	tokenLess: opLess, tokenLessOrEqual: opLessOrEqual, tokenGreater: opGreater, tokenGreaterOrEqual: opGreaterOrEqual,
}

// operator reads what begins with t and stands behind left.
func (p *parser) operator(t token, left *node) (*node, error) {
	if op, ok := binary[t.kind]; ok {
		right, err := p.expression(powers[t.kind])
		if err != nil {
			return nil, err
		}
		return p.add(node{op: op, left: left, right: right})
	}
	switch t.kind {
	case tokenDot:
		if p.skip(tokenStar) {
			return p.values(left, powers[tokenDot])
		}
		right, err := p.member(powers[tokenDot])
		if err != nil {
			return nil, err
		}
		return p.chain(left, right)
	case tokenFlatten:
		return p.flatten(left)
	case tokenFilter:
		return p.filter(left)
	case tokenBracket:
		if k := p.peek(); k == tokenNumber || k == tokenColon {
			return p.index(left)
		}
		return p.elements(left)
	default:
		return nil, unexpected(t)
	}
}

// member reads what may stand behind a dot.
func (p *parser) member(power int) (*node, error) {
	switch p.peek() {
	case tokenName, tokenQuoted, tokenStar:
		return p.expression(power)
	case tokenBracket:
		p.next()
		return p.list()
	case tokenBrace:
		p.next()
		return p.hash()
	default:
		return nil, unexpected(p.next())
	}
}

// list reads the rest of "[a, b]".
func (p *parser) list() (*node, error) {
	n := node{op: opList}
	for {
		part, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		n.parts = append(n.parts, part)
		if p.skip(tokenBracketEnd) {
			return p.add(n)
		}
		if err := p.expect(tokenComma); err != nil {
			return nil, err
		}
	}
}

// hash reads the rest of "{name: a, other: b}".
func (p *parser) hash() (*node, error) {
	n := node{op: opHash}
	for {
		name := p.next()
		if name.kind != tokenName && name.kind != tokenQuoted {
			return nil, unexpected(name)
		}
		if err := p.expect(tokenColon); err != nil {
			return nil, err
		}
		part, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		n.parts, n.names = append(n.parts, part), append(n.names, name.name)
		if p.skip(tokenBraceEnd) {
			return p.add(n)
		}
		if err := p.expect(tokenComma); err != nil {
			return nil, err
		}
	}
}

// call reads the rest of "name(a, &b)".
func (p *parser) call(name token) (*node, error) {
	n := node{op: opCall, function: functions[name.name]}
	if n.function == nil {
		return nil, fmt.Errorf("there is no function %s", name)
	}
	for !p.skip(tokenParenEnd) {
		if len(n.parts) > 0 {
			if err := p.expect(tokenComma); err != nil {
				return nil, err
			}
		}
		part, err := p.argument()
		if err != nil {
			return nil, err
		}
		n.parts = append(n.parts, part)
	}
	if err := n.function.check(n.parts); err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return p.add(n)
}

func (p *parser) argument() (*node, error) {
	if !p.skip(tokenReference) {
		return p.expression(0)
	}
	of, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	return p.add(node{op: opReference, left: of})
}
