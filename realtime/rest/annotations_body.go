package rest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// maxCount is the highest count of an annotation: clients count in floating-point
// numbers.
const maxCount = 1<<53 - 1

// annotationBody is the body of a call that annotates a message (section 7.4). Members
// are taken in both spellings that there are; the one of the answers wins.
type annotationBody struct {
	protocol.Annotation
	kind protocol.Summarizer

	annotationType, name, encoding         optional
	clientID, socketID, clientID2, socket2 optional
}

// annotation reads the body of a call that annotates a message.
func (c *call) annotation() (*annotationBody, *failure) {
	object, f := c.document()
	if f != nil {
		return nil, f
	}
	b := &annotationBody{}
	if f := b.parse(object); f != nil {
		return nil, f
	}
	return b, nil
}

// parse reads the members. Null means absent, and of a repeated one the last counts.
func (b *annotationBody) parse(object []byte) *failure {
	counted := true
	members := walk(object)
	for name, value, ok := members.member(); ok; name, value, ok = members.member() {
		var f *failure
		switch string(name) {
		case "type":
			f = b.annotationType.take("type", value)
		case "name":
			f = b.name.take("name", value)
		case "clientId":
			f = b.clientID.take("clientId", value)
		case "client_id":
			f = b.clientID2.take("client_id", value)
		case "socketId":
			f = b.socketID.take("socketId", value)
		case "socket_id":
			f = b.socket2.take("socket_id", value)
		case "encoding":
			f = b.encoding.take("encoding", value)
		case "data":
			b.Data = valueOf(value)
		case "count":
			counted, f = b.takeCount(value)
		}
		if f != nil {
			return f
		}
	}
	if !b.annotationType.set {
		return wrongShape.with("type must be a string")
	}
	if !b.clientID.set {
		b.clientID = b.clientID2
	}
	if !b.socketID.set {
		b.socketID = b.socket2
	}
	b.Type, b.Name, b.ClientID, b.Encoding = b.annotationType.text, b.name.text, b.clientID.text, b.encoding.text
	return b.check(counted)
}

// takeCount sets the count, and reports whether it is above zero.
func (b *annotationBody) takeCount(value []byte) (counted bool, f *failure) {
	if b.Count = 0; isNull(value) {
		return true, nil
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return true, wrongShape.with("count must be a whole number")
	}
	b.Count = n
	return n > 0, nil
}

func (b *annotationBody) check(counted bool) *failure {
	switch {
	case !counted:
		return invalidInput.with("Annotation count must be greater than 0")
	case b.Count > maxCount:
		return invalidInput.with(fmt.Sprintf("Annotation count must be at most %d", maxCount))
	}
	var err error
	if b.kind, err = protocol.ParseAnnotationType(b.Type); err != nil {
		return invalidInput.with(err.Error())
	}
	return nil
}

// needs wants what annotations of the type must have. The client may be known only by
// its socket.
func (b *annotationBody) needs() *failure {
	named, identified := strings.TrimSpace(b.Name) != "", strings.TrimSpace(b.ClientID) != ""
	switch {
	case b.kind.NeedsName() && !named:
		return invalidInput.with("annotation name is required for this annotation type")
	case b.kind.NeedsClient() && !identified, b.ClientID != "" && !identified:
		return invalidInput.with("annotation client_id is required for this annotation type")
	}
	return nil
}
