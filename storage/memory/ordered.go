package memory

import (
	"math/bits"
	"math/rand/v2"
)

// maxLevels is enough for many more entries than fit into the memory.
const maxLevels = 28

// ordered keeps values in the order of a comparison. It is a skip list: adding, removing
// and finding a place take about as many steps as the number of values has bits.
type ordered[T any] struct {
	compare func(a, b T) int
	head    orderedNode[T]
}

type orderedNode[T any] struct {
	value T
	next  []*orderedNode[T] // by level
}

func newOrdered[T any](compare func(a, b T) int) *ordered[T] {
	return &ordered[T]{compare: compare, head: orderedNode[T]{next: make([]*orderedNode[T], maxLevels)}}
}

// before finds the last node before a value, on each level.
func (o *ordered[T]) before(v T) (path [maxLevels]*orderedNode[T]) {
	at := &o.head
	for level := maxLevels - 1; level >= 0; level-- {
		for at.next[level] != nil && o.compare(at.next[level].value, v) < 0 {
			at = at.next[level]
		}
		path[level] = at
	}
	return path
}

// add takes a value that is not there.
func (o *ordered[T]) add(v T) {
	path := o.before(v)
	levels := min(1+bits.TrailingZeros64(rand.Uint64()), maxLevels)
	n := &orderedNode[T]{value: v, next: make([]*orderedNode[T], levels)}
	for level := range levels {
		n.next[level], path[level].next[level] = path[level].next[level], n
	}
}

// remove removes a value, if it is there.
func (o *ordered[T]) remove(v T) {
	path := o.before(v)
	n := path[0].next[0]
	if n == nil || o.compare(n.value, v) != 0 {
		return
	}
	for level := range n.next {
		path[level].next[level] = n.next[level]
	}
}

// from visits all values that are not before one, until visit returns false.
func (o *ordered[T]) from(v T, visit func(T) bool) {
	n := o.before(v)[0].next[0]
	for n != nil && visit(n.value) {
		n = n.next[0]
	}
}

func (o *ordered[T]) isEmpty() bool { return o.head.next[0] == nil }
