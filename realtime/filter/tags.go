package filter

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// comparison is what a leaf asks of a tag.
type comparison uint8

// The comparisons, and the operators of branches behind them.
const (
	equal comparison = iota
	notEqual
	in
	notIn
	exists
	notExists
	startsWith
	endsWith
	contains
	greater
	greaterOrEqual
	less
	lessOrEqual
	and
	or
	not
)

// names are those of comparisons and operators on the wire.
var names = [...]string{
	equal: "eq", notEqual: "neq", in: "in", notIn: "nin", exists: "ex", notExists: "nex", startsWith: "sw", endsWith: "ew",
	contains: "ct", greater: "gt", greaterOrEqual: "gte", less: "lt", lessOrEqual: "lte", and: "and", or: "or", not: "not",
}

// node is a tag node: a branch with children, or a leaf that asks about one tag.
type node struct {
	cmp      comparison
	children []*node

	key    string
	value  string
	number float64  // value, NaN if it is none; for comparisons of numbers
	values []string // sorted, each once
}

// match reports whether tags satisfy the node. No tags are as if each were missing.
func (n *node) match(tags protocol.Tags) bool {
	switch n.cmp {
	case and:
		for _, child := range n.children {
			if !child.match(tags) {
				return false
			}
		}
		return true
	case or:
		for _, child := range n.children {
			if child.match(tags) {
				return true
			}
		}
		return false
	case not:
		return !n.children[0].match(tags)
	default:
		value, there := tags.Get(n.key)
		if !there {
			return n.cmp == notEqual || n.cmp == notIn || n.cmp == notExists
		}
		return n.compare(value)
	}
}

// compare is the answer of a leaf about a tag that is there.
func (n *node) compare(value string) bool {
	switch n.cmp {
	case equal:
		return value == n.value
	case notEqual:
		return value != n.value
	case in, notIn:
		_, member := slices.BinarySearch(n.values, value)
		return member == (n.cmp == in)
	case exists:
		return true
	case startsWith:
		return strings.HasPrefix(value, n.value)
	case endsWith:
		return strings.HasSuffix(value, n.value)
	case contains:
		return strings.Contains(value, n.value)
	case greater:
		return numberOf(value) > n.number // false if either is NaN
	case greaterOrEqual:
		return numberOf(value) >= n.number
	case less:
		return numberOf(value) < n.number
	case lessOrEqual:
		return numberOf(value) <= n.number
	default: // notExists; branches do not come here
		return false
	}
}

// appendTo appends the node as JSON, in one form for all that mean the same.
func (n *node) appendTo(b []byte) []byte {
	if n.cmp >= and {
		b = append(append(append(b, `{"op":"`...), names[n.cmp]...), `","nodes":[`...)
		for i, child := range n.children {
			if i > 0 {
				b = append(b, ',')
			}
			b = child.appendTo(b)
		}
		return append(b, "]}"...)
	}
	b = protocol.AppendString(append(b, `{"key":`...), n.key)
	b = append(append(append(b, `,"cmp":"`...), names[n.cmp]...), '"')
	switch n.cmp {
	case exists, notExists:
	case in, notIn:
		b = appendTexts(append(b, `,"vals":`...), n.values)
	default:
		b = protocol.AppendString(append(b, `,"val":`...), n.value)
	}
	return append(b, '}')
}

// numberOf is a text as a decimal number, NaN if it is none. Other notations that
// strconv knows, and texts such as "inf", are none.
func numberOf(text string) float64 {
	if !isDecimal(text) {
		return math.NaN()
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return math.NaN()
	}
	return n // infinite if it is out of range, which compares as it should
}

// isDecimal looks before strconv does, whose errors take memory.
func isDecimal(text string) bool {
	rest := strings.TrimLeft(text, "+-")
	if len(text)-len(rest) > 1 {
		return false
	}
	whole := digits(rest)
	rest = rest[whole:]
	fraction := 0
	if strings.HasPrefix(rest, ".") {
		fraction = digits(rest[1:])
		rest = rest[1+fraction:]
	}
	if whole+fraction == 0 {
		return false
	}
	if rest == "" {
		return true
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return false
	}
	rest = rest[1:]
	if rest != "" && (rest[0] == '+' || rest[0] == '-') {
		rest = rest[1:]
	}
	return rest != "" && digits(rest) == len(rest)
}

// digits is the number of those that a text begins with.
func digits(text string) int {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return i
		}
	}
	return len(text)
}
