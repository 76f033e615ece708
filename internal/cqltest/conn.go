package cqltest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/datastax/go-cassandra-native-protocol/frame"
	"github.com/datastax/go-cassandra-native-protocol/message"
	"github.com/datastax/go-cassandra-native-protocol/primitive"
)

// maxBody bounds one request, as the real ones do by default.
const maxBody = 16 << 20

// version is that of the protocol.
const version = primitive.ProtocolVersion4

// phase is how far a client has come.
type phase int

const (
	strange       phase = iota // it has said nothing yet
	authenticates              // it is to log in
	ready
)

// conn is the connection of a client.
type conn struct {
	net.Conn
	node  *Node
	phase phase
	user  string // who has logged in
	login Login

	writing sync.Mutex
	closing sync.Once
	running sync.WaitGroup
}

func (c *conn) close() { c.closing.Do(func() { _ = c.Conn.Close() }) }

// serve answers requests until the connection ends. Statements are executed side by
// side, as they come.
func (c *conn) serve() {
	defer c.running.Wait()
	defer c.close()
	in, codec := bufio.NewReader(c), frame.NewRawCodec()
	for {
		if first, err := in.Peek(1); err != nil || primitive.ProtocolVersion(first[0]) != version {
			if err == nil {
				c.refuseVersion(in)
			}
			return
		}
		raw, err := codec.DecodeRawFrame(io.LimitReader(in, maxBody))
		if err != nil {
			return
		}
		request, err := codec.ConvertFromRawFrame(raw)
		if err != nil {
			c.send(raw.Header.StreamId, &message.ProtocolError{ErrorMessage: err.Error()})
			return
		}
		if !c.take(request) {
			return
		}
	}
}

// refuseVersion answers a client that speaks another version of the protocol.
func (c *conn) refuseVersion(in io.Reader) {
	head := make([]byte, 9)
	if _, err := io.ReadFull(in, head); err != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, in, int64(min(maxBody, uint32(head[5])<<24|uint32(head[6])<<16|uint32(head[7])<<8|uint32(head[8]))))
	c.send(0, &message.ProtocolError{ErrorMessage: fmt.Sprintf("Invalid or unsupported protocol version (%d); the lowest supported version is 4 and the greatest is 4", head[0]&0x7f)})
}

func (c *conn) send(stream int16, m message.Message) {
	var text bytes.Buffer
	if err := frame.NewRawCodec().EncodeFrame(frame.NewFrame(version, stream, m), &text); err != nil {
		text.Reset()
		fault := &message.ServerError{ErrorMessage: err.Error()}
		if err := frame.NewRawCodec().EncodeFrame(frame.NewFrame(version, stream, fault), &text); err != nil {
			c.close()
			return
		}
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_, _ = c.Write(text.Bytes())
}

// take does what a request asks for. It reports whether another one may come.
func (c *conn) take(request *frame.Frame) bool {
	stream := request.Header.StreamId
	if m, ok := request.Body.Message.(*message.Options); ok && m != nil {
		c.send(stream, &message.Supported{Options: map[string][]string{"CQL_VERSION": {"3.3.1"}, "COMPRESSION": {}}})
		return true
	}
	if c.phase != ready {
		answer := c.admit(request.Body.Message)
		c.send(stream, answer)
		_, refused := answer.(message.Error)
		return !refused
	}
	switch m := request.Body.Message.(type) {
	case *message.Register:
		c.send(stream, &message.Ready{}) // it tells of nothing, since nothing changes by itself
	case *message.Query, *message.Prepare, *message.Execute, *message.Batch:
		c.running.Go(func() { c.answer(stream, m) })
	default:
		c.send(stream, &message.ProtocolError{ErrorMessage: fmt.Sprintf("this server does not know %v", m)})
		return false
	}
	return true
}

// admit takes a client in.
func (c *conn) admit(m message.Message) message.Message {
	logins := c.node.server.options.Logins
	switch m := m.(type) {
	case *message.Startup:
		switch {
		case c.phase != strange || m.Options["CQL_VERSION"] == "":
			return &message.ProtocolError{ErrorMessage: "Invalid STARTUP"}
		case m.Options["COMPRESSION"] != "":
			return &message.ProtocolError{ErrorMessage: "Unsupported compression " + m.Options["COMPRESSION"]}
		case logins == nil:
			c.phase, c.user = ready, "anonymous"
			return &message.Ready{}
		}
		c.phase = authenticates
		return &message.Authenticate{Authenticator: "org.apache.cassandra.auth.PasswordAuthenticator"}
	case *message.AuthResponse:
		parts := bytes.Split(m.Token, []byte{0})
		if c.phase != authenticates || len(parts) != 3 {
			return &message.ProtocolError{ErrorMessage: "Invalid AUTH_RESPONSE"}
		}
		user := string(parts[1])
		login, ok := logins[user]
		if !ok || login.Password != string(parts[2]) {
			return &message.AuthenticationError{ErrorMessage: "Provided username " + user + " and/or password are incorrect"}
		}
		c.phase, c.user, c.login = ready, user, login
		return &message.AuthSuccess{}
	}
	return &message.ProtocolError{ErrorMessage: fmt.Sprintf("Unexpected message %v, expecting STARTUP or AUTH_RESPONSE", m)}
}

// may is an error if the client has no right to something.
func (c *conn) may(right, on string) error {
	if c.node.server.options.Logins == nil || slices.Contains(c.login.Rights, right) {
		return nil
	}
	return &FaultError{&message.Unauthorized{ErrorMessage: fmt.Sprintf("User %s has no %s permission on <%s> or any of its parents", c.user, right, on)}}
}

// answer answers a request that is about a statement.
func (c *conn) answer(stream int16, m message.Message) {
	result, err := c.do(m)
	if errors.Is(err, ErrDrop) {
		c.close()
		return
	}
	if fault, ok := errors.AsType[*FaultError](err); ok {
		c.send(stream, fault.Message)
		return
	}
	if err != nil {
		result = &message.ServerError{ErrorMessage: err.Error()}
	}
	c.send(stream, result)
}
