package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// frame is a message as V2 clients get it in JSON.
type frame struct {
	Event     string          `json:"event"`
	Channel   string          `json:"channel"`
	Data      json.RawMessage `json:"data"`
	UserID    string          `json:"user_id"`
	Name      string          `json:"name"`
	Tags      json.RawMessage `json:"tags"`
	MessageID string          `json:"message_id"`
	StreamID  string          `json:"stream_id"`
	Serial    *uint64         `json:"serial"`
	Extras    json.RawMessage `json:"extras"`
}

// text is the value of string data.
func (f frame) text() string {
	var s string
	_ = json.Unmarshal(f.Data, &s)
	return s
}

func parseFrame(t testing.TB, text string) frame {
	t.Helper()
	var f frame
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

// terms are those of a V2 handshake with more parameters.
func terms(t testing.TB, query string) protocol.Terms {
	t.Helper()
	terms, err := protocol.Negotiate("protocol=2&" + query)
	if err != nil {
		t.Fatal(err)
	}
	return terms
}

func (f *fixture) dialV2(query string) *peer {
	f.t.Helper()
	p, e := f.tryDial(realtime.Handshake{Key: "app-key", Terms: terms(f.t, query)})
	if e != nil {
		f.t.Fatal(e)
	}
	p.next("sockudo:connection_established", "")
	return p
}

// next waits for the next frame, which must be of an event and a channel.
func (p *peer) next(event, channel string) frame {
	p.t.Helper()
	f := parseFrame(p.t, p.expect())
	if f.Event != event || f.Channel != channel {
		p.t.Fatalf("got %+v %s\nwant %s on %s", f, f.Data, event, channel)
	}
	return f
}

// quietV2 is quiet for V2 clients.
func (p *peer) quietV2() {
	p.t.Helper()
	time.Sleep(20 * time.Millisecond)
	p.send("sockudo:ping", "", nil)
	p.expectExact(`{"event":"sockudo:pong"}`)
}

// lost is a connection that has ended without a closing handshake.
func (p *peer) lost() { p.conn.Disconnect(false) }

func (p *peer) refusedV2(code int, channel string, parts ...string) {
	p.t.Helper()
	p.expect(append([]string{"sockudo:error", fmt.Sprintf(`"code":%d`, code)}, parts...)...)
	p.next("sockudo:subscription_error", channel)
}

// say publishes an event with what only V2 clients get.
func (f *fixture) say(e realtime.Event) {
	f.t.Helper()
	if err := f.trySay(e); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) trySay(e realtime.Event) error {
	live, err := f.hub.Live()
	if err != nil {
		return err
	}
	defer live.Release()
	e.Data, _ = protocol.EventData(e.Data)
	_, err = live.Publish(context.Background(), f.app(), e)
	return err
}

func extras(t testing.TB, text string) *protocol.Extras {
	t.Helper()
	x, err := protocol.ParseExtras(json.RawMessage(text), protocol.ExtrasRules{Ephemeral: true, Echo: true})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// resume asks to go on after positions, which are channel, stream id and serial.
func (p *peer) resume(positions ...protocol.Position) {
	channels := map[string]any{}
	for _, pos := range positions {
		channels[pos.Channel] = map[string]any{"stream_id": pos.StreamID, "serial": pos.Serial, "last_message_id": pos.LastMessageID}
	}
	text, _ := json.Marshal(map[string]any{"channel_positions": channels})
	p.send("sockudo:resume", "", string(text))
}

// resumed waits for the end of a resume and gives the frames before it.
func (p *peer) resumed() (replayed []frame, result protocol.ResumeSuccess) {
	p.t.Helper()
	for {
		f := parseFrame(p.t, p.expect())
		if f.Event == "sockudo:resume_success" {
			if err := json.Unmarshal([]byte(f.text()), &result); err != nil {
				p.t.Fatal(err)
			}
			if f.MessageID == "" {
				p.t.Error("resume_success has no message_id")
			}
			return replayed, result
		}
		replayed = append(replayed, f)
	}
}

// position is where a subscription or a frame says that the client is.
func position(f frame) protocol.Position {
	p := protocol.Position{Channel: f.Channel, StreamID: f.StreamID, LastMessageID: f.MessageID}
	if f.Serial != nil {
		p.Serial = *f.Serial
	}
	return p
}

func auth(p *peer, channel string) string {
	return protocol.SignChannel("app-key", "app-secret", p.conn.ID(), channel, "")
}

func withRecovery(_ *storage.App, s *realtime.Settings) {
	s.Recovery.Enabled = true
}

// sharedStreams is a store of streams that all nodes of a test share, and that can be
// taken away.
type sharedStreams struct {
	mu      sync.Mutex
	streams map[string]*sharedStream
	down    bool
}

type sharedStream struct {
	id      string
	head    uint64
	entries [][]byte
}

var _ storage.Streams = (*sharedStreams)(nil)

func (s *sharedStreams) of(key, fresh string) (*sharedStream, error) {
	if s.down {
		return nil, fmt.Errorf("the store is down")
	}
	if s.streams == nil {
		s.streams = map[string]*sharedStream{}
	}
	if s.streams[key] == nil {
		if fresh == "" {
			return nil, storage.ErrNotFound
		}
		s.streams[key] = &sharedStream{id: fresh}
	}
	return s.streams[key], nil
}

func (s *sharedStreams) Append(_ context.Context, key, fresh string, entry []byte, b storage.StreamBounds) (storage.StreamPosition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.of(key, fresh)
	if err != nil {
		return storage.StreamPosition{}, err
	}
	st.head++
	st.entries = append(st.entries, entry)
	if over := len(st.entries) - b.Entries; over > 0 {
		st.entries = st.entries[over:]
	}
	return storage.StreamPosition{Stream: st.id, Serial: st.head}, nil
}

func (s *sharedStreams) Head(_ context.Context, key, fresh string, _ storage.StreamBounds) (storage.StreamPosition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.of(key, fresh)
	if err != nil {
		return storage.StreamPosition{}, err
	}
	return storage.StreamPosition{Stream: st.id, Serial: st.head}, nil
}

func (s *sharedStreams) After(_ context.Context, key string, serial uint64, limit int) (page storage.StreamPage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.of(key, "")
	if err != nil {
		return page, err
	}
	page.Head = storage.StreamPosition{Stream: st.id, Serial: st.head}
	first := st.head + 1 - uint64(len(st.entries))
	if len(st.entries) > 0 {
		page.First = first
	}
	from := max(serial+1, first)
	if from > st.head {
		return page, nil
	}
	page.From = from
	entries := st.entries[from-first:]
	for _, e := range entries[:min(len(entries), limit)] {
		page.Entries = append(page.Entries, []byte(strings.Clone(string(e))))
	}
	return page, nil
}

func (s *sharedStreams) Reset(_ context.Context, key, stream string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.of(key, "")
	if err != nil {
		return nil
	}
	if st.id == stream {
		delete(s.streams, key)
	}
	return nil
}

// setDown takes the store away or gives it back.
func (s *sharedStreams) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// forget loses everything, or the newest entries of every stream.
func (s *sharedStreams) forget(newest int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if newest == 0 {
		clear(s.streams)
	}
	for _, st := range s.streams {
		n := min(newest, len(st.entries))
		st.entries, st.head = st.entries[:len(st.entries)-n], st.head-uint64(n)
	}
}
