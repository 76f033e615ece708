package apns

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math"
	"sync"
	"time"

	"github.com/sideshow/apns2/token"
)

const (
	// tokenAge is when a token is replaced. APNs takes none older than an hour.
	tokenAge = 50 * time.Minute
	// tokenRest is how long there is no other new token after one that had to be made
	// early. APNs wants none more often than every 20 minutes.
	tokenRest = 20 * time.Minute
)

// bearer has the provider token of one key. The library would make tokens by the clock
// of the system; here it only carries them.
type bearer struct {
	key      *ecdsa.PrivateKey
	team, id string

	mu     sync.Mutex
	made   time.Time // zero for no token yet
	forced time.Time // when one was last made early
	users  int       // guarded by the registry

	carrier *token.Token
}

func newBearer(c *credentials) *bearer {
	b := &bearer{key: c.key, team: c.team, id: c.keyID, carrier: carry(c.token)}
	return b
}

// carry makes the library's holder of a token, which it never replaces by itself.
func carry(text string) *token.Token {
	return &token.Token{Bearer: text, IssuedAt: math.MaxInt64 - token.TokenTimeout}
}

// refresh makes a token if there is none or it is old.
func (b *bearer) refresh(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.key == nil || !b.made.IsZero() && now.Sub(b.made) < tokenAge {
		return nil
	}
	return b.replace(now)
}

// renew is refresh after APNs has refused a token as expired. It reports whether there
// is another one now. Of many that were refused with the same token only the first
// makes one.
func (b *bearer) renew(refused string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current() != refused {
		return true
	}
	if b.key == nil || !b.forced.IsZero() && now.Sub(b.forced) < tokenRest {
		return false
	}
	if b.replace(now) != nil {
		return false
	}
	b.forced = now
	return true
}

func (b *bearer) current() string {
	b.carrier.Lock()
	defer b.carrier.Unlock()
	return b.carrier.Bearer
}

// replace makes a token, with b locked.
func (b *bearer) replace(now time.Time) error {
	text, err := signToken(b.key, b.team, b.id, now)
	if err != nil {
		return err
	}
	b.carrier.Lock()
	b.carrier.Bearer = text
	b.carrier.Unlock()
	b.made = now
	return nil
}

// signToken makes a JWT of a team, whose signature is the two numbers of 32 bytes that
// ES256 means.
func signToken(key *ecdsa.PrivateKey, team, id string, now time.Time) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "ES256", "kid": id})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"iss": team, "iat": now.Unix()})
	if err != nil {
		return "", err
	}
	enc := base64.RawURLEncoding
	text := enc.EncodeToString(header) + "." + enc.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + enc.EncodeToString(signature[:]), nil
}
