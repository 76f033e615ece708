package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// frame is a message of the server.
type frame struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
	at      time.Time
}

// text is the data, of which the server makes a string.
func (f frame) text() string {
	var s string
	if json.Unmarshal(f.Data, &s) == nil {
		return s
	}
	return string(f.Data)
}

// refusal is an error frame or a close.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s", r.code, r.text) }

// maxFrames bounds the frames that wait to be looked at, and maxFrame one of them, in
// bytes.
const (
	maxFrames = 256
	maxFrame  = 64 << 20
)

// socket is a client. One goroutine reads until the connection ends.
type socket struct {
	conn   *websocket.Conn
	id     string
	frames chan frame
	ended  chan struct{}
	err    error // why it ended, good after ended is closed
}

// dial opens a socket. The answer is set when there was one.
func (w *walker) dial(ctx context.Context) (*socket, *answer, error) {
	u := *w.base
	u.Scheme = "ws" + strings.TrimPrefix(u.Scheme, "http")
	u.Path += "/app/" + url.PathEscape(w.Key)
	u.RawQuery = "protocol=7&client=caddy-sockudo-doctor&version=1"
	header := http.Header{}
	if w.Origin != "" {
		header.Set("Origin", w.Origin)
	}
	d := websocket.Dialer{TLSClientConfig: w.tlsConfig(), HandshakeTimeout: w.Timeout, Proxy: http.ProxyFromEnvironment}
	conn, resp, err := d.DialContext(ctx, u.String(), header)
	var a *answer
	if resp != nil {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		_ = resp.Body.Close()
		a = &answer{resp.StatusCode, resp.Header, strings.ToValidUTF8(string(text), "\uFFFD")}
	}
	if err != nil {
		return nil, a, err
	}
	conn.SetReadLimit(maxFrame)
	s := &socket{conn: conn, frames: make(chan frame, maxFrames), ended: make(chan struct{})}
	go s.read()
	return s, a, nil
}

// read is over when the connection is. Frames for which there is no room are of no
// interest.
func (s *socket) read() {
	defer close(s.ended)
	for {
		_, text, err := s.conn.ReadMessage()
		if err != nil {
			if closed, is := errors.AsType[*websocket.CloseError](err); is && closed.Code >= 4000 {
				err = &refusal{closed.Code, closed.Text}
			}
			s.err = err
			return
		}
		f := frame{at: time.Now()}
		if json.Unmarshal(text, &f) != nil {
			continue
		}
		select {
		case s.frames <- f:
		default:
		}
	}
}

func (s *socket) close() {
	_ = s.conn.Close()
	<-s.ended
}

// send writes a frame.
func (s *socket) send(event, channel string, data any) error {
	text, err := json.Marshal(struct {
		Event   string `json:"event"`
		Channel string `json:"channel,omitempty"`
		Data    any    `json:"data"`
	}{event, channel, data})
	if err != nil {
		return err
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	return s.conn.WriteMessage(websocket.TextMessage, text)
}

// await reads until a frame is the one, and answers pings meanwhile. An error frame of
// the server is a refusal.
func (s *socket) await(ctx context.Context, is func(frame) bool) (frame, error) {
	take := func(f frame) (bool, error) {
		switch {
		case is(f):
			return true, nil
		case f.Event == "pusher:ping":
			return false, s.send("pusher:pong", "", struct{}{})
		case f.Event == "pusher:error":
			return false, refusalOf(f)
		}
		return false, nil
	}
	for {
		select {
		case f := <-s.frames:
			if done, err := take(f); done || err != nil {
				return f, err
			}
			continue
		default:
		}
		select {
		case f := <-s.frames:
			if done, err := take(f); done || err != nil {
				return f, err
			}
		case <-s.ended:
			if len(s.frames) == 0 {
				return frame{}, s.err
			}
		case <-ctx.Done():
			return frame{}, ctx.Err()
		}
	}
}

// refusalOf reads an error frame.
func refusalOf(f frame) error {
	r := &refusal{}
	var data struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(f.Data, &data) != nil {
		_ = json.Unmarshal([]byte(f.text()), &data)
	}
	r.code, r.text = data.Code, data.Message
	return r
}

func named(event, channel string) func(frame) bool {
	return func(f frame) bool { return f.Event == event && f.Channel == channel }
}
