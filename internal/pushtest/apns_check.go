package pushtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// APNsKey is a key that a stand-in knows.
type APNsKey struct {
	TeamID, KeyID string
	// BundleID is the app that the key is for. Topics begin with it.
	BundleID string
	// PEM is the private key as Apple's .p8 files have it.
	PEM string

	public *ecdsa.PublicKey
}

// Key makes a key that the stand-in takes tokens of.
func (a *APNs) Key(t testing.TB) *APNsKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k := &APNsKey{
		TeamID: "TEAM123456", KeyID: fmt.Sprintf("KEY%07d", len(a.keys)+1), BundleID: "com.example.app",
		PEM: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), public: &key.PublicKey,
	}
	a.keys[k.KeyID] = k
	return k
}

// Material is the key as apps upload it.
func (k *APNsKey) Material() json.RawMessage {
	b, err := json.Marshal(map[string]string{"teamId": k.TeamID, "keyId": k.KeyID, "privateKey": k.PEM, "bundleId": k.BundleID})
	if err != nil {
		panic(err)
	}
	return b
}

// apnsPushTypes are those that APNs knows.
var apnsPushTypes = []string{
	"alert", "background", "location", "voip", "complication", "fileprovider", "mdm", "liveactivity", "pushtotalk", "widgets", "controls",
}

// check finds what APNs would refuse, in its words.
func (a *APNs) check(r *http.Request, token string, body []byte) (status int, reason string) {
	raw, err := hex.DecodeString(token)
	h := r.Header
	kind, most := h.Get("apns-push-type"), 4096
	if kind == "voip" {
		most = 5120
	}
	status = http.StatusBadRequest
	switch {
	case r.ProtoMajor != 2:
		return http.StatusHTTPVersionNotSupported, "ProtocolVersion"
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed, "MethodNotAllowed"
	case !strings.HasPrefix(r.URL.Path, "/3/device/"):
		return http.StatusNotFound, "BadPath"
	case err != nil || len(raw) < 32 || token != strings.ToLower(token):
		return status, "BadDeviceToken"
	case !slices.Contains(apnsPushTypes, kind):
		return status, "InvalidPushType"
	case !slices.Contains([]string{"1", "5", "10"}, h.Get("apns-priority")), kind == "background" && h.Get("apns-priority") != "5":
		return status, "BadPriority"
	case len(h.Get("apns-collapse-id")) > 64:
		return status, "BadCollapseId"
	case !isAPNsID(h.Get("apns-id")):
		return status, "BadMessageId"
	case !isAPNsTime(h.Get("apns-expiration")):
		return status, "BadExpirationDate"
	case len(body) > most:
		return http.StatusRequestEntityTooLarge, "PayloadTooLarge"
	case !isAPNsBody(body):
		return status, "PayloadEmpty"
	}
	for name, values := range h {
		if strings.HasPrefix(name, "Apns-") && len(values) > 1 {
			return status, "DuplicateHeaders"
		}
	}
	return a.checkSender(r)
}

// checkSender finds what is wrong with who sends, and with the topic.
func (a *APNs) checkSender(r *http.Request) (status int, reason string) {
	topic, authorization := r.Header.Get("apns-topic"), r.Header.Get("Authorization")
	if a.options.ClientCAs != nil {
		if authorization != "" {
			return http.StatusForbidden, "InvalidProviderToken"
		}
		return http.StatusOK, "" // the certificate has been verified before
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return http.StatusForbidden, "MissingProviderToken"
	}
	key, made := a.verify(token)
	age := a.options.Now().Sub(made)
	switch {
	case key == nil:
		return http.StatusForbidden, "InvalidProviderToken"
	case age > time.Hour, age < -time.Minute:
		return http.StatusForbidden, "ExpiredProviderToken"
	case topic == "":
		return http.StatusBadRequest, "MissingTopic"
	case topic != key.BundleID && !strings.HasPrefix(topic, key.BundleID+"."):
		return http.StatusBadRequest, "TopicDisallowed"
	}
	return http.StatusOK, ""
}

// apnsToken is whose a provider token is, which is nobody's if it is not right.
type apnsToken struct {
	key  *APNsKey
	made time.Time
}

// verify checks a provider token: whose it is, and since when. It does so once.
func (a *APNs) verify(token string) (*APNsKey, time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known, seen := a.tokens[token]
	if !seen {
		known = a.read(token)
		a.tokens[token] = known
	}
	return known.key, known.made
}

func (a *APNs) read(token string) apnsToken {
	parts := strings.Split(token, ".")
	var header struct{ Alg, Kid string }
	var claims struct {
		Iss string
		Iat int64
	}
	if len(parts) != 3 || !decodeAPNsPart(parts[0], &header) || !decodeAPNsPart(parts[1], &claims) || header.Alg != "ES256" {
		return apnsToken{}
	}
	key := a.keys[header.Kid]
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if key == nil || key.TeamID != claims.Iss || err != nil || len(signature) != 64 {
		return apnsToken{} // also one in DER, which is longer
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(key.public, sum[:], r, s) {
		return apnsToken{}
	}
	return apnsToken{key, time.Unix(claims.Iat, 0)}
}

func decodeAPNsPart(part string, to any) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, to) == nil
}

func isAPNsBody(body []byte) bool {
	var members map[string]json.RawMessage
	return json.Unmarshal(body, &members) == nil && len(members) > 0
}

func isAPNsTime(text string) bool {
	_, err := strconv.ParseUint(text, 10, 63)
	return text == "" || err == nil
}

func isAPNsID(text string) bool {
	parts := strings.Split(text, "-")
	if text == "" {
		return true
	}
	_, err := hex.DecodeString(strings.Join(parts, ""))
	return err == nil && text == strings.ToLower(text) && len(parts) == 5 &&
		len(parts[0]) == 8 && len(parts[1]) == 4 && len(parts[2]) == 4 && len(parts[3]) == 4 && len(parts[4]) == 12
}
