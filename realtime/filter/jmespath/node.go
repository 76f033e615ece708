package jmespath

import "fmt"

// Limits of an expression.
const (
	// MaxLength is the longest source, in bytes.
	MaxLength = 4096
	// MaxNodes is the number of parts of the syntax tree: each name, literal, operator,
	// function and selection is one.
	MaxNodes = 256
	// MaxDepth is how deep the syntax tree may be. A chain such as "a.b.c" leans to the
	// left, and has the depth of its length.
	MaxDepth = 32
)

type operation uint8

const (
	opCurrent    operation = iota // the value that the expression is about
	opLiteral                     // value
	opField                       // the member name of an object
	opIndex                       // the element number of an array
	opSlice                       // the elements of an array within bounds
	opChain                       // right of what left is
	opProjection                  // right of each element that left has
	opValues                      // the values of the object that left is
	opFlatten                     // the elements of left, and those of arrays among them
	opCondition                   // right where left is true, null elsewhere
	opOr
	opAnd
	opNot // left
	opEqual
	opNotEqual
	opLess
	opLessOrEqual
	opGreater
	opGreaterOrEqual
	opList      // an array of parts
	opHash      // an object of parts with names
	opCall      // function of parts
	opReference // left, unevaluated, for a function
)

// node is a part of the syntax tree. It is not changed after it is made.
type node struct {
	op          operation
	left, right *node
	parts       []*node
	names       []string // of parts
	name        string
	value       any
	number      int
	bounds      [3]*int // first, end, step
	function    *function
	depth       int
}

// add puts a node into the tree, if the tree does not get too large.
func (p *parser) add(n node) (*node, error) {
	if p.nodes++; p.nodes > MaxNodes {
		return nil, fmt.Errorf("more than %d parts", MaxNodes)
	}
	for _, part := range append([]*node{n.left, n.right}, n.parts...) {
		if part != nil {
			n.depth = max(n.depth, part.depth)
		}
	}
	if n.depth++; n.depth > MaxDepth {
		return nil, errTooDeep
	}
	return &n, nil
}

var errTooDeep = fmt.Errorf("nested more than %d deep", MaxDepth)

// chain is right on what left is. Without left, it is right.
func (p *parser) chain(left, right *node) (*node, error) {
	if left == nil {
		return right, nil
	}
	return p.add(node{op: opChain, left: left, right: right})
}

// project is a projection of the elements of left.
func (p *parser) project(left, right *node) (*node, error) {
	return p.add(node{op: opProjection, left: left, right: right})
}
