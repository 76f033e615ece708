//go:build linux

package loadgen

import (
	"math/bits"
	"time"
)

const (
	histogramStep = 5 // 32 buckets per power of two: values are exact to 3.2 %
	histogramSub  = 1 << histogramStep
)

// histogram counts durations in buckets of constant relative width. Its zero
// value is empty and ready.
type histogram struct {
	buckets  [(64 - histogramStep) * histogramSub]uint32
	count    int64
	smallest int64
	largest  int64
}

// add counts one duration in nanoseconds; a negative one counts as zero.
func (h *histogram) add(ns int64) {
	ns = max(ns, 0)
	if h.count == 0 || ns < h.smallest {
		h.smallest = ns
	}
	h.largest = max(h.largest, ns)
	h.buckets[bucketOf(uint64(ns))]++
	h.count++
}

// merge adds everything that other counted.
func (h *histogram) merge(other *histogram) {
	if other.count == 0 {
		return
	}
	if h.count == 0 || other.smallest < h.smallest {
		h.smallest = other.smallest
	}
	h.largest = max(h.largest, other.largest)
	h.count += other.count
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
}

// quantile is the duration that the share q of all counted ones does not
// exceed: the upper bound of its bucket, never above the largest seen. An empty
// histogram answers zero.
func (h *histogram) quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := max(int64(q*float64(h.count)+0.5), 1)
	for i, n := range h.buckets {
		if rank -= int64(n); rank <= 0 {
			return time.Duration(min(bucketTop(i), h.largest))
		}
	}
	return time.Duration(h.largest)
}

// bucketOf is the bucket of v: the position of its highest bit and the
// histogramStep bits behind it.
func bucketOf(v uint64) int {
	if v < 2*histogramSub {
		return int(v)
	}
	shift := bits.Len64(v) - histogramStep - 1
	return shift*histogramSub + int(v>>shift)
}

// bucketTop is the largest value that falls into bucket i.
func bucketTop(i int) int64 {
	if i < 2*histogramSub {
		return int64(i)
	}
	shift := i/histogramSub - 1
	return int64(i-shift*histogramSub+1)<<shift - 1
}
