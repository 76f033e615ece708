package conformance

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// frame is one envelope, with the bytes it came in.
type frame struct {
	Event, Channel, Raw string
	Data                json.RawMessage
}

// text is the data of a frame whose data is a string.
func (f frame) text(t *testing.T) string {
	t.Helper()
	var s string
	if err := json.Unmarshal(f.Data, &s); err != nil {
		t.Fatalf("data is not a string: %s", f.Raw)
	}
	return s
}

// socket is a WebSocket without any client library, that keeps all it hears.
type socket struct {
	conn *websocket.Conn
	id   string

	mu     sync.Mutex
	frames []frame
	end    error         // why reading ended
	more   chan struct{} // closed and renewed with each frame, and at the end
}

func (s *server) socketURL(key string) string {
	return "ws://" + s.addr() + "/app/" + key + "?protocol=7&client=conformance&version=1.0"
}

func (s *server) secureURL(key string) string {
	return "wss://localhost:" + strconv.Itoa(s.conf.TLS) + "/app/" + key + "?protocol=7&client=conformance&version=1.0"
}

// openSocket connects and learns its id. The socket ends with the test.
func openSocket(t *testing.T, url string) *socket {
	t.Helper()
	dialer := websocket.Dialer{
		HandshakeTimeout: 5 * time.Second,
		TLSClientConfig:  &tls.Config{InsecureSkipVerify: true}, // Caddy's own authority is trusted by nobody
	}
	conn, res, err := dialer.Dial(url, http.Header{})
	if err != nil {
		t.Fatalf("%s: %v (%v)", url, err, res)
	}
	s := &socket{conn: conn, more: make(chan struct{})}
	t.Cleanup(func() { conn.Close() })
	go s.read()
	var hello struct {
		SocketID string `json:"socket_id"`
	}
	first := s.wait(t, "pusher:connection_established", "", 1)
	if err := json.Unmarshal([]byte(first.text(t)), &hello); err != nil || hello.SocketID == "" {
		t.Fatalf("no socket id: %s", first.Raw)
	}
	s.id = hello.SocketID
	return s
}

func (s *socket) read() {
	for {
		_, raw, err := s.conn.ReadMessage()
		f := frame{Raw: string(raw)}
		if err == nil {
			err = json.Unmarshal(raw, &f)
		}
		s.mu.Lock()
		if s.end = err; err == nil {
			s.frames = append(s.frames, f)
		}
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// all returns the frames of an event, on a channel if it is named.
func (s *socket) all(event, channel string) []frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	var some []frame
	for _, f := range s.frames {
		if f.Event == event && (channel == "" || f.Channel == channel) {
			some = append(some, f)
		}
	}
	return some
}

// wait returns the nth frame of an event.
func (s *socket) wait(t *testing.T, event, channel string, n int) frame {
	t.Helper()
	f, err := s.await(event, channel, n, 5*time.Second)
	if err != nil {
		t.Fatalf("%s on %q: %v; heard:\n%s", event, channel, err, s.heard())
	}
	return f
}

func (s *socket) await(event, channel string, n int, limit time.Duration) (frame, error) {
	late := time.After(limit)
	for {
		s.mu.Lock()
		more, end := s.more, s.end
		s.mu.Unlock()
		if some := s.all(event, channel); len(some) >= n {
			return some[n-1], nil
		}
		if end != nil {
			return frame{}, end
		}
		select {
		case <-more:
		case <-late:
			return frame{}, errors.New("not within " + limit.String())
		}
	}
}

func (s *socket) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, f := range s.frames[max(0, len(s.frames)-30):] {
		b.WriteString("\t" + f.Raw + "\n")
	}
	return b.String()
}

// send writes an event. Only one goroutine may do so at a time.
func (s *socket) send(t *testing.T, event, channel string, data any) {
	t.Helper()
	message := map[string]any{"event": event, "data": data}
	if channel != "" {
		message["channel"] = channel
	}
	if err := s.conn.WriteJSON(message); err != nil {
		t.Fatal(err)
	}
}

// join subscribes, signing what needs it, and returns the answer.
func (s *socket) join(t *testing.T, a app, channel, member string) frame {
	t.Helper()
	data := map[string]string{"channel": channel}
	signed := s.id + ":" + channel
	if strings.HasPrefix(channel, "presence-") {
		data["channel_data"] = member
		signed += ":" + member
	}
	if strings.HasPrefix(channel, "presence-") || strings.HasPrefix(channel, "private-") {
		data["auth"] = a.Key + ":" + sign(a.Secret, signed)
	}
	return s.subscribe(t, data)
}

// subscribe sends what it is given and waits for the answer.
func (s *socket) subscribe(t *testing.T, data map[string]string) frame {
	t.Helper()
	s.send(t, "pusher:subscribe", "", data)
	return s.wait(t, "pusher_internal:subscription_succeeded", data["channel"], 1)
}
