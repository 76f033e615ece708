package push

import (
	"encoding/json"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Request is a publish as it is asked for (section 7.1).
type Request struct {
	PublishID   string     `json:"publishId,omitempty"`
	Targets     []Target   `json:"recipients"`
	Payload     *Payload   `json:"payload"`
	Overrides   []Override `json:"providerOverrides,omitempty"`
	Sync        bool       `json:"sync,omitempty"`
	NotBeforeMS int64      `json:"notBeforeMs,omitempty"`
	ExpiresAtMS int64      `json:"expiresAtMs,omitempty"`
	TTLSeconds  *int64     `json:"ttlSeconds,omitempty"`
	Suppress    *Suppress  `json:"suppressIfPresent,omitempty"`
}

// Suppress leaves out devices whose user is in a presence channel, on any node.
type Suppress struct {
	// Channel is a presence channel.
	Channel string `json:"channel"`
	// DelaySeconds is how long the publish waits before it looks, at most an hour. Whoever
	// reads what has happened in the meantime, and is in the channel then, is not notified.
	DelaySeconds int64 `json:"delaySeconds,omitempty"`
}

// maxPublishID bounds a publish id, in bytes: the store keeps it with that of a batch.
const maxPublishID = 255

// maxTTL is the longest time that providers keep a notification.
const maxTTL = 2419200 * time.Second

// UnmarshalJSON reads a request with members in either spelling.
func (r *Request) UnmarshalJSON(b []byte) error {
	type plain Request
	var read struct {
		plain
		Key1     string    `json:"idempotencyKey"`
		Key2     string    `json:"idempotency_key"`
		TTL2     *int64    `json:"ttl_seconds"`
		Suppress *Suppress `json:"suppress_if_present"`
	}
	if err := json.Unmarshal(b, &read); err != nil {
		return err
	}
	*r = Request(read.plain)
	for _, other := range []string{read.Key1, read.Key2} {
		if r.PublishID == "" {
			r.PublishID = other
		}
	}
	if r.TTLSeconds == nil {
		r.TTLSeconds = read.TTL2
	}
	if r.Suppress == nil {
		r.Suppress = read.Suppress
	}
	return nil
}

// UnmarshalJSON reads the delay in either spelling.
func (s *Suppress) UnmarshalJSON(b []byte) error {
	type plain Suppress
	var read struct {
		plain
		Delay int64 `json:"delay_seconds"`
	}
	if err := json.Unmarshal(b, &read); err != nil {
		return err
	}
	*s = Suppress(read.plain)
	if s.DelaySeconds == 0 {
		s.DelaySeconds = read.Delay
	}
	return nil
}

// check refuses what cannot be published (section 7.3, step 3).
func (p *Pipeline) check(r *Request) error {
	switch {
	case len(r.PublishID) > maxPublishID:
		return Fault("publishId", "is longer than %d bytes", maxPublishID)
	case len(r.Targets) == 0 || len(r.Targets) > MaxTargets:
		return Fault("recipients", "there must be 1 to %d of them, not %d", MaxTargets, len(r.Targets))
	case r.Payload == nil:
		return Fault("payload", "is missing")
	}
	for i := range r.Targets {
		if err := r.Targets[i].check(index("recipients", i), p.settings.Registry); err != nil {
			return err
		}
	}
	if err := p.checkOverrides(r.Overrides); err != nil {
		return err
	}
	if s := r.Suppress; s != nil {
		switch {
		case protocol.ParseChannel(s.Channel).Kind != protocol.Presence:
			return Fault("suppressIfPresent.channel", "%q is not a presence channel", s.Channel)
		case s.DelaySeconds < 0 || s.DelaySeconds > 3600:
			return Fault("suppressIfPresent.delaySeconds", "%d is not from 0 to 3600", s.DelaySeconds)
		}
	}
	return p.checkTimes(r)
}

func (p *Pipeline) checkTimes(r *Request) error {
	now := p.now().UnixMilli()
	switch {
	case r.NotBeforeMS < 0 || r.ExpiresAtMS < 0:
		return Fault("notBeforeMs", "times must not be negative")
	case r.NotBeforeMS > now+365*24*3600*1000:
		return Fault("notBeforeMs", "is more than a year away")
	case r.TTLSeconds != nil && (*r.TTLSeconds < 0 || *r.TTLSeconds > int64(maxTTL/time.Second)):
		return Fault("ttlSeconds", "%d is not from 0 to %d", *r.TTLSeconds, int64(maxTTL/time.Second))
	case r.ExpiresAtMS != 0 && r.ExpiresAtMS <= r.NotBeforeMS:
		return Fault("expiresAtMs", "is not after notBeforeMs")
	case r.ExpiresAtMS != 0 && r.ExpiresAtMS <= now:
		return Fault("expiresAtMs", "is over")
	}
	return nil
}

// checkOverrides refuses overrides that no publish may have, or that their providers would
// not take.
func (p *Pipeline) checkOverrides(all []Override) error {
	if err := CheckOverrides(all); err != nil {
		return err
	}
	seen := map[Kind]bool{}
	for i := range all {
		o, at := &all[i], index("providerOverrides", i)
		if seen[o.Provider] {
			return Fault(at+".provider", "there is another one for %s", o.Provider)
		}
		seen[o.Provider] = true
		if provider := p.settings.Codecs[o.Provider]; provider != nil {
			if err := provider.CheckPayload(o.Payload, true); err != nil {
				return under(at+".payload", err)
			}
		}
	}
	return nil
}

// times are when a publish is planned and when it is over.
func (p *Pipeline) times(r *Request, now int64) (notBefore, expires int64) {
	notBefore = r.NotBeforeMS
	if r.Suppress != nil && r.Suppress.DelaySeconds > 0 {
		notBefore = max(notBefore, now+r.Suppress.DelaySeconds*1000)
	}
	ttl := p.settings.DefaultTTL
	if r.TTLSeconds != nil {
		ttl = time.Duration(*r.TTLSeconds) * time.Second
	}
	expires = max(now, notBefore) + max(ttl.Milliseconds(), 1000)
	if r.ExpiresAtMS != 0 && (r.TTLSeconds == nil || r.ExpiresAtMS < expires) {
		expires = r.ExpiresAtMS
	}
	return notBefore, expires
}
