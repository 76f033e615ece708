//go:build linux

package loadgen

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// shortFanout is one lane at 400 publishes a second to three subscribers. Only
// what happens within the first dozens of publishes is spoiled by the tests.
var shortFanout = Fanout{Subscribers: 3, Rate: 400, Publishers: 1, Measure: 200 * time.Millisecond, Patience: 200 * time.Millisecond}

func TestFanoutCountsFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		deliver func() func(n, subscriber int, frame []byte) [][]byte
		want    Faults
	}{
		"faithful": {func() func(int, int, []byte) [][]byte { return faithful }, Faults{}},
		"two lost by one subscriber": {func() func(int, int, []byte) [][]byte {
			return func(n, subscriber int, frame []byte) [][]byte {
				if subscriber == 1 && (n == 3 || n == 9) {
					return nil
				}
				return [][]byte{frame}
			}
		}, Faults{Lost: 2}},
		"one repeated to all": {func() func(int, int, []byte) [][]byte {
			return func(n, _ int, frame []byte) [][]byte {
				if n == 5 {
					return [][]byte{frame, frame}
				}
				return [][]byte{frame}
			}
		}, Faults{Repeated: 3}},
		"one overtaken at two subscribers": {func() func(int, int, []byte) [][]byte {
			held := map[int][]byte{}
			return func(n, subscriber int, frame []byte) [][]byte {
				switch {
				case subscriber == 2:
				case n == 7:
					held[subscriber] = frame
					return nil
				case n == 8:
					return [][]byte{frame, held[subscriber]}
				}
				return [][]byte{frame}
			}
		}, Faults{Reordered: 2, Diverged: 1}},
		"another channel's stamp": {func() func(int, int, []byte) [][]byte {
			return func(n, subscriber int, frame []byte) [][]byte {
				if n == 2 && subscriber == 0 {
					wrong := strings.Replace(string(frame), "seq=00.00000.", "seq=00.00001.", 1)
					return [][]byte{frame, []byte(wrong)}
				}
				return [][]byte{frame}
			}
		}, Faults{Misrouted: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &fakeServer{deliver: test.deliver()}
			r, err := shortFanout.Run(t.Context(), startFake(t, server))
			if err != nil {
				t.Fatal(err)
			}
			if r.Faults.First = ""; r.Faults != test.want {
				t.Errorf("faults: %s; want: %s", r.Faults, test.want)
			}
			if server.published < 40 || r.Count == 0 || r.P99 <= 0 {
				t.Errorf("%d published, %d deliveries measured, p99 %g ms", server.published, r.Count, r.P99)
			}
		})
	}
}

// In a closed loop no more publishes may be out than the window has slots.
func TestFanoutHoldsTheWindow(t *testing.T) {
	t.Parallel()
	server := &fakeServer{deliver: func(n, subscriber int, frame []byte) [][]byte {
		if subscriber == 1 && n >= 10 {
			return nil // from here on this subscriber gets nothing
		}
		return [][]byte{frame}
	}}
	r, err := Fanout{Subscribers: 3, Window: 4, Publishers: 2, Measure: 200 * time.Millisecond, Patience: 200 * time.Millisecond}.Run(t.Context(), startFake(t, server))
	if err != nil {
		t.Fatal(err)
	}
	if server.published != 14 || r.Faults.Lost != 4 {
		t.Errorf("%d published, %d lost; want 14 and 4", server.published, r.Faults.Lost)
	}
}

// A repeated message is a fault and neither a delivery nor a step of the window.
func TestFanoutRepeatsAreNotDeliveries(t *testing.T) {
	t.Parallel()
	server := &fakeServer{deliver: func(_, _ int, frame []byte) [][]byte { return [][]byte{frame, frame} }}
	r, err := Fanout{Subscribers: 3, Window: 2, Publishers: 2, Measure: 200 * time.Millisecond}.Run(t.Context(), startFake(t, server))
	if err != nil {
		t.Fatal(err)
	}
	all := int64(3 * server.published)
	if r.Faults.Repeated != all || r.Faults.Lost != 0 || r.Count > all || r.Count < all/2 {
		t.Errorf("%d deliveries, each made twice: %d counted, faults: %s", all, r.Count, r.Faults)
	}
}

func TestFanoutOfManyChannels(t *testing.T) {
	t.Parallel()
	server := &fakeServer{deliver: faithful}
	r, err := Fanout{Subscribers: 12, Channels: 4, Window: 3, Publishers: 3, Measure: 200 * time.Millisecond}.Run(t.Context(), startFake(t, server))
	if err != nil {
		t.Fatal(err)
	}
	if r.Faults.Any() || server.published < 40 {
		t.Errorf("%d published, faults: %s", server.published, r.Faults)
	}
}

func TestPublishRefused(t *testing.T) {
	t.Parallel()
	server := &fakeServer{deliver: faithful, status: func(n int) int {
		if n >= 20 {
			return http.StatusTooManyRequests
		}
		return http.StatusOK
	}}
	r, err := Publish{Publishers: 2, Measure: 100 * time.Millisecond}.Run(t.Context(), startFake(t, server))
	if err != nil {
		t.Fatal(err)
	}
	if r.Faults.Refused != 2 || !strings.Contains(r.Faults.First, "429") || server.published != 20 {
		t.Errorf("%d published, faults: %s; want both lanes refused after 20", server.published, r.Faults)
	}
}

func TestPublishBatches(t *testing.T) {
	t.Parallel()
	server := &fakeServer{deliver: faithful}
	r, err := Publish{Batch: 10, Publishers: 1, Measure: 100 * time.Millisecond}.Run(t.Context(), startFake(t, server))
	if err != nil {
		t.Fatal(err)
	}
	if r.Faults.Any() || r.Count == 0 || r.Count > int64(server.published) || server.published%10 != 0 {
		t.Errorf("%d published, %d counted, faults: %s", server.published, r.Count, r.Faults)
	}
}

func TestPresenceCountsFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		announce func(subscriber int, member string) int
		want     Faults
	}{
		"faithful": {func(int, string) int { return 1 }, Faults{}},
		"spoiled": {func(subscriber int, _ string) int {
			switch subscriber {
			case 0:
				return 2 // every later member twice
			case 18:
				return 0 // the last one never
			}
			return 1
		}, Faults{Lost: 1, Repeated: 19}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Presence{Members: 20, Opening: 5, Patience: 200 * time.Millisecond}.Run(t.Context(), startFake(t, &fakeServer{announce: test.announce}))
			if err != nil {
				t.Fatal(err)
			}
			if r.Faults.First = ""; r.Faults != test.want || r.Count != 20 {
				t.Errorf("%d joined, faults: %s; want: %s", r.Count, r.Faults, test.want)
			}
		})
	}
}

func TestIdleCountsRefusals(t *testing.T) {
	t.Parallel()
	target := startFake(t, &fakeServer{deliver: faithful})
	r, err := Idle{Connections: 30, Channels: 7, Settle: 10 * time.Millisecond}.Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if r.Count != 30 || r.Faults.Any() || r.ServerCPUSeconds <= 0 {
		t.Errorf("%d opened for %g CPU-seconds, faults: %s", r.Count, r.ServerCPUSeconds, r.Faults)
	}
	target.Addr = "127.0.0.1:1"
	r, err = Idle{Connections: 3}.Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if r.Count != 0 || r.Faults.Failed != 3 || !strings.Contains(r.Faults.First, "refused") {
		t.Errorf("%d opened where nothing listens, faults: %s", r.Count, r.Faults)
	}
}
