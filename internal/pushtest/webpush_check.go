package pushtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// webPushRefusal is an answer to what is not as it must be.
type webPushRefusal struct {
	status int
	text   string
}

// take checks a request as RFC 8030, 8291 and 8292 say, and keeps its message.
func (w *WebPush) take(rw http.ResponseWriter, r *http.Request, s *webPushSubscription, body []byte) *webPushRefusal {
	w.mu.Lock()
	var of *webPushSubscription
	if s != nil {
		as := *s
		of = &as
	}
	now := w.now()
	w.mu.Unlock()
	m, refused := checkWebPush(r, of, body, now) // which takes a while
	w.mu.Lock()
	defer w.mu.Unlock()
	if refused != nil {
		w.refusals = append(w.refusals, fmt.Sprintf("%d %s", refused.status, refused.text))
		return refused
	}
	w.tokens[m.Token]++
	w.messages++
	m.Location = fmt.Sprintf("%s/message/%d", w.URL, w.messages)
	rw.Header().Set("Location", m.Location)
	s.received = append(s.received, *m)
	close(w.changed)
	w.changed = make(chan struct{})
	return nil
}

func checkWebPush(r *http.Request, s *webPushSubscription, body []byte, now time.Time) (*WebPushMessage, *webPushRefusal) {
	switch {
	case s == nil:
		return nil, &webPushRefusal{http.StatusNotFound, "there is no such subscription"}
	case s.gone:
		return nil, &webPushRefusal{http.StatusGone, "the subscription is gone"}
	case r.Method != http.MethodPost:
		return nil, &webPushRefusal{http.StatusMethodNotAllowed, "a message is posted"}
	case len(body) > 4096:
		return nil, &webPushRefusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has %d bytes", len(body))}
	case r.Header.Get("Content-Encoding") != "aes128gcm":
		return nil, &webPushRefusal{http.StatusBadRequest, fmt.Sprintf("Content-Encoding is %q", r.Header.Get("Content-Encoding"))}
	}
	m := &WebPushMessage{Urgency: r.Header.Get("Urgency"), Topic: r.Header.Get("Topic"), Body: body, Proto: r.Proto, At: now}
	if err := m.readHeaders(r.Header); err != nil {
		return nil, &webPushRefusal{http.StatusBadRequest, err.Error()}
	}
	if status, err := m.authorize(r.Header.Get("Authorization"), r.Host, s); err != nil {
		return nil, &webPushRefusal{status, err.Error()}
	}
	var err error
	if m.Plaintext, err = DecryptWebPush(body, s.key, s.auth); err != nil {
		return nil, &webPushRefusal{http.StatusBadRequest, err.Error()}
	}
	return m, nil
}

func (m *WebPushMessage) readHeaders(h http.Header) error {
	seconds, err := strconv.ParseUint(h.Get("TTL"), 10, 31)
	if err != nil || len(h.Values("TTL")) != 1 {
		return fmt.Errorf("TTL is %q", h.Values("TTL"))
	}
	m.TTL = time.Duration(seconds) * time.Second
	switch m.Urgency {
	case "", "very-low", "low", "normal", "high":
	default:
		return fmt.Errorf("the urgency is %q", m.Urgency)
	}
	if _, given := h["Topic"]; given && (m.Topic == "" || len(m.Topic) > 32 || strings.ContainsFunc(m.Topic, notOfWebPushTopic)) {
		return fmt.Errorf("the topic is %q", m.Topic)
	}
	return nil
}

func notOfWebPushTopic(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// authorize checks the token and its key. Without a good one it is 401, and with one
// that is not for this subscription 403.
func (m *WebPushMessage) authorize(header, host string, s *webPushSubscription) (int, error) {
	scheme, parameters, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "vapid") {
		return http.StatusUnauthorized, fmt.Errorf("the scheme of Authorization is %q", scheme)
	}
	for parameter := range strings.SplitSeq(parameters, ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(parameter), "="); name {
		case "t":
			m.Token = value
		case "k":
			m.PublicKey = value
		}
	}
	claims, err := verifyWebPush(m.Token, m.PublicKey)
	if err != nil {
		return http.StatusUnauthorized, err
	}
	m.Subject = claims.Subject
	until := time.Unix(claims.Expires, 0).Sub(m.At)
	switch {
	case claims.Audience != "https://"+host:
		return http.StatusForbidden, fmt.Errorf("aud is %q and not https://%s", claims.Audience, host)
	case until <= 0 || until > 24*time.Hour:
		return http.StatusForbidden, fmt.Errorf("exp is in %v", until)
	case !isWebPushContact(claims.Subject):
		return http.StatusForbidden, fmt.Errorf("sub is %q", claims.Subject)
	case s.vapid != "" && s.vapid != m.PublicKey:
		return http.StatusForbidden, errors.New("the subscription is for another key")
	}
	return 0, nil
}

func isWebPushContact(subject string) bool {
	if address, ok := strings.CutPrefix(subject, "mailto:"); ok {
		parsed, err := mail.ParseAddress(address)
		return err == nil && parsed.Address == address && !strings.HasPrefix(address, "mailto:")
	}
	u, err := url.Parse(subject)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// webPushClaims are those of a token.
type webPushClaims struct {
	Audience string `json:"aud"`
	Expires  int64  `json:"exp"`
	Subject  string `json:"sub"`
}

// verifyWebPush reads a token that is signed with a key, in the form that JWS has for ES256.
func verifyWebPush(token, key string) (c webPushClaims, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, errors.New("the token is no JWT")
	}
	var decoded [3][]byte
	for i, part := range parts {
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return c, errors.New("the token is not unpadded base64url")
		}
	}
	var header struct{ Typ, Alg string }
	if json.Unmarshal(decoded[0], &header) != nil || header.Typ != "JWT" || header.Alg != "ES256" {
		return c, fmt.Errorf("the header of the token is %s", decoded[0])
	}
	point, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		return c, errors.New("k is not unpadded base64url")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return c, errors.New("k is no point of P-256")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature := decoded[2]
	if len(signature) != 64 || !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return c, errors.New("the token is not signed with k")
	}
	return c, json.Unmarshal(decoded[1], &c)
}

// DecryptWebPush reads a message as the browser with a key and a secret does, by RFC 8291.
func DecryptWebPush(body []byte, key *ecdh.PrivateKey, auth []byte) ([]byte, error) {
	const preamble = 16 + 4 + 1 + 65
	if len(body) < preamble+1+16 || body[20] != 65 {
		return nil, errors.New("the body does not begin with salt, record size and key")
	}
	salt, size, point, record := body[:16], binary.BigEndian.Uint32(body[16:20]), body[21:preamble], body[preamble:]
	if uint64(size) < uint64(len(record)) {
		return nil, fmt.Errorf("the only record has %d bytes, the record size is %d", len(record), size)
	}
	sender, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, errors.New("the key of the body is no point of P-256")
	}
	secret, err := key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	ikm, err1 := hkdf.Key(sha256.New, secret, auth, "WebPush: info\x00"+string(key.PublicKey().Bytes())+string(point), 32)
	cek, err2 := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	nonce, err3 := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(cek)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	text, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, errors.New("the message is not for this key, or broken")
	}
	end := len(text) - 1
	for end >= 0 && text[end] == 0 {
		end--
	}
	if end < 0 || text[end] != 2 {
		return nil, errors.New("the message has no end")
	}
	return text[:end], nil
}
