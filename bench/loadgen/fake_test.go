//go:build linux

package loadgen

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
)

// fakeServer speaks just enough of the protocol for the generator, and lets a
// test spoil what it sends.
type fakeServer struct {
	mu        sync.Mutex
	conns     []*fakeConn
	published int
	// deliver turns the n-th publish, from 0, into the frames that are sent to
	// the subscriber with the given number.
	deliver func(n, subscriber int, frame []byte) [][]byte
	// announce says whether a subscriber is told of a member, and how often.
	announce func(subscriber int, member string) int
	// status answers the n-th publish.
	status func(n int) int
}

type fakeConn struct {
	net.Conn
	number  int
	channel string
	member  string
}

// startFake runs the server for the length of the test.
func startFake(t *testing.T, f *fakeServer) Target {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return Target{Addr: server.Listener.Addr().String(), AppID: "app-id", Key: "app-key", Secret: "app-secret", PID: os.Getpid()}
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/apps/") {
		f.publish(w, r)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + websocketGUID))
	hello := `{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}`
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
		base64.StdEncoding.EncodeToString(sum[:]), serverFrame(opText, hello))
	var request struct{ Data map[string]string }
	if json.Unmarshal(readClientFrame(buffered.Reader), &request) == nil {
		f.subscribe(&fakeConn{Conn: conn, channel: request.Data["channel"]}, request.Data["channel_data"])
		_, _ = io.Copy(io.Discard, buffered)
	}
}

// readClientFrame reads one masked frame of up to 65,535 bytes.
func readClientFrame(r *bufio.Reader) []byte {
	header := make([]byte, 2)
	_, _ = io.ReadFull(r, header)
	length := int(header[1] & 0x7f)
	if length == 126 {
		_, _ = io.ReadFull(r, header)
		length = int(header[0])<<8 | int(header[1])
	}
	frame := make([]byte, 4+length)
	_, _ = io.ReadFull(r, frame)
	for i := range length {
		frame[4+i] ^= frame[i%4]
	}
	return frame[4:]
}

// subscribe acknowledges a subscription and, on a presence channel, tells the
// others.
func (f *fakeServer) subscribe(c *fakeConn, channelData string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var member struct {
		UserID string `json:"user_id"`
	}
	_ = json.Unmarshal([]byte(channelData), &member)
	c.number, c.member = len(f.conns), member.UserID
	f.conns = append(f.conns, c)
	data := "{}"
	if c.member != "" {
		ids := make([]string, len(f.conns))
		for i, other := range f.conns {
			ids[i] = other.member
		}
		list, _ := json.Marshal(map[string]any{"presence": map[string]any{"ids": ids, "count": len(ids)}})
		data = string(list)
		for _, other := range f.conns[:c.number] {
			for range f.announce(other.number, c.member) {
				other.sendEvent("pusher_internal:member_added", channelData)
			}
		}
	}
	c.sendEvent("pusher_internal:subscription_succeeded", data)
}

func (c *fakeConn) sendEvent(event, data string) {
	message, _ := json.Marshal(envelope{Event: event, Channel: c.channel, Data: data})
	_, _ = c.Write(serverFrame(opText, string(message)))
}

// publish delivers the events of one request.
func (f *fakeServer) publish(w http.ResponseWriter, r *http.Request) {
	type event struct{ Name, Channel, Data string }
	request := struct {
		event
		Batch []event
	}{}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		panic(err)
	}
	if strings.HasSuffix(r.URL.Path, "/events") {
		request.Batch = []event{request.event}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status != nil {
		if status := f.status(f.published); status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
	}
	for _, e := range request.Batch {
		message, _ := json.Marshal(envelope{Event: e.Name, Channel: e.Channel, Data: e.Data})
		for _, c := range f.conns {
			if c.channel != e.Channel {
				continue
			}
			for _, frame := range f.deliver(f.published, c.number, serverFrame(opText, string(message))) {
				_, _ = c.Write(frame)
			}
		}
		f.published++
	}
	fmt.Fprint(w, "{}")
}

// faithful delivers every message once.
func faithful(_, _ int, frame []byte) [][]byte { return [][]byte{frame} }
