package memory

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// Whatever is added and removed, what is left is in order.
func TestOrdered(t *testing.T) {
	o, want := newOrdered(cmp.Compare[int]), map[int]bool{}
	for range 5000 {
		v := rand.IntN(1000)
		if want[v] {
			o.remove(v)
			delete(want, v)
		} else {
			o.add(v)
			want[v] = true
		}
	}
	o.remove(5000)
	for _, from := range []int{-1, 0, 500, 999, 1000} {
		var got, sorted []int
		o.from(from, func(v int) bool {
			got = append(got, v)
			return true
		})
		for v := range want {
			if v >= from {
				sorted = append(sorted, v)
			}
		}
		if slices.Sort(sorted); !slices.Equal(got, sorted) {
			t.Errorf("from %d come %d of %d: %v", from, len(got), len(sorted), got)
		}
	}
	n := 0
	o.from(0, func(int) bool {
		n++
		return n < 3
	})
	if n != 3 {
		t.Errorf("after being stopped at 3 there were %d visits", n)
	}
}
