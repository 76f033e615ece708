package conformance

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/delta"
)

// rebuilder is a client that rebuilds full messages from deltas by the rule of the
// official client: the base is the text before, without the members that the server
// has added, which are cut out as text.
type rebuilder struct {
	*peer
	bases map[string]base // by channel and conflation key
	// fulls and deltas count frames that had a number.
	fulls, deltas int
}

type base struct {
	seq  uint64
	text string
}

var added = regexp.MustCompile(`,"__delta_seq":[0-9]+|,"__conflation_key":"[^"]*"`)

func (s *stage) rebuilder() *rebuilder {
	s.Helper()
	return &rebuilder{peer: s.peer(), bases: map[string]base{}}
}

// message is the next message in full, with its number: -1 if it has none.
func (r *rebuilder) message() (body string, seq int, isDelta bool) {
	r.stage.Helper()
	e := r.next()
	if e.Event != "sockudo:delta" {
		if e.DeltaSeq == nil {
			return e.text, -1, false
		}
		r.fulls++
		if !regexp.MustCompile(`,"__delta_seq":[0-9]+(,"__conflation_key":"[^"]*")?}$`).MatchString(e.text) {
			r.stage.Fatalf("members that are not the last: %s", e.text)
		}
		key := ""
		if e.DeltaKey != nil {
			key = *e.DeltaKey
		}
		body = added.ReplaceAllString(e.text, "")
		r.bases[e.Channel+" "+key] = base{*e.DeltaSeq, body}
		return body, int(*e.DeltaSeq), false
	}
	var d struct {
		Event, Delta, Algorithm string
		Key                     string `json:"conflation_key"`
		Seq                     uint64
		Base                    *uint64 `json:"base_index"`
	}
	unmarshal(r.stage, e.Data, &d)
	old, known := r.bases[e.Channel+" "+d.Key]
	algorithm, ok := delta.Parse(d.Algorithm)
	bytes, err := base64.StdEncoding.DecodeString(d.Delta)
	if !known || !ok || err != nil || d.Base == nil || *d.Base != old.seq || d.Seq != old.seq+1 {
		r.stage.Fatalf("a delta without its base: %s", e.text)
	}
	rebuilt, err := delta.Decode(algorithm, []byte(old.text), bytes, 1<<20)
	if err != nil {
		r.stage.Fatalf("%v: %s", err, e.text)
	}
	hidden, err := decodeV2(rebuilt)
	if err != nil || hidden.Event != d.Event || hidden.Channel != e.Channel || hidden.MessageID != e.MessageID ||
		hidden.StreamID != e.StreamID || number(hidden.Serial) != number(e.Serial) {
		r.stage.Fatalf("%v: %s hides %s", err, e.text, rebuilt)
	}
	if len(e.text) >= len(rebuilt) {
		r.stage.Errorf("a delta frame of %d bytes for %d", len(e.text), len(rebuilt))
	}
	r.deltas++
	r.bases[e.Channel+" "+d.Key] = base{d.Seq, string(rebuilt)}
	return string(rebuilt), int(d.Seq), true
}

// sameAs takes one message and holds it against what another client was sent.
func (r *rebuilder) sameAs(full *peer) (number int, isDelta bool) {
	r.stage.Helper()
	body, number, isDelta := r.message()
	if e := full.next(); e.text != body {
		r.stage.Fatalf("rebuilt %s\nfull    %s", body, e.text)
	}
	return number, isDelta
}

// tick is data that changes a little each time.
func tick(symbol string, n int) string {
	return compact(map[string]any{
		"symbol": symbol, "price": 1000 + n, "volume": n * n, "exchange": "somewhere in the world", "currency": "EUR",
		"note": strings.Repeat("most of this stays as it is from one message to the next, as in most streams; ", 5),
	})
}

// enable asks for deltas on every subscription and takes the answer.
func (p *peer) enable(want string) {
	p.stage.Helper()
	p.send("sockudo:enable_delta_compression", "", map[string]any{"algorithms": []string{"fossil", "xdelta3"}})
	p.expect(`{"event":"sockudo:delta_compression_enabled","data":{` + want + `},"message_id":"…"}`)
}

func numbersOf(n, every int) (fulls []int) {
	for i := range n {
		if i == 0 || (i-1)%every == 0 {
			fulls = append(fulls, i)
		}
	}
	return fulls
}

// Checklist: protocol 181, 182, 183, 184, 185, 195
func TestV2Deltas(t *testing.T) {
	s := inDialect(t, needV2(t), inJSON)
	for name, prepare := range map[string]func(r *rebuilder, channel string){
		"enabled before": func(r *rebuilder, channel string) {
			r.enable(`"enabled":true,"algorithm":"fossil"`)
			r.join(channel)
		},
		"enabled after": func(r *rebuilder, channel string) {
			r.join(channel)
			r.enable(`"enabled":true,"algorithm":"fossil"`)
		},
		"fossil":  wants(`"fossil"`, "fossil"),
		"xdelta3": wants(`"xdelta3"`, "xdelta3"),
		"vcdiff":  wants(`"vcdiff"`, "xdelta3"),
		"true":    wants(`true`, "fossil"),
		"other":   wants(`"other"`, "fossil"),
		"object":  wants(`{"enabled":true,"algorithm":"xdelta3"}`, "xdelta3"),
	} {
		t.Run(name, func(t *testing.T) {
			s := inDialect(t, s.server, inJSON)
			ticker := s.own("ticker")
			full, old, r := s.peer(), s.old(), s.rebuilder()
			full.join(ticker)
			old.join(ticker)
			prepare(r, ticker)
			var fulls []int
			for n := range 30 {
				s.tell(ticker, []string{"tick", "tock"}[n/2%2], tick("BTC", n))
				number, isDelta := r.sameAs(full)
				if number != n {
					t.Fatalf("number %d, want %d", number, n)
				}
				if !isDelta {
					fulls = append(fulls, n)
				}
				if e := old.next(); e.inner(s) != tick("BTC", n) {
					t.Errorf("V1 got %s", e.text)
				}
			}
			if want := numbersOf(30, 11); !slices.Equal(fulls, want) {
				t.Errorf("full at %v, want %v", fulls, want)
			}
		})
	}
}

// wants subscribes with a wish for deltas, which is confirmed.
func wants(wish, algorithm string) func(*rebuilder, string) {
	return func(r *rebuilder, channel string) {
		r.stage.Helper()
		r.joinWith(channel, "", `"delta":`+wish)
		r.expect(`{"event":"sockudo:delta_compression_enabled","data":{"enabled":true,"algorithm":"` + algorithm + `","channel":"` + plain(channel) + `"},"message_id":"…"}`)
	}
}

// Checklist: protocol 186, 187, 191, 192
func TestV2DeltasWhereTheyArePossible(t *testing.T) {
	s := inDialect(t, needV2(t), inJSON)
	ticker, vault, off, room := s.own("ticker"), s.own("private-encrypted-vault"), "off"+s.own("x"), s.own("private-room")
	r, full := s.rebuilder(), s.peer()
	r.enable(`"enabled":true,"algorithm":"fossil"`)
	for _, channel := range []string{ticker, vault, off, room} {
		r.join(channel)
		full.join(channel)
	}
	r.joinWith(off, "", `"delta":"fossil"`)
	r.expect(`{"event":"sockudo:delta_compression_enabled","data":{"enabled":false,"algorithm":"fossil","channel":"offx"},"message_id":"…"}`)
	r.joinWith(vault, "", `"delta":"fossil"`)
	r.expect(`{"event":"sockudo:delta_compression_enabled","data":{"enabled":false,"algorithm":"fossil","channel":"private-encrypted-vault"},"message_id":"…"}`)
	next := func(want int, wantDelta bool) {
		t.Helper()
		if number, isDelta := r.sameAs(full); number != want || isDelta != wantDelta {
			t.Errorf("number %d (delta: %t), want %d (%t)", number, isDelta, want, wantDelta)
		}
	}
	for n := range 3 {
		for _, channel := range []string{vault, off} {
			s.tell(channel, "tick", tick("BTC", n))
			next(-1, false)
		}
		s.tell(ticker, "tick", tick("BTC", n))
		next(n, n == 2)
	}
	s.publish(`{"name":"tick","channel":"` + ticker + `","data":` + compact(tick("ETH", 9)) + `,"delta":false}`)
	next(-1, false)
	s.tell(ticker, "tick", tick("BTC", 3))
	next(3, true)
	s.publish(`{"name":"tick","channel":"` + ticker + `","data":` + compact(tick("BTC", 4)) + `,"extras":{"ephemeral":true}}`)
	next(4, true)
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300)
	for i := range noise {
		noise[i] = byte(33 + random.IntN(90))
	}
	s.tell(ticker, "noise", string(noise))
	next(5, false)
	s.tell(ticker, "tick", "short")
	next(6, false)
	s.tell(ticker, "tick", tick("BTC", 5))
	next(7, false)
	s.tell(ticker, "other", tick("BTC", 6))
	next(8, true)
	// What clients say takes no part.
	for n := range 3 {
		full.send("client-tick", room, tick("BTC", n))
		next(-1, false)
	}
}

// Checklist: protocol 184, 188
func TestV2ConflationKeys(t *testing.T) {
	s := inDialect(t, needV2(t), inJSON)
	keyed := "keyed" + s.own("x")
	r, full := s.rebuilder(), s.peer()
	full.join(keyed)
	wants("true", "fossil")(r, keyed)
	counts := map[string]int{}
	for n := range 20 {
		symbol := []string{"BTC", "ETH", "BTC", ""}[n%4]
		data := tick(symbol, n)
		if symbol == "" {
			data = strings.Replace(data, `"symbol"`, `"other"`, 1)
		}
		s.tell(keyed, "tick", data)
		number, isDelta := r.sameAs(full)
		if number != counts[symbol] || isDelta == (number == 0 || number == 1) {
			t.Errorf("%s: number %d (delta: %t), want %d", symbol, number, isDelta, counts[symbol])
		}
		counts[symbol]++
	}
}

// Checklist: protocol 189, 190
func TestV2DeltasBeginAgain(t *testing.T) {
	s := inDialect(t, needV2(t), inJSON)
	ticker := s.own("ticker")
	r, full := s.rebuilder(), s.peer()
	r.enable(`"enabled":true,"algorithm":"fossil"`)
	r.join(ticker)
	full.join(ticker)
	run := func() {
		t.Helper()
		for n := range 4 {
			s.tell(ticker, "tick", tick("BTC", n))
			if number, isDelta := r.sameAs(full); number != n || isDelta != (n > 1) {
				t.Errorf("number %d (delta: %t), want %d", number, isDelta, n)
			}
		}
	}
	run()
	r.send("sockudo:delta_sync_error", "", map[string]any{"channel": ticker})
	r.pong()
	run()
	r.send("sockudo:delta_sync_error", "", map[string]any{"channel": "another"})
	r.leave(ticker)
	r.join(ticker)
	run()
	r.enable(`"enabled":true,"algorithm":"fossil"`)
	run()
	r.joinWith(ticker, "", `"delta":false`)
	s.tell(ticker, "tick", tick("BTC", 1))
	if number, isDelta := r.sameAs(full); number != -1 || isDelta {
		t.Errorf("number %d (delta: %t) without deltas", number, isDelta)
	}
}

// pong proves that the server has read everything before.
func (p *peer) pong() {
	p.stage.Helper()
	p.send(p.prefix+":ping", "", nil)
	p.event(p.prefix + ":pong")
}

// Checklist: protocol 181, 193, 194
func TestV2DeltasOnlyInJSON(t *testing.T) {
	inEncodings(t, func(s *stage) {
		ticker := s.own("ticker")
		p, old := s.peer(), s.old()
		if s.dialect.name != "json" {
			p.enable(`"enabled":false,"algorithm":"fossil"`)
			p.joinWith(ticker, "", `"delta":"xdelta3"`)
			p.expect(`{"event":"sockudo:delta_compression_enabled","data":{"enabled":false,"algorithm":"xdelta3","channel":"ticker"},"message_id":"…"}`)
		} else {
			p.join(ticker)
		}
		old.send("pusher:enable_delta_compression", "", map[string]any{"algorithms": []string{"fossil"}})
		old.joinWith(ticker, "", `"delta":"fossil"`)
		old.send("pusher:delta_sync_error", "", map[string]any{"channel": ticker})
		for n := range 4 {
			s.tell(ticker, "tick", tick("BTC", n))
			if e := p.event("tick"); e.DeltaSeq != nil || e.inner(s) != tick("BTC", n) {
				s.Errorf("%s", e.text)
			}
			if e := old.event("tick"); e.inner(s) != tick("BTC", n) {
				s.Errorf("%s", e.text)
			}
		}
	})
}

// Deltas go together with filters, patterns, resumes and reloads: whatever a client is
// sent, it can rebuild.
//
// Checklist: protocol 82, 157, 183, 195
func TestV2DeltasWithEverything(t *testing.T) {
	s := inDialect(t, needV2(t), inJSON)
	ticker := s.own("ticker") + ".eu"
	const filter = `"filter":{"tags":{"key":"n","cmp":"neq","val":"3"}}`
	r, full := s.rebuilder(), s.peer()
	connect := func() {
		t.Helper()
		r.joinWith(ticker, "", filter)
		r.joinWith(s.own("ticker")+".*", "", `"delta":"xdelta3",`+filter)
		r.event("sockudo:delta_compression_enabled")
	}
	connect()
	full.join(ticker)
	publish := func(n int) {
		s.publish(fmt.Sprintf(`{"name":"tick","channel":%s,"data":%s,"tags":{"n":"%d"}}`, compact(ticker), compact(tick("BTC", n)), n%5))
	}
	same := func(n int) (number int, isDelta bool) {
		t.Helper()
		if n%5 == 3 {
			full.event("tick") // which the filter holds back
			return -1, false
		}
		return r.sameAs(full)
	}
	t.Cleanup(func() { reload(s, 0) })
	for n := range 25 {
		if n == 12 {
			reload(s, 3)
		}
		publish(n)
		same(n)
	}
	if r.deltas < 12 {
		t.Errorf("%d deltas: this shows nothing", r.deltas)
	}
	r.mu.Lock()
	last := r.heard[len(r.heard)-1].at()
	r.mu.Unlock()
	r.drop()
	for n := 25; n < 30; n++ {
		publish(n)
	}
	r = s.rebuilder()
	connect()
	r.resume(map[string]position{ticker: last})
	for n := 25; n < 30; n++ {
		if number, isDelta := same(n); number != -1 || isDelta {
			t.Errorf("number %d (delta: %t) of what was missed", number, isDelta)
		}
	}
	r.event("sockudo:resume_success")
	for n := 30; n < 33; n++ {
		publish(n)
		same(n)
	}
}
