package push

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
)

// The forms of what is encrypted (section 5). The second one is written.
const (
	envelope      = "envelope:"
	envelopeV2    = "envelope:v2:"
	envelopeV1    = "envelope:v1:aes256gcm:"
	envelopeLocal = "envelope:v1:local:"
)

const nonceBytes = 12

// Binding is the place of something encrypted. What has been moved to another place
// cannot be decrypted.
type Binding struct {
	App, ID  string
	Provider Kind
	Version  string
}

func (b Binding) bytes() []byte {
	return []byte(b.App + "|" + b.ID + "|" + b.Provider.Key() + "|" + b.Version)
}

// errEnvelope says as little as there is to say.
var errEnvelope = errors.New("it has been encrypted with another key, for another place, or is damaged")

// Seal encrypts a text with a key of its own, which the first key of the ring wraps.
func (k *Keyring) Seal(text []byte, at Binding) string {
	first := k.keys[0]
	own := make([]byte, 32)
	_, _ = rand.Read(own) // never fails
	data, err := newGCM(own)
	if err != nil {
		panic(err) // the key has the right size
	}
	bound := at.bytes()
	return envelopeV2 + first.id + ":" + encode64(sealWith(first.wrap, own, bound)) + ":" + encode64(sealWith(data, text, bound))
}

// Open decrypts a text that Seal has encrypted, or an earlier server.
func (k *Keyring) Open(sealed string, at Binding) ([]byte, error) {
	if rest, ok := strings.CutPrefix(sealed, envelopeV2); ok {
		return k.openV2(rest, at.bytes())
	}
	if rest, ok := strings.CutPrefix(sealed, envelopeV1); ok {
		return k.openV1(rest)
	}
	if rest, ok := strings.CutPrefix(sealed, envelopeLocal); ok {
		text, err := decode64(rest)
		if err != nil {
			return nil, errEnvelope
		}
		return text, nil
	}
	if strings.HasPrefix(sealed, envelope) {
		return nil, errors.New("it is encrypted in a way that this server does not read")
	}
	return nil, errors.New("it is not encrypted")
}

func (k *Keyring) openV2(rest string, bound []byte) ([]byte, error) {
	parts := strings.Split(rest, ":")
	if len(parts) != 3 {
		return nil, errEnvelope
	}
	wrapped, err := decode64(parts[1])
	if err != nil {
		return nil, errEnvelope
	}
	text, err := decode64(parts[2])
	if err != nil {
		return nil, errEnvelope
	}
	for _, one := range k.keys {
		if one.id != parts[0] {
			continue
		}
		own, err := openWith(one.wrap, wrapped, bound)
		if err != nil || len(own) != 32 {
			return nil, errEnvelope
		}
		data, err := newGCM(own)
		if err != nil {
			return nil, errEnvelope
		}
		return openWith(data, text, bound)
	}
	return nil, errEnvelope
}

// openV1 reads what does not say which key it has been encrypted with.
func (k *Keyring) openV1(rest string) ([]byte, error) {
	sealed, err := decode64(rest)
	if err != nil {
		return nil, errEnvelope
	}
	for _, one := range k.keys {
		if text, err := openWith(one.v1, sealed, nil); err == nil {
			return text, nil
		}
	}
	return nil, errEnvelope
}

// sealWith puts the nonce before what is encrypted.
func sealWith(c cipher.AEAD, text, bound []byte) []byte {
	nonce := make([]byte, nonceBytes, nonceBytes+len(text)+c.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return c.Seal(nonce, nonce, text, bound)
}

func openWith(c cipher.AEAD, sealed, bound []byte) ([]byte, error) {
	if len(sealed) < nonceBytes {
		return nil, errEnvelope
	}
	text, err := c.Open(nil, sealed[:nonceBytes], sealed[nonceBytes:], bound)
	if err != nil {
		return nil, errEnvelope
	}
	return text, nil
}

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode64(text string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(text) }
