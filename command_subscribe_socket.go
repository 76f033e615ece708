package sockudo

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

const (
	// socketWrite bounds a write to the server.
	socketWrite = 10 * time.Second
	// socketDial bounds the handshake, with the first frame.
	socketDial = 20 * time.Second
	// maxSocketFrame bounds a frame of the server, in bytes.
	maxSocketFrame = 64 << 20

	eventEstablished = "pusher:connection_established"
	eventSucceeded   = "pusher_internal:subscription_succeeded"
)

// socketEvent is an event as a client gets it.
type socketEvent struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel,omitempty"`
	UserID  string          `json:"user_id,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// internal reports whether the event is part of the protocol.
func (e *socketEvent) internal() bool {
	return strings.HasPrefix(e.Event, "pusher:") || strings.HasPrefix(e.Event, "pusher_internal:")
}

// text is the payload; data is a JSON string with it, usually.
func (e *socketEvent) text() string {
	var text string
	if json.Unmarshal(e.Data, &text) == nil {
		return text
	}
	return string(e.Data)
}

// clientSocket is a connection of the command.
type clientSocket struct {
	*websocket.Conn
	id         string
	subscribed bool          // to one channel at least
	silence    time.Duration // after which the server is asked whether it is there
}

// socketAddress is the address of the socket of an app behind a public address.
func socketAddress(text, key string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%q is not a URL such as wss://example.com", text)
	}
	switch u.Scheme {
	case "ws", "wss":
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return "", fmt.Errorf("%q: the scheme is not wss, ws, https or http", text)
	}
	u.RawQuery, u.Fragment = "protocol=7&client=caddy-sockudo", ""
	return strings.TrimSuffix(u.JoinPath("app", key).String(), "/"), nil
}

// dial connects and waits for the first frame.
func (o *subscriptionOrder) dial(ctx context.Context) (*clientSocket, error) {
	ctx, cancel := context.WithTimeout(ctx, socketDial)
	defer cancel()
	dialer := websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: socketDial}
	if o.insecure {
		dialer.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it was asked for
	}
	c, resp, err := dialer.DialContext(ctx, o.address, nil)
	if err != nil {
		if resp == nil {
			return nil, coded(exitUnreachable, fmt.Errorf("connecting: %w", err))
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // what there is of it
		err = fmt.Errorf("connecting: the server answers %s: %s", resp.Status, printable(strings.TrimSpace(string(text))))
		if resp.StatusCode >= http.StatusInternalServerError {
			return nil, coded(exitUnreachable, err)
		}
		return nil, err
	}
	s := &clientSocket{Conn: c, silence: 2 * time.Minute}
	c.SetReadLimit(maxSocketFrame)
	defer context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Now()) })()
	if err := s.greet(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// greet reads the first frame.
func (s *clientSocket) greet() error {
	e, err := s.next()
	if err != nil {
		return socketError(err)
	}
	var hello struct {
		SocketID string  `json:"socket_id"`
		Activity float64 `json:"activity_timeout"`
	}
	if e.Event == "pusher:error" {
		return serverError(e)
	}
	if e.Event != eventEstablished || json.Unmarshal([]byte(e.text()), &hello) != nil {
		return fmt.Errorf("the server does not speak Pusher's protocol: its first event is %s", printable(e.Event))
	}
	s.id = hello.SocketID
	if hello.Activity >= 1 {
		s.silence = time.Duration(hello.Activity * float64(time.Second))
	}
	return nil
}

func (s *clientSocket) next() (e socketEvent, err error) {
	_, text, err := s.ReadMessage()
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("a frame of the server is not JSON: %w", err)
	}
	return e, nil
}

func (s *clientSocket) close() { _ = s.Close() }

func (s *clientSocket) send(event string, data any) error {
	_ = s.SetWriteDeadline(time.Now().Add(socketWrite)) // the write reports
	return s.WriteJSON(map[string]any{"event": event, "data": data})
}

// run subscribes and hands over what comes, until an error.
func (s *clientSocket) run(ctx context.Context, o *subscriptionOrder, take func(socketEvent) error) error {
	defer context.AfterFunc(ctx, s.close)()
	for _, name := range o.channels {
		if err := s.send("pusher:subscribe", o.request(s.id, name)); err != nil {
			return coded(exitUnreachable, err)
		}
	}
	alive := time.AfterFunc(s.silence, func() { // a control frame may be written beside others
		_ = s.WriteControl(websocket.PingMessage, nil, time.Now().Add(socketWrite))
	})
	defer alive.Stop()
	for {
		alive.Reset(s.silence)
		_ = s.SetReadDeadline(time.Now().Add(s.silence + 30*time.Second)) // reading reports
		e, err := s.next()
		if err != nil {
			return socketError(err)
		}
		switch e.Event {
		case "pusher:ping":
			err = s.send("pusher:pong", map[string]any{})
		case "pusher:error":
			err = serverError(e)
		case "pusher:subscription_error":
			return fmt.Errorf("channel %s is refused: %s", printable(e.Channel), printable(e.text()))
		case eventSucceeded:
			s.subscribed = true
			err = take(e)
		default:
			err = take(e)
		}
		if err != nil {
			return err
		}
	}
}

// request is the data of a subscription.
func (o *subscriptionOrder) request(socketID, name string) map[string]string {
	data := map[string]string{"channel": name}
	kind := protocol.ParseChannel(name).Kind
	if kind == protocol.Public {
		return data
	}
	member := ""
	if kind == protocol.Presence {
		object := map[string]any{"user_id": o.userID}
		if len(o.userInfo) > 0 {
			object["user_info"] = o.userInfo
		}
		text, _ := json.Marshal(object) // it was decoded before
		member = string(text)
		data["channel_data"] = member
	}
	data["auth"] = protocol.SignChannel(o.key, o.secret, socketID, name, member)
	return data
}

// closedError is the end of a connection that the server has closed.
type closedError struct {
	code int
	text string
}

func (e *closedError) Error() string {
	return fmt.Sprintf("closed by the server with %d %s", e.code, e.text)
}

func socketError(err error) error {
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok && closed.Code != websocket.CloseAbnormalClosure {
		return &closedError{closed.Code, printable(closed.Text)}
	}
	return coded(exitUnreachable, fmt.Errorf("the connection is lost: %w", err))
}

// serverError is an error event of the server.
func serverError(e socketEvent) error {
	var told struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(e.Data, &told) != nil {
		_ = json.Unmarshal([]byte(e.text()), &told) // what it does not say is not told
	}
	err := &closedError{told.Code, printable(told.Message)}
	if told.Code == protocol.ErrAppNotFound.Code {
		return coded(exitMissing, err)
	}
	return err
}

// comesBack reports whether a client connects again after an error: not when the server has said that this
// would lead nowhere, nor when what it asks for is refused.
func comesBack(err error) bool {
	if closed, ok := errors.AsType[*closedError](err); ok {
		return closed.code >= 4100 && closed.code < 4300 || closed.code < 4000 && closed.code != 0
	}
	return exitCode(err) == exitUnreachable
}

func jitter(most time.Duration) time.Duration { return rand.N(most) }
