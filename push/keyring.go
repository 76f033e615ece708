package push

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Keyring has the keys that encrypt what the store keeps of credentials. The first one
// encrypts, and all of them decrypt, so that a new key can take the place of an old one.
type Keyring struct {
	keys []ringKey
}

// ringKey is one configured key in its uses.
type ringKey struct {
	id   string
	wrap cipher.AEAD // wraps the keys of version 2
	v1   cipher.AEAD // is the key of version 1
}

// NewKeyring makes one of texts, which should have 32 random bytes in some writing. The
// error says which text cannot be one, and nothing of it.
func NewKeyring(keys ...string) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("there is no key for credentials")
	}
	ring := &Keyring{}
	for i, text := range keys {
		text = strings.TrimSpace(text)
		if text == "" {
			return nil, fmt.Errorf("key %d for credentials is empty", i+1)
		}
		k, err := newRingKey(text)
		if err != nil {
			return nil, fmt.Errorf("key %d for credentials cannot be used", i+1)
		}
		for _, other := range ring.keys {
			if other.id == k.id {
				return nil, fmt.Errorf("key %d for credentials is there twice", i+1)
			}
		}
		ring.keys = append(ring.keys, k)
	}
	return ring, nil
}

// newRingKey derives what a key is used for. No two uses have the same bytes.
func newRingKey(text string) (ringKey, error) {
	wrapping, err := hkdf.Key(sha256.New, []byte(text), nil, "sockudo push credentials v2: key encryption", 32)
	if err != nil {
		return ringKey{}, err
	}
	id, err := hkdf.Key(sha256.New, []byte(text), nil, "sockudo push credentials v2: key id", 6)
	if err != nil {
		return ringKey{}, err
	}
	wrap, err := newGCM(wrapping)
	if err != nil {
		return ringKey{}, err
	}
	plain := sha256.Sum256([]byte(text))
	v1, err := newGCM(plain[:])
	return ringKey{id: hex.EncodeToString(id), wrap: wrap, v1: v1}, err
}

func newGCM(k []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// String tells no key.
func (k *Keyring) String() string { return fmt.Sprintf("%d keys", len(k.keys)) }

// GoString tells no key.
func (k *Keyring) GoString() string { return k.String() }
