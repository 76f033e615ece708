package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// idleLink is how long a sender that nobody uses is kept, so that a reload neither makes
// connections nor access tokens again.
const idleLink = 10 * time.Minute

// link is a sender with a set of credentials. It is the hub's: a reload with the same
// credentials has the same one.
type link struct {
	name   string
	sender Sender
	refs   int
	unused time.Time
}

// materialError is why there is no sender for an app. It tells nothing secret.
type materialError struct{ cause error }

// Error names the fault.
func (e *materialError) Error() string { return e.cause.Error() }

// linkOf is the sender for an app: with its newest credentials, or with those of the
// configuration.
func (p *Pipeline) linkOf(ctx context.Context, app string, kind Kind) (*link, error) {
	setup := p.settings.Setups[kind]
	material, owner := setup.Material, ""
	_, _, own, err := p.settings.Registry.Material(ctx, app, kind)
	switch {
	case err == nil:
		material, owner = own, app
	case errors.As(err, new(*FieldError)):
		return nil, &materialError{err}
	case !errors.Is(err, storage.ErrNotFound):
		return nil, fmt.Errorf("reading credentials: %w", err)
	}
	if len(material) == 0 {
		return nil, &materialError{fmt.Errorf("neither the app nor the configuration has credentials for %s", kind)}
	}
	name := fmt.Sprintf("%s %s %s %s", kind, owner, setup.Digest, Hash(string(material)))
	place := string(kind) + " " + owner
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.senders[place]
	if old != nil && old.name == name {
		return old, nil
	}
	l, err := p.board.link(name, func() (Sender, error) {
		return p.connect(kind, material, setup.Options)
	})
	if err != nil {
		return nil, &materialError{err}
	}
	if p.senders[place] = l; old != nil {
		p.board.giveBack(map[string]*link{place: old}) // who is using it still has it
	}
	return l, nil
}

func (p *Pipeline) connect(kind Kind, material json.RawMessage, o ConnectOptions) (Sender, error) {
	if o.Log == nil {
		o.Log = p.settings.Log
	}
	return p.settings.Codecs[kind].Connect(material, o)
}
