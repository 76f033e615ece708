package apns

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"time"
)

// maxBearers bounds the tokens that are kept though nobody sends with them.
const maxBearers = 4096

// bearers are the tokens of this process. They outlive their senders, because a sender
// goes with each reload of the configuration while APNs counts the tokens of a key.
var bearers = registry{kept: map[identity]*bearer{}}

// identity is a key and what APNs knows it by.
type identity struct {
	team, id string
	public   [sha256.Size]byte
}

// registry has the tokens of keys.
type registry struct {
	mu   sync.Mutex
	kept map[identity]*bearer
}

// take is the token of credentials, for one more sender.
func (g *registry) take(c *credentials, now time.Time) (*bearer, error) {
	if c.key == nil {
		return newBearer(c), nil
	}
	public, err := x509.MarshalPKIXPublicKey(&c.key.PublicKey)
	if err != nil {
		return nil, err
	}
	name := identity{c.team, c.keyID, sha256.Sum256(public)}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tidy(now)
	b := g.kept[name]
	if b == nil {
		b = newBearer(c)
		g.kept[name] = b
	}
	b.users++
	return b, nil
}

// give is for a sender that is done.
func (g *registry) give(b *bearer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b.users--
}

// tidy forgets tokens that nobody uses and that are old, or are too many.
func (g *registry) tidy(now time.Time) {
	crowded := len(g.kept) >= maxBearers
	for name, b := range g.kept {
		if b.users > 0 {
			continue
		}
		b.mu.Lock()
		old := now.Sub(b.made) > time.Hour
		b.mu.Unlock()
		if old || crowded {
			delete(g.kept, name)
		}
	}
}
