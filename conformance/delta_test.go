package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/delta"
)

// deltaTask is one line for clients/delta.mjs.
type deltaTask struct {
	Algorithm string `json:"algorithm,omitempty"`
	Base      []byte `json:"base,omitempty"`
	Delta     []byte `json:"delta,omitempty"`
	Target    []byte `json:"target,omitempty"`

	Socket string `json:"socket,omitempty"`
	Frame  string `json:"frame,omitempty"`
	Text   string `json:"text,omitempty"`
}

// TestDeltaDecoders gives deltas and frames of ours to the decoders that the official
// JavaScript client is built with.
func TestDeltaDecoders(t *testing.T) {
	if testing.Short() {
		t.Skip("outside clients are not part of a short run")
	}
	needNode(t)
	var tasks bytes.Buffer
	lines := json.NewEncoder(&tasks)
	want := struct{ Decoded, Rebuilt, Deltas int }{}
	for _, a := range []delta.Algorithm{delta.Fossil, delta.XDelta3} {
		for _, pair := range textPairs() {
			base, target := pair[0], pair[1]
			task := deltaTask{Algorithm: a.String(), Base: base, Delta: delta.Encode(a, base, target), Target: target}
			if err := lines.Encode(task); err != nil {
				t.Fatal(err)
			}
			want.Decoded++
		}
		for _, keyed := range []bool{false, true} {
			for _, task := range deltaFrames(a, keyed) {
				if err := lines.Encode(task); err != nil {
					t.Fatal(err)
				}
				want.Rebuilt++
				if strings.HasPrefix(task.Frame, `{"event":"sockudo:delta"`) {
					want.Deltas++
				}
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join("clients", "delta.mjs"))
	cmd.Stdin = &tasks
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := want
	got.Decoded, got.Rebuilt, got.Deltas = 0, 0, 0
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%.4000s", err, out)
	}
	if got != want || want.Deltas == 0 {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// textPairs are texts that differ in every way, the same in each run.
func textPairs() (pairs [][2][]byte) {
	r := rand.New(rand.NewPCG(3, 4))
	large := quotes(r, 100<<10)
	pairs = [][2][]byte{
		{nil, large[:500]},
		{large[:500], nil},
		{large[:500], large[:500]},
		{[]byte("a"), []byte("b")},
		{bytes.Repeat([]byte("a"), 9000), bytes.Repeat([]byte("b"), 9000)},
		{bytes.Repeat([]byte("ab"), 9000), bytes.Repeat([]byte("ba"), 8000)},
		{large, append(bytes.Clone(large[50<<10:]), large[:50<<10]...)},
		{large, quotes(r, 100<<10)},
	}
	for range 300 {
		base := quotes(r, 20+r.IntN(2000))
		target := bytes.Clone(base)
		for range r.IntN(6) {
			at := r.IntN(len(target))
			n := min(r.IntN(20), len(target)-at)
			target = append(target[:at:at], append(quotes(r, r.IntN(20)), target[at+n:]...)...)
		}
		pairs = append(pairs, [2][]byte{base, target})
	}
	return pairs
}

func quotes(r *rand.Rand, size int) []byte {
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, `{"symbol":"S%d","price":%.2f,"venue":"ünïcode"},`, r.IntN(50), r.Float64()*1000)
	}
	return b.Bytes()
}

// deltaFrames are the frames that one socket gets.
func deltaFrames(a delta.Algorithm, keyed bool) (tasks []deltaTask) {
	r := rand.New(rand.NewPCG(5, 6))
	set := delta.DefaultSettings()
	set.Keyed = keyed
	var s delta.Sequence
	for i := range 200 {
		key := []string{"BTC", "ETH", ""}[r.IntN(3)]
		event := []string{"tick", "trade"}[r.IntN(2)]
		text := delta.NewText(fmt.Appendf(nil, `{"event":"%s","channel":"c","data":"{\"symbol\":\"%s\",\"price\":%d,\"rest\":\"%s\"}","serial":%d}`,
			event, key, r.IntN(1000), strings.Repeat("ünchanged ", 40), i))
		d := s.Next(key, text, 1, set)
		frame := delta.AppendMembers(nil, text.Bytes(), d.Seq, d.Key, d.HasKey)
		if !d.Full {
			frame = delta.AppendFrame(nil, delta.Frame{
				Channel: "c", Event: event, Delta: delta.Encode(a, d.Base.Bytes(), text.Bytes()), Algorithm: a,
				Seq: d.Seq, BaseIndex: d.BaseIndex, Key: d.Key, HasKey: d.HasKey, MessageID: "a1", Serial: uint64(i), HasSerial: true,
			})
		}
		tasks = append(tasks, deltaTask{Socket: fmt.Sprint(a, keyed), Frame: string(frame), Text: string(text.Bytes())})
	}
	return tasks
}
