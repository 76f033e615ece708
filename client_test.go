package sockudo

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// socket is a client on a site.
type socket struct {
	t *testing.T
	*websocket.Conn
	id string
}

// publish sends an event of the app "a" to the channel "room".
func publish(t *testing.T, port, secret, payload string) (signature string) {
	t.Helper()
	const path = "/apps/a/events"
	body := []byte(`{"name":"e","channel":"room","data":"` + payload + `"}`)
	sum := md5.Sum(body)
	query := fmt.Sprintf("auth_key=a-key&auth_timestamp=%d&auth_version=1.0&body_md5=%x", time.Now().Unix(), sum)
	signature = protocol.Sign(secret, "POST\n"+path+"\n"+query)
	resp, err := client.Post("http://127.0.0.1:"+port+path+"?"+query+"&auth_signature="+signature, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	return signature
}

// persist tries again what ended without an answer: Caddy resets what has come in
// at the listener of the configuration before.
func persist(try func() (*http.Response, error)) (resp *http.Response, err error) {
	for range 5 {
		if resp, err = try(); resp != nil || err == nil {
			break
		}
	}
	return resp, err
}

func dial(t *testing.T, host, path string) *socket {
	t.Helper()
	var c *websocket.Conn
	resp, err := persist(func() (resp *http.Response, err error) {
		c, resp, err = websocket.DefaultDialer.Dial("ws://"+host+path, nil)
		return resp, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	t.Cleanup(func() { _ = c.Close() })
	s := &socket{t: t, Conn: c}
	_, s.id, _ = strings.Cut(s.expect("pusher:connection_established"), `socket_id\":\"`)
	s.id, _, _ = strings.Cut(s.id, `\"`)
	return s
}

// expect reads until a frame has what is expected in it.
func (s *socket) expect(part string) string {
	s.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		_, text, err := s.ReadMessage()
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", part, err)
		}
		if strings.Contains(string(text), part) {
			return string(text)
		}
	}
}

func (s *socket) expectClose(code int) {
	s.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		_, _, err := s.ReadMessage()
		if err == nil {
			continue
		}
		if !websocket.IsCloseError(err, code) {
			s.t.Errorf("ended by %v, want %d", err, code)
		}
		return
	}
}

func (s *socket) send(frame string) {
	s.t.Helper()
	if err := s.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *socket) subscribe(channel string) {
	s.t.Helper()
	s.send(`{"event":"pusher:subscribe","data":{"channel":"` + channel + `"}}`)
	s.expect("subscription_succeeded")
}
