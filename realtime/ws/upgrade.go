package ws

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// readBuffer is what an idle socket keeps for reading: enough for a control
// frame, which must fit. Longer messages are read past it.
const readBuffer = 288

// upgrader is gorilla's, for all three HTTP versions. Origins are checked per
// app, after the upgrade.
var upgrader = websocket.Upgrader{
	WriteBufferPool: new(sync.Pool),
	WriteBufferSize: 256,
	CheckOrigin:     func(*http.Request) bool { return true },
	Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
		refuse(w, status, reason.Error())
	},
}

var errSplitHandshake = errors.New("handshake response was written in pieces")

// isStream reports whether the upgrade asks for a WebSocket on an HTTP/2 (RFC
// 8441) or HTTP/3 (RFC 9220) stream.
func isStream(r *http.Request) bool {
	if r.Method != http.MethodConnect {
		return false
	}
	return r.ProtoMajor == 2 && r.Header.Get(":protocol") == "websocket" ||
		r.ProtoMajor == 3 && r.Proto == "websocket"
}

// keepAlive is how often a socket must carry something to stay open. QUIC
// connections end after 30 seconds of silence.
func keepAlive(r *http.Request) time.Duration {
	if r.ProtoMajor == 3 {
		return 20 * time.Second
	}
	return 0
}

// upgrade makes a socket of the request. gorilla is given a request that looks
// like HTTP/1.1 and a connection that catches the response it writes, so one path
// serves all versions and the real response is the server's own.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request) (*socket, error) {
	s := &socket{hub: h.hub, portable: h.portable}
	hs := &handshake{socket: s, w: w, r: r, stream: isStream(r)}
	request := r
	if hs.stream {
		request = asUpgrade(r)
	}
	ws, err := upgrader.Upgrade(hs, request, nil)
	if err != nil {
		if s.raw != nil {
			s.shut()
		}
		return nil, err
	}
	s.ws = ws
	return s, nil
}

// asUpgrade is the HTTP/1.1 form of an extended CONNECT request.
func asUpgrade(r *http.Request) *http.Request {
	request := r.Clone(r.Context())
	request.Method = http.MethodGet
	var key [16]byte
	_, _ = rand.Read(key[:])
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	request.Header.Set("Sec-WebSocket-Key", base64.StdEncoding.EncodeToString(key[:]))
	return request
}

// handshake is the ResponseWriter and, until the response is written, the
// connection that gorilla sees. Nothing of it outlives the upgrade.
type handshake struct {
	*socket
	w      http.ResponseWriter
	r      *http.Request
	stream bool
}

func (hs *handshake) Header() http.Header         { return hs.w.Header() }
func (hs *handshake) WriteHeader(status int)      { hs.w.WriteHeader(status) }
func (hs *handshake) Write(p []byte) (int, error) { return hs.w.Write(p) }

// Hijack gives gorilla the socket. The real connection is taken when the
// response is written.
func (hs *handshake) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	in := inlet{hs.socket}
	hs.br = bufio.NewReaderSize(in, readBuffer)
	hs.opening = hs
	return in, bufio.NewReadWriter(hs.br, bufio.NewWriterSize(in, 16)), nil
}

// respond turns gorilla's response into the server's and takes the connection.
func (hs *handshake) respond(response []byte) error {
	head, ok := bytes.CutSuffix(response, []byte("\r\n\r\n"))
	if !ok {
		return errSplitHandshake
	}
	lines := bytes.Split(head, []byte("\r\n"))
	for _, line := range lines[1:] {
		name, value, _ := bytes.Cut(line, []byte(": "))
		key := textproto.CanonicalMIMEHeaderKey(string(name))
		if hs.stream && (key == "Upgrade" || key == "Connection" || key == "Sec-Websocket-Accept") {
			continue
		}
		hs.w.Header().Set(key, string(value))
	}
	if hs.stream {
		return hs.takeStream()
	}
	hs.w.WriteHeader(http.StatusSwitchingProtocols)
	// The innermost writer: those around it count and time what they pass on, and
	// would be used after the handler has returned.
	conn, brw, err := http.NewResponseController(Innermost(hs.w)).Hijack()
	if err != nil {
		return err
	}
	if err := brw.Flush(); err != nil {
		_ = conn.Close()
		return err
	}
	_ = conn.SetDeadline(time.Time{})
	hs.take(conn)
	if n := brw.Reader.Buffered(); n > 0 {
		early, _ := brw.Reader.Peek(n)
		hs.early = bytes.Clone(early)
	}
	return nil
}

func (hs *handshake) takeStream() error {
	hs.w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(hs.w)
	if err := control.Flush(); err != nil {
		return err
	}
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
	hs.take(newStream(hs.w, hs.r.Body, control))
	return nil
}

// Innermost is the server's own writer below all that wrap it.
func Innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}
