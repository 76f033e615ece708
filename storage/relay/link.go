package relay

import (
	"context"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Packet is what one node sends to the others.
type Packet struct {
	// Topic is where it belongs. A node gets the packets of the topics that it has
	// subscribed to.
	Topic protocol.Topic
	// Data is opaque to the driver.
	Data []byte
}

// Dial connects to the engine and logs in. It is bounded by ctx, and the link must
// not keep ctx. What the engine brings, and the loss of the connection, go to in;
// both may come before Dial returns.
type Dial func(ctx context.Context, in *Inlet) (Link, error)

// Link is one connection of this node to the engine, or several that live and die
// together. It lives once: after Close or Inlet.Lost nobody calls it but for Close.
//
// Calls come from several goroutines, but there is one Send or Flush at a time, and
// one Subscribe or Unsubscribe at a time. Every call returns soon after its context
// has ended or the link is closed. An error of a call means that the link is lost.
//
// A topic is any text, of any length, with any bytes in it. Different topics must
// have different names in the engine. The zero Topic is that of all nodes.
type Link interface {
	// Send hands packets to the engine in their order, as one batch without a round
	// trip for each. It does not have to wait until the engine has them; if it does,
	// a Send that takes long makes the next batch larger. It must not keep the packets
	// or their data.
	Send(ctx context.Context, packets []Packet) error
	// Flush returns when the engine has all that was sent before.
	Flush(ctx context.Context) error
	// Subscribe returns when all that is published on the topics from then on will
	// come. A topic is subscribed to once, until Unsubscribe.
	Subscribe(ctx context.Context, topics []protocol.Topic) error
	// Unsubscribe ends that. Packets that are under way may still come.
	Unsubscribe(ctx context.Context, topics []protocol.Topic) error
	// MaxSize is the size in bytes of the data that the engine takes in one packet.
	MaxSize() int
	// Close ends the connection and all goroutines of the link.
	Close() error
}

// Prober is a Link whose engine does not bring a node what it has sent itself, so
// that the relay cannot send probes to itself.
type Prober interface {
	// Probe returns when the engine has answered something that was asked after
	// everything that was sent before.
	Probe(ctx context.Context) error
}

// Inlet is where a link reports. It may be called by several goroutines, during and
// after the life of the link.
type Inlet struct{ s *session }

// Received takes the data of a packet, which belongs to the relay from then on.
// Packets of one topic come in the order of the engine, those of this node too if
// the engine brings them. It does not block for long.
func (in *Inlet) Received(data []byte) {
	s := in.s
	s.receiving.RLock()
	defer s.receiving.RUnlock()
	if !s.over {
		s.a.received(data)
	}
}

// Missed says that packets were lost although the link goes on, such as those that
// the client has dropped because it had too many. n is their number if that is
// known, or 1.
func (in *Inlet) Missed(n int) { in.s.a.missed(n) }

// Lost says that the link is lost, and why. The relay closes it.
func (in *Inlet) Lost(cause error) { in.s.lose(cause) }

// Event counts something that the driver's client has reported.
func (in *Inlet) Event(name string) { in.s.a.counts.event(name) }
