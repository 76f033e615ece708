package conformance

import "testing"

// checkSequence fails the test unless got is 1..last.
func checkSequence(t *testing.T, what string, got []int, last int) {
	t.Helper()
	if f := faultsOf(got, last); f != (faults{}) {
		t.Errorf("%s, of %d: %+v: %v", what, last, f, got)
	}
}

// faults counts what is wrong with a sequence.
type faults struct{ lost, repeated, disordered, foreign int }

func faultsOf(got []int, last int) (f faults) {
	times, before := make([]int, last+1), 0
	for _, n := range got {
		if n < 1 || n > last {
			f.foreign++
			continue
		}
		if n < before {
			f.disordered++
		}
		times[n]++
		before = n
	}
	for _, n := range times[1:] {
		if n == 0 {
			f.lost++
		}
		f.repeated += max(0, n-1)
	}
	return f
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		got  []int
		want faults
	}{
		{[]int{1, 2, 3, 4}, faults{}},
		{[]int{1, 2, 4}, faults{lost: 1}},
		{nil, faults{lost: 4}},
		{[]int{1, 2, 2, 3, 4, 4}, faults{repeated: 2}},
		{[]int{1, 3, 2, 4}, faults{disordered: 1}},
		{[]int{1, 2, 3, 4, 5}, faults{foreign: 1}},
	} {
		if got := faultsOf(c.got, 4); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.got, got, c.want)
		}
	}
}

func numbers(t *testing.T, frames []frame) []int {
	t.Helper()
	all := make([]int, len(frames))
	for i, f := range frames {
		var data struct{ N int }
		text := []byte(f.Data)
		if text[0] == '"' {
			text = []byte(f.text(t))
		}
		decode(t, text, &data)
		all[i] = data.N
	}
	return all
}
