//go:build linux

package loadgen

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The binary forms are those of the protocol's own examples: a map instead of an
// array in MessagePack, the hex of appendix D in Protobuf.
func TestSubscribeRequests(t *testing.T) {
	data := []byte(`{"channel":"orders"}`)
	for d, want := range map[Dialect]string{
		V1:            hex.EncodeToString([]byte(`{"event":"pusher:subscribe","data":{"channel":"orders"}}`)),
		V2JSON:        hex.EncodeToString([]byte(`{"event":"sockudo:subscribe","data":{"channel":"orders"}}`)),
		V2MessagePack: "82a56576656e74b1736f636b75646f3a737562736372696265a46461746192a46a736f6eb47b226368616e6e656c223a226f7264657273227d",
		V2Protobuf:    "0a11736f636b75646f3a7375627363726962651a161a147b226368616e6e656c223a226f7264657273227d",
	} {
		if got := hex.EncodeToString(dialects[d].request("subscribe", data)); got != want {
			t.Errorf("dialect %d: %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int]string{31: "bf", 32: "d920", 255: "d9ff", 256: "da0100"} {
		if got := hex.EncodeToString(appendPackedString(nil, strings.Repeat("a", n))); !strings.HasPrefix(got, want+"61") {
			t.Errorf("string of %d bytes: %.8s, want %s", n, got, want)
		}
	}
	if got := hex.EncodeToString(appendField(nil, 3, make([]byte, 300))); !strings.HasPrefix(got, "1aac02") {
		t.Errorf("field of 300 bytes: %.8s", got)
	}
}

func TestFanoutSpeaksDialects(t *testing.T) {
	t.Parallel()
	for d := range Dialect(len(dialects)) {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			t.Parallel()
			server := &fakeServer{deliver: faithful}
			o := shortFanout
			o.Dialect, o.Record, o.Tags = d, true, `{"region":"eu"}`
			r, err := o.Run(t.Context(), startFake(t, server))
			if err != nil {
				t.Fatal(err)
			}
			if r.Faults.Any() || r.Count == 0 || r.P99 <= 0 || r.BytesPerUnit < 100 {
				t.Errorf("%d deliveries, p99 %g ms, %g bytes each, faults: %s", r.Count, r.P99, r.BytesPerUnit, r.Faults)
			}
			server.mu.Lock()
			defer server.mu.Unlock()
			for _, c := range server.conns {
				if c.dialect != d {
					t.Errorf("a subscriber speaks %d, want %d", c.dialect, d)
				}
			}
			if server.tags["region"] != "eu" {
				t.Errorf("tags %v", server.tags)
			}
		})
	}
}

// Whatever is not the answer that a subscriber waits for ends it.
func TestFanoutRefusedByV2(t *testing.T) {
	t.Parallel()
	s := &swarm{swarmOptions: swarmOptions{dialect: V2MessagePack, channels: []string{"bench-0"}}}
	for name, test := range map[string]struct {
		state   state
		message string
	}{
		"error instead of greeting":  {stateGreeting, "\x9f\xadsockudo:error"},
		"error instead of success":   {stateSubscribing, "\x9f\xadsockudo:error"},
		"success of another channel": {stateSubscribing, "\x9fsockudo_internal:subscription_succeeded other"},
		"success before greeting":    {stateGreeting, "\x9fsockudo_internal:subscription_succeeded bench-0"},
		"failure of a resume":        {stateResuming, "\x9fsockudo:resume_failed bench-0"},
		"error when ready":           {stateReady, "\x9f\xadsockudo:error"},
	} {
		c := &session{swarm: s, state: test.state}
		if err := c.onMessage([]byte(test.message)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestRecord(t *testing.T) {
	var last string
	for _, size := range []int{1, 89, 100, 101, 500, 6000} {
		for seq := range uint32(20) {
			want := stamp{lane: 3, channel: 4, seq: seq * 1_000_003, slot: 5, at: 1_700_000_000_000_000_001}
			event := form{payload: size, record: true}.appendEvent(nil, "bench-4", want)
			var got struct{ Name, Channel, Data string }
			if err := json.Unmarshal(event, &got); err != nil {
				t.Fatalf("%s: %v", event, err)
			}
			if len(got.Data) != max(size, 89) || got.Channel != "bench-4" {
				t.Errorf("%d bytes of data for %q, want %d", len(got.Data), got.Channel, size)
			}
			var record struct {
				Stamp string
				Price float64
			}
			if err := json.Unmarshal([]byte(got.Data), &record); err != nil {
				t.Fatalf("%s: %v", got.Data, err)
			}
			if s, ok := parseStamp([]byte(record.Stamp)); !ok || s != want || record.Price < 10_000 || record.Price >= 100_000 {
				t.Errorf("stamp %q, price %g", record.Stamp, record.Price)
			}
			changed := 0
			for i := range min(len(last), len(got.Data)) {
				if last[i] != got.Data[i] {
					changed++
				}
			}
			if len(last) == len(got.Data) && (changed == 0 || changed > 12+size/40) {
				t.Errorf("%d of %d bytes change", changed, size)
			}
			last = got.Data
		}
	}
}

// deltaServer sends every event but the first two as a delta.
func deltaServer(spoil func(n, subscriber int) int) *fakeServer {
	return &fakeServer{deliver: func(n, subscriber int, frame []byte) (frames [][]byte) {
		message := fmt.Sprintf(`{"event":"sockudo:delta","channel":"bench-0","data":{"event":"bench","delta":"QwpB","seq":%d,"algorithm":"fossil","base_index":%d}}`, n, n-1)
		if n < 2 {
			message = fmt.Sprintf(`{"event":"bench","channel":"bench-0","data":"{\"seq\":7}","__delta_seq":%d}`, n)
		}
		for range spoil(n, subscriber) {
			frames = append(frames, serverFrame(opText, message))
		}
		return frames
	}}
}

func TestFanoutCountsDeltas(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		window int
		spoil  func(n, subscriber int) int
		want   Faults
	}{
		"paced":  {0, func(int, int) int { return 1 }, Faults{}},
		"window": {3, func(int, int) int { return 1 }, Faults{}},
		"spoiled": {0, func(n, subscriber int) int {
			switch {
			case n == 5 && subscriber == 1:
				return 0
			case n == 7:
				return 2
			}
			return 1
		}, Faults{Lost: 1, Repeated: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := shortFanout
			o.Dialect, o.Delta, o.Publishers, o.Window = V2JSON, true, 4, test.window
			if o.Window > 0 {
				o.Rate = 0
			}
			server := deltaServer(test.spoil)
			r, err := o.Run(t.Context(), startFake(t, server))
			if err != nil {
				t.Fatal(err)
			}
			if r.Faults.First = ""; r.Faults != test.want || server.published < 40 || r.Count == 0 || r.P99 != 0 {
				t.Errorf("%d published, %d counted, p99 %g, faults: %s; want: %s", server.published, r.Count, r.P99, r.Faults, test.want)
			}
		})
	}
}

func TestResumeCountsFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		replay func(subscriber int, missed [][]byte) [][]byte
		want   Faults
	}{
		"faithful": {func(_ int, missed [][]byte) [][]byte { return missed }, Faults{}},
		"spoiled": {func(subscriber int, missed [][]byte) [][]byte {
			switch subscriber {
			case 6: // the first one to come back
				return missed[1:]
			case 7:
				return append([][]byte{missed[4]}, missed...)
			}
			return missed
		}, Faults{Lost: 1, Repeated: 1, Reordered: 4, Diverged: 1}},
		"failed by one": {func(subscriber int, missed [][]byte) [][]byte {
			if subscriber == 6 {
				return [][]byte{serverFrame(opText, `{"event":"sockudo:resume_failed","channel":"bench-0","data":"{}"}`)}
			}
			return missed
		}, Faults{Lost: 5, Failed: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &fakeServer{deliver: faithful, replay: test.replay}
			o := Resume{Subscribers: 6, Channels: 2, Missed: 5, Patience: 300 * time.Millisecond}
			r, err := o.Run(t.Context(), startFake(t, server))
			if err != nil {
				t.Fatal(err)
			}
			if r.Faults.First = ""; r.Faults != test.want || r.Count != 6-test.want.Failed || server.published != 10 || r.Seconds <= 0 {
				t.Errorf("%d published, %d resumed in %g s, faults: %s; want: %s", server.published, r.Count, r.Seconds, r.Faults, test.want)
			}
		})
	}
}
