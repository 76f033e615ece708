package push

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
)

// ErrToken says that a device's identity token is missing or is not the device's.
var ErrToken = errors.New("the identity token of the device is missing or wrong")

const (
	maxHashes     = 2   // of PBKDF2 at one time
	maxTokenBytes = 256 // of a token that somebody presents
	plainPrefix   = "sha256$"
	slowPrefix    = "pbkdf2-sha256$"
	minRounds     = 120_000
	maxRounds     = 2_000_000
)

// newToken is an identity token, and the form in which it is kept. It has 256 random
// bits, which nobody can guess however fast the hash is.
func newToken() (token, secret string) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, plainSecret(token)
}

func plainSecret(token string) string { return plainPrefix + Hash(token) }

// VerifyToken reports with ErrToken whether a token is not that of the device. A device
// that does not exist is storage.ErrNotFound.
func (g *Registry) VerifyToken(ctx context.Context, app, id, token string) error {
	return g.again(ctx, func() error {
		d, err := g.device(ctx, app, id)
		if err != nil {
			return err
		}
		if err := g.verify(ctx, d.Secret, token); err != nil || !strings.HasPrefix(d.Secret, slowPrefix) {
			return err
		}
		// The next time is to be cheap.
		d.Secret = plainSecret(token)
		return g.o.Store.Apply(ctx, g.putDevice(app, d))
	})
}

// verify compares a token with the form in which it is kept.
func (g *Registry) verify(ctx context.Context, secret, token string) error {
	if token == "" || len(token) > maxTokenBytes {
		return ErrToken
	}
	if want, ok := strings.CutPrefix(secret, plainPrefix); ok {
		sum := sha256.Sum256([]byte(token))
		digest, err := hex.DecodeString(want)
		if err != nil || subtle.ConstantTimeCompare(sum[:], digest) != 1 {
			return ErrToken
		}
		return nil
	}
	select {
	case g.hashes <- struct{}{}:
		defer func() { <-g.hashes }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if !verifySlow(secret, token) {
		return ErrToken
	}
	return nil
}

// verifySlow compares a token with a record of an earlier server (section 3.1).
func verifySlow(secret, token string) bool {
	parts := strings.Split(secret, "$")
	if len(parts) != 4 || parts[0]+"$" != slowPrefix {
		return false
	}
	rounds, err := strconv.Atoi(parts[1])
	if err != nil || rounds < minRounds || rounds > maxRounds {
		return false
	}
	salt, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(salt) < 16 || len(salt) > 64 {
		return false
	}
	digest, err := base64.RawURLEncoding.DecodeString(parts[3])
	if err != nil || len(digest) != sha256.Size {
		return false
	}
	sum, err := pbkdf2.Key(sha256.New, token, salt, rounds, sha256.Size)
	return err == nil && subtle.ConstantTimeCompare(sum, digest) == 1
}
