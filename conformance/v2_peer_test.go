package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// dialect is what a client speaks: a version of the protocol in an encoding.
type dialect struct {
	name string
	// query selects it, and prefix begins the names of the server's events.
	query, prefix string
	// opcode is that of every message, both ways.
	opcode int
	encode func(request) ([]byte, error)
	decode func([]byte) (envelope, error)
}

var (
	inV1        = dialect{"v1", "protocol=7&client=conformance", "pusher", websocket.TextMessage, encodeJSON, decodeV1}
	inJSON      = dialect{"json", "protocol=2", "sockudo", websocket.TextMessage, encodeJSON, decodeV2}
	messagePack = dialect{"msgpack", "protocol=2&format=msgpack", "sockudo", websocket.BinaryMessage, encodeMessagePack, decodeMessagePack}
	protobuf    = dialect{"protobuf", "protocol=2&format=protobuf", "sockudo", websocket.BinaryMessage, encodeProtobuf, decodeProtobuf}
)

// patience is how long a client waits for what has to come.
const patience = 5 * time.Second

// peer is a client that is nothing but a socket and a codec. It keeps what it hears in
// order, and holds each message against what no client may ever get.
type peer struct {
	dialect

	stage *stage
	conn  *websocket.Conn
	id    string
	taken int // messages that the stage has looked at
	// resumes says that what was missed may come after what is live.
	resumes bool

	mu      sync.Mutex
	heard   []envelope
	end     error         // why reading ended
	faults  []string      // what was wrong with messages
	pings   []string      // control pings
	more    chan struct{} // closed and renewed with each message, and at the end
	ids     map[string]bool
	serials map[string]uint64
}

// dial opens a connection and leaves the first message to be taken.
func (s *stage) dial(d dialect, query string) *peer { s.Helper(); return s.dialFrom(d, query, nil) }

func (s *stage) dialFrom(d dialect, query string, header http.Header) *peer {
	s.Helper()
	conn, res, err := s.handshake(d.query+query, header)
	for try := 0; s.loads && cut(err) && try < 5; try++ {
		conn, res, err = s.handshake(d.query+query, header)
	}
	if err != nil {
		s.Fatalf("%s%s: %v (%v)", d.query, query, err, res)
	}
	p := &peer{
		dialect: d, stage: s, conn: conn, more: make(chan struct{}), ids: map[string]bool{}, serials: map[string]uint64{},
	}
	conn.SetPingHandler(func(payload string) error {
		p.mu.Lock()
		p.pings = append(p.pings, payload)
		p.mu.Unlock()
		return conn.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(patience))
	})
	go p.read()
	s.Cleanup(func() {
		conn.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, fault := range p.faults {
			s.Errorf("%s: %s", d.name, fault)
		}
		if s.Failed() {
			s.Logf("%s %s heard:\n%s", d.name, p.id, transcript(p.heard))
		}
	})
	return p
}

// cut reports whether a connection ended before it was answered.
func cut(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (s *stage) handshake(query string, header http.Header) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{HandshakeTimeout: patience}
	return d.Dial("ws://"+s.server.addr()+"/app/"+s.app.Key+"?"+query, header)
}

// client opens a connection of a dialect that has been welcomed. The query is
// appended to that of the dialect.
func (s *stage) client(d dialect, query string) *peer {
	s.Helper()
	p := s.dial(d, query)
	first := p.next()
	var hello struct {
		SocketID string `json:"socket_id"`
	}
	if err := json.Unmarshal([]byte(first.inner(s)), &hello); err != nil || first.Event != d.prefix+":connection_established" || hello.SocketID == "" {
		s.Fatalf("no welcome: %s", first.text)
	}
	p.id = hello.SocketID
	return p
}

// peer is a client in the encoding of the stage, and old one of V1.
func (s *stage) peer() *peer { s.Helper(); return s.client(s.dialect, "") }

func (s *stage) old() *peer { s.Helper(); return s.client(inV1, "") }

// inner is the text of data that is a string.
func (e envelope) inner(s *stage) (body string) {
	s.Helper()
	if err := json.Unmarshal(e.Data, &body); err != nil {
		s.Fatalf("data is no string: %s", e.text)
	}
	return body
}

func (p *peer) read() {
	for {
		opcode, payload, err := p.conn.ReadMessage()
		var e envelope
		if err == nil && opcode != p.opcode {
			err = fmt.Errorf("a frame with opcode %d: %q", opcode, payload)
		} else if err == nil {
			if e, err = p.decode(payload); err != nil {
				err = fmt.Errorf("%w: %q", err, payload)
			}
		}
		p.mu.Lock()
		if p.end = err; err == nil {
			p.heard = append(p.heard, e)
			p.inspect(e)
		} else if ended := new(net.OpError); !errors.As(err, &ended) && !isClose(err) {
			p.faults = append(p.faults, err.Error())
		}
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func isClose(err error) bool {
	closed := new(websocket.CloseError)
	return errors.As(err, &closed)
}

// inspect holds a message against what is true of all. The caller holds mu.
func (p *peer) inspect(e envelope) {
	fault := func(what string) { p.faults = append(p.faults, what+": "+e.text) }
	if class, _, ok := strings.Cut(e.Event, ":"); ok && strings.TrimSuffix(class, "_internal") != p.prefix &&
		(strings.HasPrefix(class, "pusher") || strings.HasPrefix(class, "sockudo")) {
		fault("an event of the other version")
	}
	if wanted := map[bool]string{true: "string", false: "json"}[len(e.Data) > 0 && e.Data[0] == '"']; e.Kind != "" && e.Kind != wanted {
		fault("data of the kind " + e.Kind)
	}
	if p.prefix == "pusher" {
		return
	}
	if quiet := e.Event == "sockudo:pong" || e.Event == "sockudo:ping"; quiet == (e.MessageID != "") {
		fault("with or without a message_id")
	}
	if p.ids[e.MessageID] {
		fault("a second message with this message_id")
	}
	p.ids[e.MessageID] = e.MessageID != ""
	if (e.Serial == nil) != (e.StreamID == "") {
		fault("a serial without a stream_id, or the reverse")
	}
	if e.Serial == nil || strings.HasPrefix(e.Event, "sockudo_internal:") {
		return
	}
	if last := p.serials[e.StreamID]; *e.Serial <= last && !p.resumes {
		fault(fmt.Sprintf("a serial after %d", last))
	}
	p.serials[e.StreamID] = *e.Serial
}

func transcript(heard []envelope) string {
	var b strings.Builder
	for _, e := range heard[max(0, len(heard)-40):] {
		b.WriteString("\t" + e.text + "\n")
	}
	return b.String()
}

// poll is the next message, if one comes in time.
func (p *peer) poll(limit time.Duration) (envelope, error) {
	late := time.After(limit)
	for {
		p.mu.Lock()
		more, end := p.more, p.end
		if p.taken < len(p.heard) {
			e := p.heard[p.taken]
			p.taken++
			p.mu.Unlock()
			return e, nil
		}
		p.mu.Unlock()
		if end != nil {
			return envelope{}, end
		}
		select {
		case <-more:
		case <-late:
			return envelope{}, errors.New("nothing within " + limit.String())
		}
	}
}

func (p *peer) next() envelope {
	p.stage.Helper()
	e, err := p.poll(patience)
	if err != nil {
		p.stage.Fatalf("%s: %v", p.name, err)
	}
	return e
}

// expect takes as many messages as it is given texts, and compares them: as texts
// with … for what the server has drawn, and without what makes names unique.
func (p *peer) expect(want ...string) {
	p.stage.Helper()
	for _, w := range want {
		e, err := p.poll(patience)
		if err != nil {
			p.stage.Fatalf("%s: %v, instead of\n\t%s", p.name, err, w)
		}
		if got := plain(e.text); got != w {
			p.stage.Fatalf("%s: got\n\t%s\nwant\n\t%s", p.name, got, w)
		}
	}
}

// event takes the next message, which must be of that name.
func (p *peer) event(name string) envelope {
	p.stage.Helper()
	e := p.next()
	if e.Event != name {
		p.stage.Fatalf("%s: got\n\t%s\nwant %s", p.name, e.text, name)
	}
	return e
}

// ended waits for the server to close the connection, and says how.
func (p *peer) ended() (code int, reason string) {
	p.stage.Helper()
	e, err := p.poll(patience)
	closed := new(websocket.CloseError)
	if !errors.As(err, &closed) {
		p.stage.Fatalf("%s: not closed: %v %s", p.name, err, e.text)
	}
	return closed.Code, closed.Text
}

// send writes a message.
func (p *peer) send(event, channel string, data any) {
	p.stage.Helper()
	p.ask(request{Event: event, Channel: channel, Data: data})
}

func (p *peer) ask(r request) {
	p.stage.Helper()
	payload, err := p.encode(r)
	if err != nil {
		p.stage.Fatal(err)
	}
	p.write(p.opcode, payload)
}

func (p *peer) write(opcode int, payload []byte) {
	p.stage.Helper()
	if err := p.conn.WriteMessage(opcode, payload); err != nil {
		p.stage.Fatal(err)
	}
}

// close ends the connection as a client should.
func (p *peer) close() {
	p.stage.Helper()
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := p.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patience)); err != nil {
		p.stage.Fatal(err)
	}
}

// drop ends it as a network that fails does: with a reset, and no word.
func (p *peer) drop() {
	p.stage.Helper()
	tcp := p.conn.NetConn().(*net.TCPConn)
	if err := errors.Join(tcp.SetLinger(0), tcp.Close()); err != nil {
		p.stage.Fatal(err)
	}
}
