package realtime

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Kind says what a Happening is.
type Kind string

// What a hub tells its taps. Each is told by the node on which it happens.
const (
	// Connected and Disconnected are the begin and the end of a connection.
	Connected    Kind = "connected"
	Disconnected Kind = "disconnected"
	// Subscribed and Unsubscribed are those of one connection to one channel.
	Subscribed   Kind = "subscribed"
	Unsubscribed Kind = "unsubscribed"
	// ChannelOccupied and ChannelVacated are the first and the last subscription to a channel
	// on this node.
	ChannelOccupied Kind = "channel_occupied"
	ChannelVacated  Kind = "channel_vacated"
	// MemberAdded and MemberRemoved are users of presence channels, of all nodes, as this node
	// comes to know of them. Here is set for those of this node.
	MemberAdded   Kind = "member_added"
	MemberRemoved Kind = "member_removed"
	// Published is an event that a backend has published, and ClientEvent one of a client. Here is
	// set for those that this node has accepted; others have come from another node.
	Published   Kind = "published"
	ClientEvent Kind = "client_event"
	// Received is an inbound message of a client, and Refused the error that it got.
	Received Kind = "received"
	Refused  Kind = "refused"
	// DrainStarted and DrainEnded are told when the node stops admitting connections, and when it
	// admits them again.
	DrainStarted Kind = "drain_started"
	DrainEnded   Kind = "drain_ended"
)

// Kinds are all kinds.
var Kinds = []Kind{
	Connected, Disconnected, Subscribed, Unsubscribed, ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved,
	Published, ClientEvent, Received, Refused, DrainStarted, DrainEnded,
}

// maxTapData bounds the payload that a Happening carries, in bytes.
const maxTapData = 16 << 10

// Happening is one thing that has happened in a hub on this node.
type Happening struct {
	At   time.Time `json:"at"`
	Kind Kind      `json:"kind"`
	// Here is set if a connection or an API call of this node is the cause.
	Here     bool   `json:"here"`
	App      string `json:"app_id,omitempty"`
	Channel  string `json:"channel,omitempty"`
	Event    string `json:"event,omitempty"`
	SocketID string `json:"socket_id,omitempty"`
	UserID   string `json:"user_id,omitempty"`
	ClientIP string `json:"client_ip,omitempty"`
	// Data is the payload as text, cut after 16 KiB, and Size its whole length in bytes.
	Data string `json:"data,omitempty"`
	Size int    `json:"size,omitempty"`
	// Code and Reason are those of an error that a client got. Of a new connection the reason is its
	// origin.
	Code   int    `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// size is roughly what a happening takes, in bytes.
func (h *Happening) size() int {
	return 200 + len(h.App) + len(h.Channel) + len(h.Event) + len(h.SocketID) + len(h.UserID) + len(h.Data) + len(h.Reason)
}

// TapFilter chooses what a tap hears. Its zero value is everything.
type TapFilter struct {
	// App is the only app, or "" for all.
	App string
	// Channel is the only channel, a prefix of channels that ends with an asterisk, or "" for all. With
	// it only what happens in channels is heard.
	Channel string
	// SocketID is the only connection, or "" for all.
	SocketID string
	// UserID is the only user, or "" for all.
	UserID string
	// Kinds are those that are heard, none for all.
	Kinds []Kind
	// NoData leaves payloads out.
	NoData bool
}

func (f *TapFilter) wants(h *Happening) bool {
	return (len(f.Kinds) == 0 || slices.Contains(f.Kinds, h.Kind)) &&
		(f.App == "" || f.App == h.App) &&
		(f.SocketID == "" || f.SocketID == h.SocketID) &&
		(f.UserID == "" || f.UserID == h.UserID) &&
		f.wantsChannel(h.Channel)
}

func (f *TapFilter) wantsChannel(channel string) bool {
	if prefix, ok := strings.CutSuffix(f.Channel, "*"); ok {
		return channel != "" && strings.HasPrefix(channel, prefix)
	}
	return f.Channel == "" || f.Channel == channel
}

// Tap hears what happens in a hub on this node, in the order of each connection and channel. It
// never holds anything up: what it has no room for is counted instead.
type Tap struct {
	hub    *Hub
	filter atomic.Pointer[TapFilter]
	room   int

	mu      sync.Mutex
	waiting []Happening
	bytes   int
	missed  uint64
	wake    chan struct{} // holds one when there is something
	ended   bool
}

// Tap begins to listen. room bounds what waits to be taken, in bytes. Close ends it.
func (h *Hub) Tap(filter TapFilter, room int) *Tap {
	t := &Tap{hub: h, room: room, wake: make(chan struct{}, 1)}
	t.Listen(filter)
	h.taps.change(func(taps []*Tap) []*Tap { return append(taps, t) })
	return t
}

// Listen changes what the tap hears from now on.
func (t *Tap) Listen(filter TapFilter) { t.filter.Store(&filter) }

// Close ends the tap. Next returns what is still waiting, and then ErrTapClosed.
func (t *Tap) Close() {
	t.hub.taps.change(func(taps []*Tap) []*Tap {
		return slices.DeleteFunc(taps, func(other *Tap) bool { return other == t })
	})
	t.end()
}

func (t *Tap) end() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	t.signal()
}

func (t *Tap) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Next waits for something to happen, and takes all that is waiting. missed counts what the tap
// had no room for since the last call. It returns ErrTapClosed after Close and after the end of the
// hub, and the error of ctx. One goroutine at a time calls it.
func (t *Tap) Next(ctx context.Context) (all []Happening, missed uint64, err error) {
	for {
		t.mu.Lock()
		all, missed = t.waiting, t.missed
		t.waiting, t.bytes, t.missed = nil, 0, 0
		ended := t.ended
		t.mu.Unlock()
		switch {
		case len(all) > 0 || missed > 0:
			return all, missed, nil
		case ended:
			t.signal() // for the next call
			return nil, 0, ErrTapClosed
		}
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-t.wake:
		}
	}
}

// tell adds a happening, if the tap wants it.
func (t *Tap) tell(h Happening) {
	filter := t.filter.Load()
	if !filter.wants(&h) {
		return
	}
	if filter.NoData {
		h.Data = ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	if size := h.size(); t.bytes+size > t.room {
		t.missed++
	} else {
		t.waiting = append(t.waiting, h)
		t.bytes += size
	}
	t.signal()
}

// tapped reports whether anybody listens. What a happening needs is to be made only then.
func (h *Hub) tapped() bool { return h.taps.list.Load() != nil }

// tell tells all taps. Nobody waits for them.
func (h *Hub) tell(what Happening) {
	taps := h.taps.list.Load()
	if taps == nil {
		return
	}
	what.At = time.Now()
	for _, t := range *taps {
		t.tell(what)
	}
}

// tellPublished tells of an event that was accepted here, or has come from another node.
func (h *Hub) tellPublished(e *protocol.Envelope, here bool) {
	if !h.tapped() || e.Kind != protocol.KindEvent && e.Kind != protocol.KindUserEvent {
		return
	}
	what := Happening{Kind: Published, Here: here, App: e.App, Channel: e.Channel, Event: e.Event, SocketID: e.Except, UserID: e.Publisher}
	if e.Client {
		what.Kind = ClientEvent
	}
	what.Data, what.Size = tapData(e.Data)
	h.tell(what)
}

// tell tells what a connection does. It makes nothing of it while nobody listens.
func (c *Conn) tell(kind Kind, what Happening) {
	if !c.hub.tapped() {
		return
	}
	what.Kind, what.Here, what.App, what.SocketID, what.ClientIP = kind, true, c.app.id, c.id, c.clientIP
	c.hub.tell(what)
}

// tell tells what becomes of a subscription. The caller holds the channel's lock.
func (sub *subscription) tell(kind Kind) {
	what := Happening{Channel: sub.channel.info.Name}
	if sub.member != nil {
		what.UserID = sub.member.UserID
	}
	sub.conn.tell(kind, what)
}

// tellTaps tells what becomes of a channel.
func (ch *channel) tellTaps(kind Kind, user string, here bool) {
	ch.app.hub.tell(Happening{Kind: kind, Here: here, App: ch.app.id, Channel: ch.info.Name, UserID: user})
}

// tellReceived tells of an inbound message.
func (c *Conn) tellReceived(m protocol.Message, size int) {
	if !c.hub.tapped() {
		return
	}
	data, _ := tapData(m.Data)
	if hidesData(m.Event) {
		data = "" // signatures and tokens are nobody's business
	}
	c.tell(Received, Happening{Channel: m.Channel, Event: m.Event, Data: data, Size: size})
}

// hidesData reports whether the data of an inbound event authorize somebody.
func hidesData(event string) bool {
	name, ok := protocol.Canonical(event)
	return ok && (name == "subscribe" || name == "signin" || name == "auth")
}

// tapData is a payload as text of bounded length, and its whole length.
func tapData(data []byte) (string, int) {
	cut := data
	if len(cut) > maxTapData {
		cut = cut[:maxTapData]
		for len(cut) > 0 && !utf8.RuneStart(data[len(cut)]) {
			cut = cut[:len(cut)-1]
		}
	}
	return strings.ToValidUTF8(string(cut), "\uFFFD"), len(data)
}
