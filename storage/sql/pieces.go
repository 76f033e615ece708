package sql

import (
	"math/bits"
	"slices"
)

// maxPiece is how many rows one statement reads or adds at most.
const maxPiece = 128

// pieceOf is how many of n rows the next statement adds. A database that prepares
// statements sees texts of few lengths, so that it need not do so each time.
func (d Dialect) pieceOf(n int) int {
	if n = min(n, maxPiece); d == MySQL {
		return n
	}
	return 1 << (bits.Len(uint(n)) - 1)
}

// padded repeats the last of what is asked for until a statement of few lengths asks for
// it. Whoever reads the answer must not mind.
func padded[T any](d Dialect, list []T) []T {
	if d == MySQL || len(list) == 0 {
		return list
	}
	list = slices.Clip(list)
	for last := list[len(list)-1]; len(list)&(len(list)-1) != 0; {
		list = append(list, last)
	}
	return list
}
