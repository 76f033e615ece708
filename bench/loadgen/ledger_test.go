//go:build linux

package loadgen

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type step struct {
	lane int
	seq  uint32
	want arrival
}

func TestLedger(t *testing.T) {
	for name, test := range map[string]struct {
		steps     []step
		published []uint32
		lost      int64
	}{
		"in order":              {[]step{{0, 0, arrivedNext}, {0, 1, arrivedNext}}, []uint32{2, 0}, 0},
		"lanes are independent": {[]step{{1, 0, arrivedNext}, {0, 0, arrivedNext}, {1, 1, arrivedNext}}, []uint32{1, 2}, 0},
		"first one lost":        {[]step{{0, 1, arrivedNext}}, []uint32{2, 0}, 1},
		"last ones lost":        {[]step{{0, 0, arrivedNext}}, []uint32{3, 0}, 2},
		"all lost":              {nil, []uint32{3, 4}, 7},
		"repeated at once":      {[]step{{0, 0, arrivedNext}, {0, 0, arrivedAgain}}, []uint32{1, 0}, 0},
		"repeated later":        {[]step{{0, 0, arrivedNext}, {0, 1, arrivedNext}, {0, 0, arrivedAgain}}, []uint32{2, 0}, 0},
		"swapped":               {[]step{{0, 1, arrivedNext}, {0, 0, arrivedLate}}, []uint32{2, 0}, 0},
		"late and then again":   {[]step{{0, 1, arrivedNext}, {0, 0, arrivedLate}, {0, 0, arrivedAgain}}, []uint32{2, 0}, 0},
		"gap filled from the middle": {
			[]step{{0, 5, arrivedNext}, {0, 2, arrivedLate}, {0, 0, arrivedLate}, {0, 4, arrivedLate}, {0, 2, arrivedAgain}, {0, 6, arrivedNext}},
			[]uint32{7, 0},
			2, // 1 and 3
		},
		"accepted count below what came": {[]step{{0, 3, arrivedNext}}, []uint32{2, 0}, 2},
	} {
		l := newLedger(2)
		for i, s := range test.steps {
			if got := l.note(s.lane, s.seq); got != s.want {
				t.Errorf("%s: step %d (lane %d, %d) arrived as %d, want %d", name, i, s.lane, s.seq, got, s.want)
			}
		}
		if got := l.lost(test.published); got != test.lost {
			t.Errorf("%s: %d lost, want %d", name, got, test.lost)
		}
	}
}

// The ledger must agree with a plain set over random losses, repeats and swaps.
func TestLedgerAgainstASet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		const published = 60
		var arrivals []uint32
		for seq := range uint32(published) {
			for range []int{0, 1, 1, 1, 2}[random.IntN(5)] {
				arrivals = append(arrivals, seq)
			}
		}
		for i := range arrivals {
			j := min(i+random.IntN(4), len(arrivals)-1)
			arrivals[i], arrivals[j] = arrivals[j], arrivals[i]
		}
		l, seen, highest := newLedger(1), map[uint32]bool{}, int64(-1)
		for _, seq := range arrivals {
			want := arrivedNext
			if seen[seq] {
				want = arrivedAgain
			} else if int64(seq) < highest {
				want = arrivedLate
			}
			seen[seq], highest = true, max(highest, int64(seq))
			if got := l.note(0, seq); got != want {
				t.Fatalf("%d of %v arrived as %d, want %d", seq, arrivals, got, want)
			}
		}
		if got, want := l.lost([]uint32{published}), int64(published-len(seen)); got != want {
			t.Fatalf("%d lost of %v, want %d", got, arrivals, want)
		}
	}
}

func TestLedgerOrder(t *testing.T) {
	hash := func(steps ...step) uint64 {
		l := newLedger(2)
		for _, s := range steps {
			l.note(s.lane, s.seq)
		}
		return l.order
	}
	a, b, c := step{lane: 0, seq: 0}, step{lane: 1, seq: 0}, step{lane: 0, seq: 1}
	orders := []uint64{hash(a, b, c), hash(b, a, c), hash(a, c, b)}
	slices.Sort(orders)
	if len(slices.Compact(orders)) != 3 {
		t.Error("different orders have equal hashes")
	}
	if hash(a, b) != hash(a, b, b) {
		t.Error("a repeated message changes the order")
	}
}

func TestWindow(t *testing.T) {
	w := newWindow(2, 3)
	first, second := <-w.free, <-w.free
	if len(w.free) != 0 || first == second {
		t.Fatalf("slots %d and %d, %d more free", first, second, len(w.free))
	}
	for i, slot := range []int{first, second, first, second, noSlot} {
		w.arrived(slot)
		if len(w.free) != 0 {
			t.Fatalf("a slot is free after %d deliveries of 3", i/2+1)
		}
	}
	w.arrived(second)
	if len(w.free) != 1 || <-w.free != second {
		t.Fatal("the completed slot did not come back")
	}
	w.arrived(second)
	if len(w.free) != 0 {
		t.Fatal("a slot does not start anew")
	}
}

// BenchmarkReceive is what one message costs the generator beyond the system
// call, when 32 came joined. It bounds the deliveries a second that can be
// measured on one core.
func BenchmarkReceive(b *testing.B) {
	const joined = 32
	s := &swarm{swarmOptions: swarmOptions{connections: 1, channels: []string{"bench-0"}, lanes: 8, window: newWindow(joined, 1)}}
	s.tally.measuring = true
	c := s.newSession(0)
	c.state = stateReady
	var chunk []byte
	for seq := uint32(0); b.Loop(); seq += joined {
		b.StopTimer()
		chunk = chunk[:0]
		for i := range uint32(joined) {
			data := stamp{seq: seq + i, slot: int(i), at: nanos()}.appendData(nil, 100)
			chunk = append(chunk, serverFrame(opText, `{"event":"bench","channel":"bench-0","data":"`+string(data)+`"}`)...)
			<-s.window.free
		}
		b.StartTimer()
		s.now = nanos()
		if err := c.frames.feed(chunk, c.visit); err != nil {
			b.Fatal(err)
		}
	}
	if s.tally.late+s.tally.again+s.tally.misrouted > 0 || s.tally.delivered == 0 {
		b.Errorf("%+v", s.faults())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(s.tally.delivered), "ns/message")
}
