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

// receipt is what a repeated publish is answered with.
type receipt struct {
	AcknowledgementID string `json:"acknowledgement_id"`
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
func (c *call) publishOnce(ctx context.Context, e realtime.Event, key, ack string) (id string, known bool, f *failure) {
	name := claimName(c.app.ID, e.Channel, key)
	digest := fingerprint(e)
	pending := encode(record{State: statePending, Fingerprint: digest, Owner: newID()})
	before, f := c.claimChannel(ctx, name, digest, pending)
	if f != nil {
		return "", false, f
	}
	if before != nil {
		return before.AcknowledgementID, true, nil
	}
	settled := false
	defer func() {
		if !settled {
			c.settle(name, pending, nil)
		}
	}()
	run, cancel := context.WithTimeout(context.WithoutCancel(ctx), runTimeout)
	defer cancel()
	if err := c.live.Publish(run, c.app, e); err != nil {
		return "", false, c.unpublished(err)
	}
	settled = true
	c.settle(name, pending, encode(record{State: stateCommitted, Fingerprint: digest, Receipt: &receipt{ack}}))
	return ack, false, nil
}

// claimChannel takes the claim, or gives the receipt of an earlier publish. It
// waits while an equal one is pending.
func (c *call) claimChannel(ctx context.Context, name, digest string, pending []byte) (*receipt, *failure) {
	cache := c.settings().Drivers.Cache
	for try := 0; ; try++ {
		won, err := cache.SetIfAbsent(ctx, name, pending, c.keyTTL())
		if err != nil {
			return nil, c.cacheDown(err)
		}
		if won {
			return nil, nil
		}
		value, err := cache.Get(ctx, name)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return nil, c.cacheDown(err)
		}
		if err == nil {
			known, err := decodeRecord(value)
			switch {
			case err != nil:
				return nil, c.cacheDown(err)
			case known.Fingerprint != digest:
				return nil, errConflict
			case known.State == stateCommitted:
				return known.Receipt, nil
			}
		}
		if try == pendingTries || !wait.For(ctx, pendingPause) {
			c.settings().Log.Info("an equal publish is still pending", zap.String("app", c.app.ID))
			return nil, errClaimPending
		}
	}
}

// claimName is where the record of a key on a channel is kept.
func claimName(app, channel, key string) string {
	sum := sha256.Sum256([]byte(app + "\x00" + channel + "\x00" + key))
	return "idempotency:publish:v1:" + hex.EncodeToString(sum[:])
}

// fingerprint tells whether two events are the same one: channel, name, the
// value of data and the excluded socket.
func fingerprint(e realtime.Event) string {
	h := sha256.New()
	data, _ := textOf(e.Data)
	for _, part := range [...]string{e.Channel, e.Name, data, e.Except} {
		addPart(h, part)
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
