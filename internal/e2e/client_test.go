package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// conn is a client that reads in the background and keeps what came.
type conn struct {
	t  *testing.T
	w  *wire
	id string

	mu     sync.Mutex
	frames []string
	err    error
	seen   int
	// counts are numbered messages by channel, of the frames up to counted.
	counts  map[string]int
	counted int
}

const path = "/app/app-key?protocol=7&client=e2e"

// transports are the ways to reach a site.
var transports = []string{"http", "https", "h2", "h3"}

func (c *caddy) dial(transport string) *conn {
	c.t.Helper()
	k, err := c.tryDial(transport, path)
	if err != nil {
		c.t.Fatalf("%s: %v", transport, err)
	}
	return k
}

func (c *caddy) tryDial(transport, path string) (*conn, error) {
	rw, err := c.open(transport, path)
	if err != nil {
		return nil, err
	}
	k := &conn{t: c.t, w: newWire(rw)}
	c.t.Cleanup(func() { _ = rw.Close() })
	first, err := k.w.read()
	if err != nil {
		return nil, err
	}
	if k.id, err = socketIDOf(first); err != nil {
		return nil, err
	}
	go k.readAll()
	return k, nil
}

func (c *caddy) open(transport, path string) (io.ReadWriteCloser, error) {
	switch transport {
	case "http":
		return dialH1(false, "127.0.0.1:"+c.port, path)
	case "https":
		return dialH1(true, "localhost:"+c.secure, path)
	case "h2":
		return dialH2("localhost:"+c.secure, path)
	default:
		return dialH3("localhost:"+c.secure, path)
	}
}

func insecure(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}
}

// dialH1 does the handshake by hand: the first frame may come with the response,
// and must not be lost in a library's buffer.
func dialH1(secure bool, addr, path string) (io.ReadWriteCloser, error) {
	var conn net.Conn
	var err error
	d := &net.Dialer{Timeout: 5 * time.Second}
	if secure {
		conn, err = tls.DialWithDialer(d, "tcp", addr, insecure("http/1.1"))
	} else {
		conn, err = d.Dial("tcp", addr)
	}
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		req.Header.Set(name, value)
	}
	if err := req.Write(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		_ = conn.Close()
		return nil, fmt.Errorf("handshake: %s", resp.Status)
	}
	_ = conn.SetDeadline(time.Time{})
	return pipe{br, conn, func() { _ = conn.Close() }}, nil
}

// pipe joins the two directions of a stream.
type pipe struct {
	io.Reader
	io.Writer
	close func()
}

func (p pipe) Close() error {
	p.close()
	return nil
}

// dialH2 opens a WebSocket by extended CONNECT (RFC 8441).
func dialH2(addr, path string) (io.ReadWriteCloser, error) {
	transport := &http2.Transport{TLSClientConfig: insecure("h2")} //nolint:staticcheck // net/http cannot send extended CONNECT
	body, w := io.Pipe()
	req, err := http.NewRequest(http.MethodConnect, "https://"+addr+path, body)
	if err != nil {
		return nil, err
	}
	req.Header[":protocol"] = []string{"websocket"}
	req.Header.Set("Sec-WebSocket-Version", "13")
	resp, err := transport.RoundTrip(req) //nolint:staticcheck // as above
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("h2: %s", resp.Status)
	}
	return pipe{resp.Body, w, func() {
		_ = w.Close()
		_ = resp.Body.Close()
		transport.CloseIdleConnections() //nolint:staticcheck // as above
	}}, nil
}

// dialH3 opens a WebSocket by extended CONNECT (RFC 9220).
func dialH3(addr, path string) (io.ReadWriteCloser, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	q, err := quic.DialAddr(ctx, addr, insecure("h3"), &quic.Config{MaxIdleTimeout: 5 * time.Minute})
	if err != nil {
		return nil, err
	}
	h3 := (&http3.Transport{}).NewClientConn(q)
	stream, err := h3.OpenRequestStream(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodConnect, "https://"+addr+path, nil)
	if err != nil {
		return nil, err
	}
	req.Proto = "websocket"
	req.Header.Set("Sec-WebSocket-Version", "13")
	if err := stream.SendRequestHeader(req); err != nil {
		return nil, err
	}
	resp, err := stream.ReadResponse()
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("h3: %s", resp.Status)
	}
	return pipe{stream, stream, func() { _ = q.CloseWithError(0, "") }}, nil
}

func (k *conn) readAll() {
	for {
		text, err := k.w.read()
		k.mu.Lock()
		if err != nil {
			k.err = err
			k.mu.Unlock()
			_ = k.w.rw.Close() // as clients do after the closing handshake
			return
		}
		k.frames = append(k.frames, text)
		k.mu.Unlock()
	}
}

func (k *conn) send(text string) {
	k.t.Helper()
	if err := k.w.send(text); err != nil {
		k.t.Fatal(err)
	}
}

func (k *conn) subscribe(channel string) {
	k.t.Helper()
	auth := ""
	if protocol.ParseChannel(channel).Signed() {
		auth = protocol.SignChannel("app-key", "app-secret", k.id, channel, "")
	}
	k.send(`{"event":"pusher:subscribe","data":{"channel":"` + channel + `","auth":"` + auth + `"}}`)
	k.expect("subscription_succeeded")
}

// expect waits for the next frame and checks that part is in it.
func (k *conn) expect(part string) string {
	k.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		k.mu.Lock()
		if k.seen < len(k.frames) {
			frame := k.frames[k.seen]
			k.seen++
			k.mu.Unlock()
			if !strings.Contains(frame, part) {
				k.t.Fatalf("got %s, want %s", frame, part)
			}
			return frame
		}
		err := k.err
		k.mu.Unlock()
		if err != nil {
			k.t.Fatalf("want %s: %v", part, err)
		}
	}
	k.t.Fatalf("no frame with %s", part)
	return ""
}

// closed is the error that ended the connection, nil while it is open.
func (k *conn) closed() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

func (k *conn) expectClose(code int) {
	k.t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := k.closed(); err != nil {
			if !isClosed(err, code) {
				k.t.Fatalf("closed by %v, want %d", err, code)
			}
			return
		}
	}
	k.t.Fatalf("still open, want close %d", code)
}

// check compares the numbered messages that came with 0 to total-1.
func (k *conn) check(total int) (lost, repeated, reordered int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := make([]int, total)
	last := -1
	for _, frame := range k.frames {
		var m struct{ Event, Data string }
		if json.Unmarshal([]byte(frame), &m) != nil || m.Event != "numbered" {
			continue
		}
		n, err := strconv.Atoi(m.Data)
		if err != nil || n >= total {
			k.t.Fatalf("odd message %s", frame)
		}
		if n < last {
			reordered++
		}
		last = max(last, n)
		seen[n]++
	}
	for _, n := range seen {
		switch {
		case n == 0:
			lost++
		case n > 1:
			repeated++
		}
	}
	return lost, repeated, reordered
}

// publisher sends numbered messages, one after the other, until stopped. A call
// that fails on the connection is repeated with the same idempotency key, as
// every publisher must during a reload.
type publisher struct {
	stop    chan struct{}
	done    chan int
	retries int
}

func (c *caddy) publishNumbered(channel string, pause time.Duration) *publisher {
	p := &publisher{stop: make(chan struct{}), done: make(chan int)}
	go func() {
		for n := 0; ; n++ {
			select {
			case <-p.stop:
				p.done <- n
				return
			case <-time.After(pause):
			}
			for {
				err := c.publish(channel, "numbered", strconv.Itoa(n), "n-"+channel+strconv.Itoa(n))
				if err == nil {
					break
				}
				p.retries++
				if p.retries > 5000 {
					c.t.Error("publishing:", err)
					<-p.stop
					p.done <- n
					return
				}
				time.Sleep(2 * time.Millisecond)
			}
		}
	}()
	return p
}

func (p *publisher) end() int {
	close(p.stop)
	return <-p.done
}

var publishClient = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}

func (c *caddy) publish(channel, event, data, key string) error {
	request := map[string]string{"name": event, "channel": channel, "data": data}
	if key != "" {
		request["idempotency_key"] = key
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	url := "http://127.0.0.1:" + c.port + signed("POST", "/apps/app-id/events", body)
	resp, err := publishClient.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return err
}

func signed(method, path string, body []byte) string {
	query := ""
	if method == "POST" {
		sum := md5.Sum(body)
		query = "body_md5=" + hex.EncodeToString(sum[:])
	}
	return signedQuery(method, path, query)
}

// signedQuery signs a path with further words of the query, which stand behind
// "auth_" in order.
func signedQuery(method, path, further string) string {
	query := "auth_key=app-key&auth_timestamp=" + strconv.FormatInt(time.Now().Unix(), 10) + "&auth_version=1.0"
	if further != "" {
		query += "&" + further
	}
	return path + "?" + query + "&auth_signature=" + protocol.Sign("app-secret", method+"\n"+path+"\n"+query)
}

// refuses reports whether nothing listens on a port.
func refuses(port string) bool {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}
