package rest

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// socket is a client of the hub without a network.
type socket struct {
	n    *node
	conn *realtime.Conn

	mu     sync.Mutex
	frames []frame
	closed *protocol.Error
}

// frame is a message as a client reads it.
type frame struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
	text    string
}

func (s *socket) Send(f protocol.Frame) { s.add(f) }

func (s *socket) Deliver(joined []byte, _ int, off *atomic.Bool) {
	if off == nil || !off.Load() {
		s.add(joined)
	}
}

func (s *socket) Silence(off *atomic.Bool) { off.Store(true) }

func (s *socket) Close(e *protocol.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed == nil {
		s.closed = e
	}
}

// add takes joined frames apart.
func (s *socket) add(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(b) > 0 {
		size, start := int(b[1]), 2
		switch size {
		case 126:
			size, start = int(b[2])<<8|int(b[3]), 4
		case 127:
			size, start = 0, 10
			for _, c := range b[2:10] {
				size = size<<8 | int(c)
			}
		}
		var f frame
		f.text = string(b[start : start+size])
		if err := json.Unmarshal(b[start:start+size], &f); err != nil {
			s.n.t.Errorf("frame %q: %v", f.text, err)
		}
		s.frames = append(s.frames, f)
		b = b[start+size:]
	}
}

// connect opens a socket of the test app.
func (n *node) connect() *socket {
	n.t.Helper()
	s := &socket{n: n}
	conn, e := n.hub.Connect(context.Background(), s, realtime.Handshake{Key: appKey, ClientIP: "127.0.0.1"})
	if e != nil {
		n.t.Fatal(e)
	}
	s.conn = conn
	n.t.Cleanup(func() { conn.Disconnect(true) })
	return s
}

// subscribe joins a channel, signed where it must be. member is the user of a
// presence channel.
func (s *socket) subscribe(channel string, member ...string) *socket {
	s.n.t.Helper()
	data := map[string]string{"channel": channel}
	if len(member) > 0 {
		data["channel_data"] = body("user_id", member[0])
	}
	if protocol.ParseChannel(channel).Signed() {
		data["auth"] = protocol.SignChannel(appKey, appSecret, s.conn.ID(), channel, data["channel_data"])
	}
	s.conn.Receive([]byte(body("event", "pusher:subscribe", "data", data)))
	s.wait("pusher_internal:subscription_succeeded")
	return s
}

// signin makes the socket one of a user.
func (s *socket) signin(user string) *socket {
	s.n.t.Helper()
	data := body("id", user)
	s.conn.Receive([]byte(body("event", "pusher:signin", "data", map[string]string{
		"auth": protocol.SignUser(appKey, appSecret, s.conn.ID(), data), "user_data": data,
	})))
	s.wait("pusher:signin_success")
	return s
}

// wait is the first frame of an event.
func (s *socket) wait(event string) frame {
	s.n.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got := s.events(event); len(got) > 0 {
			return got[0]
		}
	}
	s.n.t.Fatalf("no %s came; the socket has %v", event, s.texts())
	return frame{}
}

func (s *socket) events(event string) (found []frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.frames {
		if f.Event == event {
			found = append(found, f)
		}
	}
	return found
}

func (s *socket) texts() (texts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.frames {
		texts = append(texts, f.text)
	}
	return texts
}

func (s *socket) end() *protocol.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// settle waits until everything published on the channel so far has come: frames
// of one channel keep their order, so a last one is published and awaited.
func (s *socket) settle(channel string) *socket {
	s.n.t.Helper()
	live, err := s.n.hub.Live()
	if err != nil {
		s.n.t.Fatal(err)
	}
	defer live.Release()
	marker := "marker-" + protocol.NewMessageID()
	if _, err := live.Publish(context.Background(), testApp(), realtime.Event{Channel: channel, Name: marker, Data: json.RawMessage(`""`)}); err != nil {
		s.n.t.Fatal(err)
	}
	s.wait(marker)
	return s
}
