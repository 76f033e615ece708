package relay

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// A packet begins with the version of this layout, what it is, the id of the relay
// that has sent it, and the number of the link by which it did:
//
//	version  1 byte, 1
//	kind     1 byte, 0 for an envelope, 1 for a probe
//	sender   8 bytes
//	link     4 bytes, big endian
//
// An envelope or the number of a probe, 8 bytes, is the rest.
const (
	packetVersion = 1
	headerSize    = 14

	kindEnvelope = 0
	kindProbe    = 1
)

// sender is the id of a relay. Each that is opened has another one, so that it
// knows what it has sent itself.
type sender [8]byte

var errMalformed = errors.New("not a packet of this version")

func (id sender) header(kind byte, size int) []byte {
	b := append(make([]byte, 0, headerSize+size), packetVersion, kind)
	return append(append(b, id[:]...), 0, 0, 0, 0) // see stamp
}

func (id sender) envelope(e *protocol.Envelope) []byte {
	return e.AppendBinary(id.header(kindEnvelope, e.BinarySize()))
}

func (id sender) probe(number uint64) []byte {
	return binary.BigEndian.AppendUint64(id.header(kindProbe, 8), number)
}

// stamp writes the number of the link by which packets are sent.
func stamp(packets []Packet, link uint32) {
	for _, p := range packets {
		binary.BigEndian.PutUint32(p.Data[headerSize-4:], link)
	}
}

// packet is what was received.
type packet struct {
	kind byte
	from sender
	link uint32
	rest []byte
}

func open(data []byte) (packet, error) {
	if len(data) < headerSize || data[0] != packetVersion || data[1] > kindProbe {
		return packet{}, errMalformed
	}
	return packet{data[1], sender(data[2:10]), binary.BigEndian.Uint32(data[10:]), data[headerSize:]}, nil
}

// maxSenders bounds the relays whose links are known. There are as many as nodes
// have been opened lately.
const maxSenders = 1 << 14

// links knows the newest link of each relay. What a relay has sent by an older one
// and was held up on the way would break the order, and that relay has counted it
// as dropped.
type links struct {
	mu     sync.Mutex
	newest map[sender]uint32
}

func (l *links) late(p packet) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := l.newest[p.from]
	if p.link == newest {
		return false
	}
	if p.link < newest {
		return true
	}
	if len(l.newest) >= maxSenders {
		clear(l.newest)
	}
	l.newest[p.from] = p.link
	return false
}
