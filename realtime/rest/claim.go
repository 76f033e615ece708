package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// An event with a key is claimed once more on each of its channels, layer B of
// section 2.5: this one compares what is published, and it holds whatever
// request the event comes in.
const (
	pendingTries = 40
	pendingPause = 25 * time.Millisecond
)

// record is what the cache keeps of an event on one channel.
type record struct {
	State       string `json:"state"`
	Fingerprint string `json:"fingerprint"`
	// Owner is set while the event is pending.
	Owner string `json:"owner,omitempty"`
	// Receipt is set once it is committed.
	Receipt *receipt `json:"receipt,omitempty"`
}

// receipt is what a publish is acknowledged with, also a repeated one. The serials are
// those of an event that can be changed.
type receipt struct {
	AcknowledgementID string `json:"acknowledgement_id"`
	MessageSerial     string `json:"message_serial,omitempty"`
	HistorySerial     uint64 `json:"history_serial,omitempty"`
	DeliverySerial    uint64 `json:"delivery_serial,omitempty"`
	VersionSerial     string `json:"version_serial,omitempty"`
}

func receiptOf(r realtime.Receipt) receipt {
	if v := r.Revision; v != nil {
		return receipt{v.Message, v.Message, v.History, r.Serial, v.Serial}
	}
	return receipt{AcknowledgementID: r.MessageID}
}

// append appends the members of the receipt.
func (r *receipt) append(dst []byte) []byte {
	dst = append(dst, `"acknowledgement_id":`...)
	dst = protocol.AppendString(dst, r.AcknowledgementID)
	if r.MessageSerial == "" {
		return dst
	}
	dst = protocol.AppendString(append(dst, `,"message_serial":`...), r.MessageSerial)
	dst = fmt.Appendf(dst, `,"history_serial":%d,"delivery_serial":%d,"version_serial":`, r.HistorySerial, r.DeliverySerial)
	return protocol.AppendString(dst, r.VersionSerial)
}

const (
	statePending   = "pending"
	stateCommitted = "committed"
)

func (c *call) checkClaimKey(e *event) *failure {
	key, ok := e.claimKey()
	if !ok || !c.idempotent() {
		return nil
	}
	limit := c.settings().Idempotency.MaxKeyLength
	switch {
	case key == "":
		return invalidInput.with("idempotency key must not be empty")
	case len(key) > limit:
		return invalidInput.with(fmt.Sprintf("idempotency key exceeds %d bytes", limit))
	}
	return nil
}

// publishOnce publishes an event under a claim, or gives the acknowledgement of
// the same event that was published before.
func (c *call) publishOnce(ctx context.Context, e realtime.Event, key string) (accepted receipt, known bool, f *failure) {
	name := claimName(c.app.ID, e.Channel, key)
	digest := fingerprint(e)
	pending := encode(record{State: statePending, Fingerprint: digest, Owner: protocol.NewMessageID()})
	before, stale, f := c.claimChannel(ctx, name, digest, pending)
	switch {
	case before != nil:
		return *before, true, nil
	case f != nil && stale != nil && c.keptOnce(e):
		pending = stale
	case f != nil:
		return accepted, false, f
	}
	settled := false
	defer func() {
		if !settled {
			c.settle(name, pending, nil)
		}
	}()
	run, cancel := context.WithTimeout(context.WithoutCancel(ctx), runTimeout)
	defer cancel()
	r, err := c.live.Publish(run, c.app, e)
	if err != nil {
		return accepted, false, c.unpublished(err)
	}
	settled, accepted = true, receiptOf(r)
	c.settle(name, pending, encode(record{State: stateCommitted, Fingerprint: digest, Receipt: &accepted}))
	return accepted, false, nil
}

// keptOnce reports whether the history of the channel takes an event with a key once,
// whoever publishes it. A claim that stays pending is then no reason to refuse the event:
// the node that has made it may have been killed, perhaps after it had kept the event.
func (c *call) keptOnce(e realtime.Event) bool {
	s := c.settings()
	return s.Drivers.History != nil && !s.History.Deliver && (e.Extras == nil || !e.Extras.Ephemeral) && c.live.HistoryPolicy(c.app, e.Channel).Enabled
}

// claimChannel takes the claim, or gives the receipt of an earlier publish. It
// waits while an equal one is pending, and gives that if it stays so.
func (c *call) claimChannel(ctx context.Context, name, digest string, pending []byte) (before *receipt, stale []byte, f *failure) {
	cache := c.settings().Drivers.Cache
	for try := 0; ; try++ {
		won, err := cache.SetIfAbsent(ctx, name, pending, c.keyTTL())
		if err != nil {
			return nil, nil, c.cacheDown(err)
		}
		if won {
			return nil, nil, nil
		}
		value, err := cache.Get(ctx, name)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return nil, nil, c.cacheDown(err)
		}
		if stale = nil; err == nil {
			stale = value
			known, err := decodeRecord(value)
			switch {
			case err != nil:
				return nil, nil, c.cacheDown(err)
			case known.Fingerprint != digest:
				return nil, nil, errConflict
			case known.State == stateCommitted:
				return known.Receipt, nil, nil
			}
		}
		if try == pendingTries || !wait.For(ctx, pendingPause) {
			c.settings().Log.Info("an equal publish is still pending", zap.String("app", c.app.ID))
			return nil, stale, errClaimPending
		}
	}
}

// claimName is where the record of a key on a channel is kept.
func claimName(app, channel, key string) string {
	sum := sha256.Sum256([]byte(app + "\x00" + channel + "\x00" + key))
	return "idempotency:publish:v1:" + hex.EncodeToString(sum[:])
}

// fingerprint tells whether two events are the same one: channel, name, the
// value of data, the excluded socket, and what is for V2 sockets.
func fingerprint(e realtime.Event) string {
	h := sha256.New()
	data, _ := textOf(e.Data)
	for _, part := range [...]string{e.Channel, e.Name, data, e.Except} {
		addPart(h, part)
	}
	for _, t := range e.Tags {
		addPart(h, t.Key)
		addPart(h, t.Value)
	}
	if e.Extras != nil {
		addPart(h, "extras")
		addPart(h, string(e.Extras.JSON))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// addPart adds a text with its length, so that no two lists of texts are alike.
func addPart(h hash.Hash, part string) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(part)))
	h.Write(size[:])
	h.Write([]byte(part))
}

func encode(r record) []byte {
	text, _ := json.Marshal(r) // strings only
	return text
}

func decodeRecord(text []byte) (record, error) {
	var r record
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&r); err != nil {
		return r, fmt.Errorf("record of a published event: %w", err)
	}
	if r.State == stateCommitted && r.Receipt == nil {
		return r, errors.New("record of a published event has no receipt")
	}
	return r, nil
}
