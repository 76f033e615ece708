package delta

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Checklist: protocol 184
func TestMembersStandLast(t *testing.T) {
	const text = `{"event":"tick","channel":"ticker","data":"{}","message_id":"a1","stream_id":"0d6c","serial":7}`
	for _, one := range []struct {
		key    string
		hasKey bool
		want   string
	}{
		{"", false, `,"__delta_seq":7}`},
		{"BTC", true, `,"__delta_seq":7,"__conflation_key":"BTC"}`},
		{"", true, `,"__delta_seq":7,"__conflation_key":""}`},
	} {
		frame := AppendMembers([]byte("before"), []byte(text), 7, one.key, one.hasKey)
		if want := "before" + strings.TrimSuffix(text, "}") + one.want; string(frame) != want {
			t.Errorf("%s, want %s", frame, want)
		}
		if got := strip(frame[6:]); string(got) != text {
			t.Errorf("clients make %s of it", got)
		}
	}
	for _, text := range []string{"", "{}", "null", `"{"a":1}"`} {
		if got := AppendMembers(nil, []byte(text), 7, "", false); string(got) != text {
			t.Errorf("%s of %s", got, text)
		}
	}
}

// Checklist: protocol 195
func TestDeltaFramesAreWrittenInThisOrder(t *testing.T) {
	f := Frame{
		Channel: "ticker", Event: `ti"ck`, Delta: []byte{0x42, 0x0a, 0x41, 0xff}, Seq: 2, BaseIndex: 1,
		Key: "BTC", HasKey: true, MessageID: "a1", StreamID: "0d6c", Serial: 9, HasSerial: true,
	}
	check := func(want string) {
		t.Helper()
		if got := string(AppendFrame([]byte("before"), f)); got != "before"+want || !json.Valid([]byte(want)) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	check(`{"event":"sockudo:delta","channel":"ticker","data":{"event":"ti\"ck","delta":"QgpB/w==","seq":2,` +
		`"algorithm":"fossil","conflation_key":"BTC","base_index":1},"message_id":"a1","stream_id":"0d6c","serial":9}`)
	f.Algorithm, f.HasKey, f.StreamID, f.HasSerial = XDelta3, false, "", false
	check(`{"event":"sockudo:delta","channel":"ticker","data":{"event":"ti\"ck","delta":"QgpB/w==","seq":2,` +
		`"algorithm":"xdelta3","base_index":1},"message_id":"a1"}`)
	f.OmitAlgorithm, f.MessageID = true, ""
	check(`{"event":"sockudo:delta","channel":"ticker","data":{"event":"ti\"ck","delta":"QgpB/w==","seq":2,"base_index":1}}`)
}

func TestSharedComputesEachDeltaOnce(t *testing.T) {
	var s Shared
	base, target := message(1), message(2)
	for _, a := range algorithms {
		first, second := s.Delta(a, base, target), s.Delta(a, base, target)
		if len(first) == 0 || &first[0] != &second[0] {
			t.Errorf("%s: computed twice", a)
		}
		if got, err := Decode(a, base.Bytes(), first, 1<<10); err != nil || string(got) != string(target.Bytes()) {
			t.Errorf("%s: %q, %v", a, got, err)
		}
	}
	if d := s.Delta(Fossil, NewText([]byte(`{"a":1}`)), target); d != nil {
		t.Errorf("a delta of %d bytes for a text of %d", len(d), len(target.Bytes()))
	}
	for i := range 2 * maxShared {
		if len(s.Delta(XDelta3, message(100+i), target)) == 0 {
			t.Fatal("no delta beyond the bound")
		}
	}
	if len(s.deltas) != maxShared {
		t.Errorf("%d deltas are kept", len(s.deltas))
	}
}

// TestSharedIsForManyGoroutines is for the race detector.
func TestSharedIsForManyGoroutines(t *testing.T) {
	var s Shared
	target := message(0)
	bases := []*Text{message(1), message(2), message(3)}
	done := make(chan string)
	for range 8 {
		go func() {
			got := ""
			for _, base := range bases {
				got += fmt.Sprintf("%p ", s.Delta(Fossil, base, target))
			}
			done <- got
		}()
	}
	first := <-done
	for range 7 {
		if got := <-done; got != first {
			t.Errorf("%s and %s", got, first)
		}
	}
}
