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
	"strconv"
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
	tags      map[string]string // of the last event
	// deliver turns the n-th publish, from 0, into the frames that are sent to
	// the subscriber with the given number.
	deliver func(n, subscriber int, frame []byte) [][]byte
	// announce says whether a subscriber is told of a member, and how often.
	announce func(subscriber int, member string) int
	// replay turns what a connection with the given number has missed into the frames
	// that it gets when it resumes.
	replay func(subscriber int, missed [][]byte) [][]byte
	// kept are the frames of all events, by channel.
	kept map[string][][]byte
	// status answers the n-th publish.
	status func(n int) int
}

type fakeConn struct {
	net.Conn
	dialect Dialect
	number  int
	channel string
	member  string
	serial  uint64 // on joining
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
	c := &fakeConn{Conn: conn, dialect: dialectOf(r.URL.Query().Get("protocol"), r.URL.Query().Get("format"))}
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	c.sendEvent("pusher:connection_established", `{"socket_id":"1.2","activity_timeout":120}`)
	var request struct {
		Data struct {
			Channel     string
			ChannelData string `json:"channel_data"`
		}
	}
	message := readClientFrame(buffered.Reader)
	if dialects[c.dialect].opcode == opBinary { // these end with their data, as JSON text
		_, text, _ := strings.Cut(string(message), "{")
		message = []byte(`{"data":{` + text + "}")
	}
	if json.Unmarshal(message, &request) != nil {
		return
	}
	c.channel = request.Data.Channel
	f.subscribe(c, request.Data.ChannelData)
	if c.dialect != V1 {
		f.resume(c, string(readClientFrame(buffered.Reader)))
	}
	_, _ = io.Copy(io.Discard, buffered)
}

// dialectOf is what a client says in its handshake that it speaks.
func dialectOf(protocol, format string) Dialect {
	switch {
	case protocol != "2":
		return V1
	case format == "msgpack":
		return V2MessagePack
	case format == "protobuf":
		return V2Protobuf
	}
	return V2JSON
}

// frame is a message as the connection's dialect frames it. What the fake calls
// binary is JSON behind a byte that JSON cannot begin with.
func (c *fakeConn) frame(message []byte) []byte {
	if dialects[c.dialect].opcode == opBinary {
		return serverFrame(opBinary, "\x9f"+string(message))
	}
	return serverFrame(opText, string(message))
}

// resume answers a request for what was missed.
func (f *fakeServer) resume(c *fakeConn, request string) {
	_, after, asked := strings.Cut(request, `"serial":`)
	if !asked || !strings.Contains(request, "sockudo:resume") || !strings.Contains(request, c.channel) {
		return
	}
	serial, _ := strconv.Atoi(strings.TrimRight(after, "}"))
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, frame := range f.replay(c.number, f.kept[c.channel][serial:]) {
		_, _ = c.Write(frame)
	}
	c.sendEvent("pusher:resume_success", `{"recovered":[],"failed":[]}`)
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
	c.serial = uint64(len(f.kept[c.channel]))
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
	e := envelope{Event: event, Channel: c.channel, Data: data}
	if c.dialect != V1 {
		e.Event = "sockudo" + strings.TrimPrefix(event, "pusher")
		e.StreamID, e.Serial = "stream", c.serial
	}
	message, _ := json.Marshal(e)
	_, _ = c.Write(c.frame(message))
}

// publish delivers the events of one request.
func (f *fakeServer) publish(w http.ResponseWriter, r *http.Request) {
	type event struct {
		Name, Channel, Data string
		Tags                map[string]string
	}
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
		if f.kept == nil {
			f.kept = map[string][][]byte{}
		}
		f.kept[e.Channel] = append(f.kept[e.Channel], serverFrame(opText, string(message)))
		f.tags = e.Tags
		for _, c := range f.conns {
			if c.channel != e.Channel {
				continue
			}
			for _, frame := range f.deliver(f.published, c.number, c.frame(message)) {
				_, _ = c.Write(frame)
			}
		}
		f.published++
	}
	fmt.Fprint(w, "{}")
}

// faithful delivers every message once.
func faithful(_, _ int, frame []byte) [][]byte { return [][]byte{frame} }
