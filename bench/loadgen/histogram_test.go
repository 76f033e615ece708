//go:build linux

package loadgen

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBucketsAreContiguous(t *testing.T) {
	last := -1
	for _, v := range []int64{0, 1, 31, 32, 63, 64, 65, 66, 127, 128, 1000, 1e6, 1e9, math.MaxInt64} {
		i := bucketOf(uint64(v))
		if i < last || i >= len(histogram{}.buckets) {
			t.Fatalf("%d falls into bucket %d after %d", v, i, last)
		}
		last = i
		if top := bucketTop(i); top < v || float64(top-v) > float64(v)/32 {
			t.Errorf("the top of the bucket of %d is %d", v, top)
		}
	}
	for i := range len(histogram{}.buckets) - 1 {
		if top := bucketTop(i); bucketOf(uint64(top)) != i || bucketOf(uint64(top)+1) != i+1 {
			t.Fatalf("bucket %d does not end at %d", i, top)
		}
	}
}

func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var h, left, right histogram
	values := make([]int64, 10_000)
	for i := range values {
		values[i] = int64(math.Exp(random.Float64() * 20))
		h.add(values[i])
		if i%3 == 0 {
			left.add(values[i])
		} else {
			right.add(values[i])
		}
	}
	slices.Sort(values)
	left.merge(&right)
	for _, q := range []float64{0, .01, .5, .9, .99, .999, 1} {
		exact := float64(values[max(int(q*10_000+.5)-1, 0)])
		got := float64(h.quantile(q))
		if got < exact || got > exact*(1+1.0/32)+1 {
			t.Errorf("quantile %g is %g, exactly %g", q, got, exact)
		}
		if merged := float64(left.quantile(q)); merged != got {
			t.Errorf("quantile %g of the merged halves is %g, of the whole %g", q, merged, got)
		}
	}
	var few histogram
	for _, v := range []int64{30, 10, 20, 40} {
		few.add(v)
	}
	for q, want := range map[float64]int64{0: 10, .25: 10, .5: 20, .75: 30, .99: 40, 1: 40} {
		if got := int64(few.quantile(q)); got != want {
			t.Errorf("quantile %g of 10, 20, 30, 40 is %d, want %d", q, got, want)
		}
	}
	var empty histogram
	if empty.quantile(.5) != 0 {
		t.Error("an empty histogram has a median")
	}
}
