package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
)

// Sign is the lower-case hex HMAC-SHA256 of text under secret.
func Sign(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// SignChannel is the auth of a channel subscription (section 3.4):
// "<key>:<signature>". channelData is signed whenever it is not empty.
func SignChannel(key, secret, socketID, channel, channelData string) string {
	text := socketID + ":" + channel
	if channelData != "" {
		text += ":" + channelData
	}
	return key + ":" + Sign(secret, text)
}

// SignUser is the auth of a signin (section 5.1).
func SignUser(key, secret, socketID, userData string) string {
	return key + ":" + Sign(secret, socketID+"::user::"+userData)
}

// Equal compares two signatures in time that does not depend on their content.
func Equal(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
