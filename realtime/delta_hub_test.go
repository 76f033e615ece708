package realtime_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/delta"
	"github.com/sockudo/caddy-sockudo/storage"
)

// rebuilder rebuilds events from deltas as the official client does: one base for
// each channel and conflation key, the two members cut out by regular expressions.
type rebuilder struct {
	t     *testing.T
	bases map[string]string
	seq   map[string]uint64
	count map[string]int // by kind
}

var (
	seqMember = regexp.MustCompile(`,"__delta_seq":\d+`)
	keyMember = regexp.MustCompile(`,"__conflation_key":"[^"]*"`)
)

func newRebuilder(t *testing.T) *rebuilder {
	return &rebuilder{t: t, bases: map[string]string{}, seq: map[string]uint64{}, count: map[string]int{}}
}

// take gives the full text that a frame stands for.
func (r *rebuilder) take(text string) string {
	r.t.Helper()
	var f struct {
		Event, Channel string
		Data           json.RawMessage
		Seq            *uint64 `json:"__delta_seq"`
		Key            string  `json:"__conflation_key"`
	}
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		r.t.Fatal(err)
	}
	if f.Event != "sockudo:delta" {
		if f.Seq == nil {
			r.count["plain"]++
			return text
		}
		r.count["full"]++
		if !strings.HasSuffix(text, fmt.Sprintf(`,"__delta_seq":%d}`, *f.Seq)) && !strings.HasSuffix(text, fmt.Sprintf(`,"__conflation_key":%q}`, f.Key)) {
			r.t.Errorf("the members are not the last: %s", text)
		}
		text = keyMember.ReplaceAllString(seqMember.ReplaceAllString(text, ""), "")
		r.bases[f.Channel+"/"+f.Key], r.seq[f.Channel+"/"+f.Key] = text, *f.Seq
		return text
	}
	r.count["delta"]++
	var d struct {
		Event, Delta, Algorithm string
		Key                     string `json:"conflation_key"`
		Seq                     uint64
		Base                    uint64 `json:"base_index"`
	}
	if err := json.Unmarshal(f.Data, &d); err != nil {
		r.t.Fatal(err)
	}
	place := f.Channel + "/" + d.Key
	if d.Base != r.seq[place] || d.Seq != d.Base+1 {
		r.t.Fatalf("delta %d on %d, where the base is %d", d.Seq, d.Base, r.seq[place])
	}
	algorithm, ok := delta.Parse(d.Algorithm)
	made, err := base64.StdEncoding.DecodeString(d.Delta)
	if !ok || err != nil {
		r.t.Fatal(d.Algorithm, err)
	}
	rebuilt, err := delta.Decode(algorithm, []byte(r.bases[place]), made, 1<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	r.bases[place], r.seq[place] = string(rebuilt), d.Seq
	var outer, inner frame
	if json.Unmarshal([]byte(text), &outer) != nil || json.Unmarshal(rebuilt, &inner) != nil || outer.MessageID != inner.MessageID || outer.StreamID != inner.StreamID {
		r.t.Errorf("%s hides %s", text, rebuilt)
	}
	return string(rebuilt)
}

func tick(symbol string, n int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"symbol":%q,"price":%d,"venue":"a venue whose name does not change","currency":"EUR","note":%q}`, symbol, 1000+n, strings.Repeat("what stays the same ", 25)))
}

// Checklist: protocol 181, 182, 183, 184, 185, 187, 195
func TestDeltas(t *testing.T) {
	for _, algorithm := range []string{"fossil", "xdelta3"} {
		f := newFixture(t, func(a *storage.App, s *realtime.Settings) { s.Recovery.Enabled, s.Delta.Algorithm = true, algorithm })
		p, witness, v1 := f.dialV2(""), f.dialV2(""), f.dial()
		p.enter("ticker")
		witness.enter("ticker")
		v1.join("ticker", "")
		v1.send("pusher:enable_delta_compression", "", map[string]any{"algorithms": []string{"fossil"}})
		p.send("sockudo:enable_delta_compression", "", map[string]any{"algorithms": []string{"xdelta3"}})
		if e := p.next("sockudo:delta_compression_enabled", ""); string(e.Data) != `{"enabled":true,"algorithm":"`+algorithm+`"}` || e.MessageID == "" {
			t.Fatalf("%s", e.Data)
		}
		r := newRebuilder(t)
		for i := range 40 {
			f.say(realtime.Event{Channel: "ticker", Name: []string{"tick", "tock"}[i%2], Data: tick("BTC", i)})
			text := p.expect()
			if full := witness.expect(); r.take(text) != full {
				t.Fatalf("%s\nstands for %s\nwant      %s", text, r.bases["ticker/"], full)
			}
			v1.expect(`"channel":"ticker"`)
		}
		// Full at 0, 1, 12, 23 and 34.
		if r.count["full"] != 5 || r.count["delta"] != 35 {
			t.Errorf("%s: %v", algorithm, r.count)
		}
	}
}

// Checklist: protocol 186, 188, 189, 190, 191, 192, 194
func TestDeltasOfSubscriptions(t *testing.T) {
	f := newFixture(t, func(a *storage.App, s *realtime.Settings) {
		s.Delta.KeyPath = "data.symbol"
		a.Delta = map[string]storage.ChannelDelta{"quiet-*": {Disabled: true}, "plain": {ConflationKey: "data.none"}}
	})
	p := f.dialV2("")
	subscribe := func(channel string, d any, want string) {
		t.Helper()
		data := map[string]any{"channel": channel, "delta": d}
		if strings.HasPrefix(channel, "private-") {
			data["auth"] = auth(p, channel)
		}
		p.send("sockudo:subscribe", "", data)
		p.next("sockudo_internal:subscription_succeeded", channel)
		if want == "" {
			p.quietV2()
		} else if e := p.next("sockudo:delta_compression_enabled", ""); string(e.Data) != want {
			t.Errorf("%v: %s", d, e.Data)
		}
	}
	subscribe("ticker", "vcdiff", `{"enabled":true,"algorithm":"xdelta3","channel":"ticker"}`)
	subscribe("other", map[string]any{"enabled": true}, `{"enabled":true,"algorithm":"fossil","channel":"other"}`)
	subscribe("off", false, "")
	subscribe("quiet-x", true, `{"enabled":false,"algorithm":"fossil","channel":"quiet-x"}`)
	subscribe("private-encrypted-x", true, `{"enabled":false,"algorithm":"fossil","channel":"private-encrypted-x"}`)
	r := newRebuilder(t)
	say := func(channel, symbol string, n int, full bool) string {
		t.Helper()
		f.say(realtime.Event{Channel: channel, Name: "tick", Data: tick(symbol, n), Full: full})
		text := p.expect()
		r.take(text)
		return text
	}
	for i := range 4 {
		say("ticker", "BTC", i, false)
		say("ticker", "ETH", i, false)
	}
	if r.count["full"] != 4 || r.count["delta"] != 4 || r.seq["ticker/BTC"] != 3 || r.seq["ticker/ETH"] != 3 {
		t.Errorf("%v %v", r.count, r.seq)
	}
	if text := say("ticker", "BTC", 9, true); strings.Contains(text, "__delta") || strings.Contains(text, "sockudo:delta") {
		t.Errorf("an event that must be full: %s", text)
	}
	if text := say("ticker", "BTC", 10, false); !strings.Contains(text, "sockudo:delta") {
		t.Errorf("after a full one: %s", text)
	}
	for _, channel := range []string{"off", "quiet-x", "private-encrypted-x"} {
		for i := range 4 {
			if text := say(channel, "BTC", i, false); strings.Contains(text, "delta") {
				t.Errorf("%s: %s", channel, text)
			}
		}
	}
	p.send("sockudo:delta_sync_error", "", map[string]any{"channel": "ticker"})
	if text := say("ticker", "BTC", 11, false); !strings.Contains(text, `"__delta_seq":0`) {
		t.Errorf("after the loss of a base: %s", text)
	}
	p.send("sockudo:unsubscribe", "", map[string]any{"channel": "ticker"})
	subscribe("ticker", true, `{"enabled":true,"algorithm":"fossil","channel":"ticker"}`)
	if text := say("ticker", "BTC", 12, false); !strings.Contains(text, `"__delta_seq":0`) {
		t.Errorf("after another subscription: %s", text)
	}

	binary, e := f.tryDial(realtime.Handshake{Key: "app-key", Terms: terms(t, "format=msgpack")})
	if e != nil {
		t.Fatal(e)
	}
	for range 3 {
		binary.conn.Receive(packed("sockudo:enable_delta_compression", "{}"))
	}
	binary.conn.Receive(packed("sockudo:subscribe", `{"channel":"ticker","delta":true}`))
	for i := range 5 {
		say("ticker", "BTC", i, false)
	}
	binary.quietAfter(t, func(frames []string) {
		text := strings.Join(frames, "\n")
		if strings.Contains(text, "sockudo:delta\xc0") || strings.Contains(text, "__delta") || strings.Count(text, "tick") < 5 {
			t.Errorf("%q", text)
		}
	})
}

// packed is a message in MessagePack.
func packed(event, data string) []byte {
	b := append([]byte{0x82, 0xa5}, "event"...)
	b = append(append(b, 0xd9, byte(len(event))), event...)
	b = append(append(b, 0xa4), "data"...)
	b = append(append(b, 0x92, 0xa4), "json"...)
	return append(append(b, 0xd9, byte(len(data))), data...)
}
