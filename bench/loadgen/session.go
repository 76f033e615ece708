//go:build linux

package loadgen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// state is how far a connection has come.
type state uint8

const (
	stateConnecting  state = iota // waiting for connect(2)
	stateUpgrading                // waiting for 101
	stateGreeting                 // waiting for pusher:connection_established
	stateSubscribing              // waiting for pusher_internal:subscription_succeeded
	stateResuming                 // waiting for what was missed or is asked for, and for the word that it is all
	stateReady
	stateClosed
)

// clientMask masks every client frame. Fixed is enough: there is no proxy here
// that could be poisoned.
const clientMask = 0x5ca1ab1e

// errRefused is wrapped when the server answers with an error or closes.
var errRefused = errors.New("refused by the server")

// session is one subscriber connection.
type session struct {
	swarm     *swarm
	number    int
	fd        int // -1 when there is none
	state     state
	channel   int // index of the channel, or -1
	startedAt int64
	socketID  string
	position  position // on joining, where the server tells it

	head   []byte // start of the upgrade response, while incomplete
	frames frameReader
	visit  func(opcode byte, payload []byte) error
	ledger ledger
	roster roster // members seen, on presence channels only
}

func (s *swarm) newSession(number int) *session {
	c := &session{swarm: s, number: number, fd: -1, channel: -1, startedAt: nanos()}
	c.visit = c.onFrame
	if len(s.channels) > 0 {
		c.channel = number % len(s.channels)
	}
	if s.lanes > 0 {
		c.ledger = newLedger(s.lanes)
	}
	return c
}

// serve handles one readiness event.
func (s *swarm) serve(c *session) {
	var err error
	if c.state == stateConnecting {
		err = s.connected(c)
	} else {
		err = s.receive(c)
	}
	if err != nil {
		s.fail(c, err)
	}
}

// receive reads once and handles every complete message of what came.
func (s *swarm) receive(c *session) error {
	n, err := syscall.Read(c.fd, s.scratch)
	s.tally.reads++
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		return fmt.Errorf("read: %w", io.ErrUnexpectedEOF)
	}
	s.now = nanos()
	s.tally.bytes += int64(n)
	chunk := s.scratch[:n]
	if c.state == stateUpgrading {
		c.head = append(c.head, chunk...)
		rest, done, err := cutUpgradeResponse(c.head, handshakeKey(c.number))
		if err != nil || !done {
			return err
		}
		c.head, chunk = nil, rest
		c.state = stateGreeting
	}
	return c.frames.feed(chunk, c.visit)
}

// onFrame handles one complete frame.
func (c *session) onFrame(opcode byte, payload []byte) error {
	switch opcode {
	case dialects[c.swarm.dialect].opcode:
		return c.onMessage(payload)
	case opPing:
		return c.write(appendFrame(nil, opPong, payload, clientMask))
	case opPong:
		return nil
	case opClose:
		if len(payload) >= 2 {
			return fmt.Errorf("%w: close %d %s", errRefused, binary.BigEndian.Uint16(payload), payload[2:])
		}
		return fmt.Errorf("%w: close without a code", errRefused)
	default:
		return fmt.Errorf("%w: opcode %#x", errFrame, opcode)
	}
}

// send writes one message.
func (c *session) send(message []byte) error {
	return c.write(appendFrame(nil, dialects[c.swarm.dialect].opcode, message, clientMask))
}

// write writes all of b at once. A subscriber sends little and rarely, so a full
// socket buffer means that the server has stopped reading.
func (c *session) write(b []byte) error {
	n, err := syscall.Write(c.fd, b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
