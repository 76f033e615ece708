package ws

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// server is a hub behind a real HTTP server.
type server struct {
	*httptest.Server
	t   *testing.T
	hub *realtime.Hub
	app *storage.App
}

func newServer(t *testing.T, secure bool, change func(*storage.App, *realtime.Settings)) *server {
	t.Helper()
	s := &server{t: t, hub: realtime.NewHub(t.Name()), app: &storage.App{ID: "app-id", Key: "app-key", Secret: "app-secret", Enabled: true}}
	settings := realtime.DefaultSettings()
	settings.Drivers = realtime.Drivers{
		Adapter:     memory.NewLocal(),
		Cache:       memory.NewCache(memory.CacheOptions{}),
		RateLimiter: memory.NewRateLimiter(memory.RateLimiterOptions{}),
	}
	if change != nil {
		change(s.app, &settings)
	}
	apps, err := memory.NewAppManager([]*storage.App{s.app})
	if err != nil {
		t.Fatal(err)
	}
	settings.Drivers.Apps = apps
	s.hub.Attach(1, &settings)
	if err := s.hub.Start(1); err != nil {
		t.Fatal(err)
	}
	s.hub.Activate(1)
	handler := New(s.hub)
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		handler.ServeHTTP(w, r, strings.TrimPrefix(r.URL.Path, "/app/"), host)
	})
	s.Server = httptest.NewUnstartedServer(serve)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.hub.Close(ctx)
		s.Server.Close()
	})
	return s
}

// modes runs a test over clear text with each reader, and over TLS.
func modes(t *testing.T, test func(t *testing.T, secure bool)) {
	t.Run("clear", func(t *testing.T) { test(t, false) })
	t.Run("portable", func(t *testing.T) {
		t.Setenv(PortableReader, "1")
		test(t, false)
	})
	t.Run("tls", func(t *testing.T) { test(t, true) })
}

func (s *server) url() string {
	return "ws" + strings.TrimPrefix(s.URL, "http") + "/app/app-key?protocol=7&client=test"
}

type client struct {
	*websocket.Conn
	t  *testing.T
	id string
}

func (s *server) dial() *client {
	s.t.Helper()
	c, _, err := s.tryDial(s.url(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	first := c.read()
	var established struct{ Data string }
	if err := json.Unmarshal([]byte(first), &established); err != nil || !strings.Contains(first, "connection_established") {
		s.t.Fatal(first, err)
	}
	_, after, _ := strings.Cut(established.Data, `"socket_id":"`)
	c.id, _, _ = strings.Cut(after, `"`)
	return c
}

func (s *server) tryDial(url string, header http.Header) (*client, *http.Response, error) {
	d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, HandshakeTimeout: 5 * time.Second}
	conn, resp, err := d.Dial(url, header)
	if err != nil {
		return nil, resp, err
	}
	c := &client{Conn: conn, t: s.t}
	s.t.Cleanup(func() { _ = conn.Close() })
	return c, resp, nil
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() string {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	kind, text, err := c.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	if kind != websocket.TextMessage {
		c.t.Fatalf("message of kind %d", kind)
	}
	return string(text)
}

func (c *client) expect(want string) {
	c.t.Helper()
	if got := c.read(); got != want {
		c.t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func (c *client) subscribe(channel string) {
	c.t.Helper()
	c.send(`{"event":"pusher:subscribe","data":{"channel":"` + channel + `","auth":"` + protocol.SignChannel("app-key", "app-secret", c.id, channel, "") + `"}}`)
	c.expect(`{"event":"pusher_internal:subscription_succeeded","channel":"` + channel + `","data":"{}"}`)
}

// expectClose reads an error frame of equal code, if code has one, and the close frame.
func (c *client) expectClose(code int, reason string) {
	c.t.Helper()
	if code >= 4000 {
		c.expect(fmt.Sprintf(`{"event":"pusher:error","data":{"code":%d,"message":"%s"}}`, code, reason))
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, text, err := c.ReadMessage()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code || code >= 4000 && closed.Text != reason {
		c.t.Fatalf("got %q, %v; want close %d %s", text, err, code, reason)
	}
}

func (s *server) publish(channel, data string) {
	live, err := s.hub.Live()
	if err != nil {
		s.t.Error(err)
		return
	}
	defer live.Release()
	if _, err := live.Publish(context.Background(), s.app, realtime.Event{Channel: channel, Name: "e", Data: json.RawMessage(data)}); err != nil {
		s.t.Error(err)
	}
}

func (s *server) waitSockets(want int) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s.hub.Sockets() == want {
			return
		}
	}
	s.t.Fatalf("%d sockets, want %d", s.hub.Sockets(), want)
}
