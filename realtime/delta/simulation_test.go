package delta

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// socket is what a server does for one subscription, up to the frames.
type socket struct {
	sequence  Sequence
	set       Settings
	algorithm Algorithm
	omit      bool
	deltas    int
}

// send is the frame in which an event goes out.
func (s *socket) send(t *testing.T, shared *Shared, event, key string, text *Text, now int64) []byte {
	t.Helper()
	d := s.sequence.Next(key, text, now, s.set)
	full := AppendMembers(nil, text.Bytes(), d.Seq, d.Key, d.HasKey)
	if d.Full {
		return full
	}
	if delta := shared.Delta(s.algorithm, d.Base, text); delta != nil {
		frame := AppendFrame(nil, Frame{
			Channel: "ticker", Event: event, Delta: delta, Seq: d.Seq, BaseIndex: d.BaseIndex,
			Algorithm: s.algorithm, OmitAlgorithm: s.omit, Key: d.Key, HasKey: d.HasKey, MessageID: "a1",
		})
		if len(frame) < len(full) {
			s.deltas++
			return frame
		}
	}
	s.sequence.SentFull(d)
	return full
}

// publication is one message of a channel.
type publication struct {
	event, key string
	text       *Text
	plain      bool // published with "delta": false
}

func publications(r *rand.Rand, i int) publication {
	p := publication{
		event: []string{"tick", "trade"}[r.IntN(2)],
		key:   []string{"BTC", "ETH", "XRP", "DOGE", "", `no"key`}[r.IntN(6)],
		plain: r.IntN(15) == 0,
	}
	var rest string
	switch r.IntN(8) {
	case 0:
		rest = fmt.Sprintf(`\"noise\":\"%x\"`, random(r, r.IntN(300)))
	case 1:
		rest = fmt.Sprintf(`\"__delta_seq\":%d,\"ünïcode\":\"%s\"`, i, strings.Repeat("é", r.IntN(50)))
	default:
		rest = fmt.Sprintf(`\"open\":%d,\"venue\":\"%s\"`, 59000+r.IntN(3), strings.Repeat("XETR ", r.IntN(200)))
	}
	text := fmt.Sprintf(`{"event":"%s","channel":"ticker","data":"{\"symbol\":\"%s\",\"price\":%d,%s}","message_id":"%s","serial":%d`,
		p.event, strings.ReplaceAll(p.key, `"`, ""), r.IntN(1e6), rest, uuid(i), i)
	if r.IntN(12) == 0 {
		text += `,"extras":{"x":1,"__delta_seq":3,"__conflation_key":"BTC"}`
	}
	p.text = NewText([]byte(text + "}"))
	return p
}

// TestClientsRebuildEveryText plays random schedules to the official JavaScript
// client: publishes of several event names and keys, some that a filter keeps from a
// socket, some without deltas; sequences that expire, are evicted, or are begun anew
// with and without the client knowing; and key paths that come and go.
//
// Checklist: protocol 183, 187, 188, 191
func TestClientsRebuildEveryText(t *testing.T) {
	deltas := 0
	for schedule := range uint64(40) {
		r := rand.New(rand.NewPCG(schedule, 7))
		set := DefaultSettings()
		set.Keyed = r.IntN(2) == 0
		set.FullInterval, set.MinSize, set.MaxKeys = 1+r.IntN(12), r.IntN(300), 1+r.IntN(6)
		sockets := make([]*socket, 4)
		clients := make([]*client, len(sockets))
		for i := range sockets {
			sockets[i] = &socket{set: set, algorithm: algorithms[r.IntN(2)], omit: r.IntN(2) == 0}
			clients[i] = &client{algorithm: sockets[i].algorithm.String()}
		}
		now := int64(1)
		for i := range 400 {
			now += int64(r.IntN(int(time.Second)))
			if r.IntN(40) == 0 {
				now += int64(set.MaxAge)
			}
			p := publications(r, i)
			shared := new(Shared)
			for n, s := range sockets {
				disturb(r, s, clients[n], now)
				if r.IntN(5) == 0 {
					continue // filtered
				}
				frame := p.text.Bytes()
				if !p.plain {
					frame = s.send(t, shared, p.event, p.key, p.text, now)
				}
				got, err := clients[n].take(frame)
				spoilt := p.text.opaque && !p.plain // the client cuts too much, and shows the message all the same
				if err != nil || !spoilt && !bytes.Equal(got, p.text.Bytes()) {
					t.Fatalf("schedule %d, message %d, socket %d: %v\nframe %s\ngot   %s\nwant  %s", schedule, i, n, err, frame, got, p.text.Bytes())
				}
			}
		}
		for _, s := range sockets {
			deltas += s.deltas
		}
	}
	if deltas < 5_000 {
		t.Errorf("only %d deltas in all schedules", deltas)
	}
}

// disturb does to a socket what happens between two messages, now and then.
func disturb(r *rand.Rand, s *socket, c *client, now int64) {
	switch r.IntN(150) {
	case 0: // the client asks for a new start, or subscribes again
		s.sequence.Forget()
		c.forget()
	case 1: // the client asks for deltas again, and keeps what it has
		s.sequence.Restart()
	case 2:
		s.sequence.Release(now, s.set)
	case 3: // another configuration
		s.set.Keyed = !s.set.Keyed
	case 4:
		s.set.MaxKeys = 1 + r.IntN(6)
	}
}

// TestNothingOldIsTakenForABase shows what hold is for: the client does not know that
// a sequence has begun anew, and still has messages with the same numbers.
func TestNothingOldIsTakenForABase(t *testing.T) {
	for before := range 70 {
		s := socket{set: DefaultSettings()}
		s.set.Keyed = true
		c := client{}
		first := 0
		for i := range before + 60 {
			if i == before {
				s.sequence.Restart()
			}
			text := message(i)
			deltas := s.deltas
			frame := s.send(t, new(Shared), "tick", "BTC", text, 1)
			if got, err := c.take(frame); err != nil || !bytes.Equal(got, text.Bytes()) {
				t.Fatalf("message %d, restart at %d: %v", i, before, err)
			}
			if i >= before && first == 0 && s.deltas > deltas {
				first = i - before
			}
		}
		want := 2
		if before < clientMemory {
			want = max(2, before+1)
		}
		if first != want {
			t.Errorf("restart at %d: the first delta is number %d, want %d", before, first, want)
		}
	}
}
