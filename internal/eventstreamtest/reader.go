// Package eventstreamtest reads what package eventstream writes, in tests. It decodes the
// bytes by itself.
package eventstreamtest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// deadline bounds what a test waits for.
const deadline = 20 * time.Second

// Message is an Event, as read.
type Message struct {
	// Metadata says that the message describes a metric, and is not an operation on one.
	Metadata bool
	// Name is that of the metric.
	Name string

	// Kind is 0 for a counter, 1 for a gauge, 2 for a histogram.
	Kind              uint64
	Unit, Description string

	At     time.Time
	Labels map[string]string
	// Op is the number of the field that says what happened, and Value what it says.
	Op    int
	Value float64
}

// String is the message in words.
func (m Message) String() string {
	if m.Metadata {
		return fmt.Sprintf("metadata %s %d %q %q", m.Name, m.Kind, m.Unit, m.Description)
	}
	return fmt.Sprintf("metric %s %v %d %v", m.Name, m.Labels, m.Op, m.Value)
}

// Reader is a client of a server.
type Reader struct {
	net.Conn
	buffered *bufio.Reader
}

// Dial connects to a server, until the test ends.
func Dial(t *testing.T, address string) *Reader {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &Reader{conn, bufio.NewReader(conn)}
}

// Rest is what comes after the messages that have been read.
func (r *Reader) Rest() *bufio.Reader { return r.buffered }

// Next reads one message.
func (r *Reader) Next(t *testing.T) Message {
	t.Helper()
	_ = r.SetReadDeadline(time.Now().Add(deadline))
	size, err := binary.ReadUvarint(r.buffered)
	if err != nil {
		t.Fatalf("length of a message: %v", err)
	}
	if size > 1<<20 {
		t.Fatalf("a message of %d bytes", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r.buffered, body); err != nil {
		t.Fatalf("message: %v", err)
	}
	return decode(t, body)
}

// fields calls f for each field of a message. Numbers come as bits, the rest as bytes.
func fields(t *testing.T, b []byte, f func(n protowire.Number, bits uint64, bytes []byte)) {
	t.Helper()
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			t.Fatalf("a tag: %v", protowire.ParseError(size))
		}
		b = b[size:]
		var bits uint64
		var bytes []byte
		switch kind {
		case protowire.VarintType:
			bits, size = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			bits, size = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			bytes, size = protowire.ConsumeBytes(b)
		default:
			t.Fatalf("field %d has wire type %d", n, kind)
		}
		if size < 0 {
			t.Fatalf("field %d: %v", n, protowire.ParseError(size))
		}
		b = b[size:]
		f(n, bits, bytes)
	}
}

func decode(t *testing.T, b []byte) Message {
	t.Helper()
	var m Message
	fields(t, b, func(n protowire.Number, _ uint64, body []byte) {
		m.Metadata = n == 1
		switch n {
		case 1:
			m.decodeMetadata(t, body)
		case 2:
			m.decodeMetric(t, body)
		default:
			t.Fatalf("an event has field %d", n)
		}
	})
	return m
}

func (m *Message) decodeMetadata(t *testing.T, b []byte) {
	t.Helper()
	fields(t, b, func(n protowire.Number, bits uint64, text []byte) {
		switch n {
		case 1:
			m.Name = string(text)
		case 2:
			m.Kind = bits
		case 3:
			m.Unit = string(text)
		case 4:
			m.Description = string(text)
		default:
			t.Fatalf("metadata has field %d", n)
		}
	})
}

func (m *Message) decodeMetric(t *testing.T, b []byte) {
	t.Helper()
	m.Labels = map[string]string{}
	fields(t, b, func(n protowire.Number, bits uint64, bytes []byte) {
		switch n {
		case 1:
			m.Name = string(bytes)
		case 2:
			var s, ns uint64
			fields(t, bytes, func(n protowire.Number, bits uint64, _ []byte) {
				if n == 1 {
					s = bits
				} else {
					ns = bits
				}
			})
			m.At = time.Unix(int64(s), int64(ns))
		case 3:
			var key, value string
			fields(t, bytes, func(n protowire.Number, _ uint64, text []byte) {
				if n == 1 {
					key = string(text)
				} else {
					value = string(text)
				}
			})
			m.Labels[key] = value
		case 4, 5:
			m.Op, m.Value = int(n), float64(bits)
		default:
			m.Op, m.Value = int(n), math.Float64frombits(bits)
		}
	})
}
