package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	saltSize = 16
	// recordSize is what is written as the size of a record. A message is one record, so
	// all that counts is that it is not shorter than that.
	recordSize = 4096
	// preambleSize is that of salt, size of a record, length of the key and key.
	preambleSize = saltSize + 4 + 1 + pointSize
	tagSize      = 16
	// lastRecord ends the last record, with padding behind it if there were any.
	lastRecord = 2
)

// encrypt makes a message for the browser that has key and auth.
func encrypt(plaintext []byte, key *ecdh.PublicKey, auth []byte) ([]byte, error) {
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	var salt [saltSize]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, fmt.Errorf("making a salt: %w", err)
	}
	return seal(plaintext, key, auth, own, salt)
}

// seal encrypts with a key and salt that have been used for nothing else. The names of
// the values are those of RFC 8291, section 3.4.
func seal(plaintext []byte, key *ecdh.PublicKey, auth []byte, own *ecdh.PrivateKey, salt [saltSize]byte) ([]byte, error) {
	secret, err := own.ECDH(key)
	if err != nil {
		return nil, fmt.Errorf("agreeing on a secret: %w", err)
	}
	asPublic := own.PublicKey().Bytes()
	info := make([]byte, 0, 14+2*pointSize)
	info = append(info, "WebPush: info\x00"...)
	info = append(info, key.Bytes()...)
	info = append(info, asPublic...)
	ikm, err := hkdf.Key(sha256.New, secret, auth, string(info), 32)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	prk, err := hkdf.Extract(sha256.New, ikm, salt[:])
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	cek, err := hkdf.Expand(sha256.New, prk, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	nonce, err := hkdf.Expand(sha256.New, prk, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, fmt.Errorf("deriving a nonce: %w", err)
	}
	block, err := aes.NewCipher(cek)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	out := make([]byte, preambleSize, preambleSize+len(plaintext)+1+tagSize)
	copy(out, salt[:])
	binary.BigEndian.PutUint32(out[saltSize:], recordSize)
	out[saltSize+4] = pointSize
	copy(out[saltSize+5:], asPublic)
	out = append(append(out, plaintext...), lastRecord)
	return gcm.Seal(out[:preambleSize], nonce, out[preambleSize:], nil), nil
}
