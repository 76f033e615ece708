package push

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Kind is a provider.
type Kind string

// The providers, in the order in which payloads are shown (section 7.3).
const (
	FCM      Kind = "fcm"
	APNs     Kind = "apns"
	WebPush  Kind = "webPush"
	HMS      Kind = "hms"
	WNS      Kind = "wns"
	Realtime Kind = "realtime"
)

// Kinds are all providers, in the order in which payloads are shown.
var Kinds = []Kind{FCM, APNs, WebPush, HMS, WNS, Realtime}

// Key is the provider's word in ids, names of queues and labels.
func (k Kind) Key() string {
	if k == WebPush {
		return "webpush"
	}
	return string(k)
}

// ParseKind reads the name of a provider, also in its spellings with another case or an
// underscore.
func ParseKind(word string) (Kind, error) {
	switch word {
	case "webpush", "web_push":
		return WebPush, nil
	}
	for _, k := range Kinds {
		if string(k) == word {
			return k, nil
		}
	}
	return "", fmt.Errorf("unknown provider %q", word)
}

// transports are the words for providers in recipients.
var transports = map[string]Kind{"gcm": FCM, "fcm": FCM, "apns": APNs, "web": WebPush, "hms": HMS, "wns": WNS, "realtime": Realtime}

// Hash is the lowercase hexadecimal SHA-256 of a text (section 2).
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
