package push

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// CursorKind says which list a cursor belongs to.
type CursorKind string

// The lists with cursors (section 1.2).
const (
	CursorDevice       CursorKind = "device"
	CursorSubscription CursorKind = "channelSubscription"
	CursorCredential   CursorKind = "credential"
	CursorTemplate     CursorKind = "template"
	CursorScheduled    CursorKind = "scheduledJob"
	CursorStatus       CursorKind = "publishStatus"
	CursorPublish      CursorKind = "publishLog"
	CursorEvent        CursorKind = "deliveryEvent"
	CursorDeadLetter   CursorKind = "deadLetter"
	CursorInvalidation CursorKind = "operatorInvalidation"
	// CursorChannel is that of the list of channels, which has no word of its own elsewhere.
	CursorChannel CursorKind = "channel"
	// CursorDelivery is that of the list of a publish's notifications, which has none either.
	CursorDelivery CursorKind = "delivery"
)

// cursor is the JSON of one.
type cursor struct {
	AppID      string     `json:"appId"`
	Kind       CursorKind `json:"kind"`
	Position   string     `json:"position"`
	IssuedAtMS int64      `json:"issuedAtMs"`
}

// EncodeCursor makes the cursor of a position, which only the app whose secret it is
// takes, and only for the same list. That of the empty position is empty: there is no
// more.
func EncodeCursor(secret, app string, kind CursorKind, position string) string {
	if position == "" {
		return ""
	}
	text := raw(cursor{AppID: app, Kind: kind, Position: position})
	return encode64(text) + "." + encode64(cursorMAC(secret, text))
}

// DecodeCursor is the position of a cursor, empty for the empty one. The error is a
// fault of "cursor".
func DecodeCursor(secret, app string, kind CursorKind, text string) (position string, err error) {
	if text == "" {
		return "", nil
	}
	content, mac, ok := strings.Cut(text, ".")
	if !ok {
		return "", Fault("cursor", "it is not one of this server")
	}
	if base64.RawURLEncoding.DecodedLen(len(content)) > MaxCursor {
		return "", Fault("cursor", "it has more than %d bytes", MaxCursor)
	}
	decoded, err := decode64(content)
	if err != nil {
		return "", Fault("cursor", "it is not one of this server")
	}
	sum, err := decode64(mac)
	if err != nil || !hmac.Equal(sum, cursorMAC(secret, decoded)) {
		return "", Fault("cursor", "it is not one of this app")
	}
	var c cursor
	switch err := json.Unmarshal(decoded, &c); {
	case err != nil || c.Position == "":
		return "", Fault("cursor", "it is not one of this server")
	case c.AppID != app:
		return "", Fault("cursor", "it is not one of this app")
	case c.Kind != kind:
		return "", Fault("cursor", "it is not one of this list")
	}
	return c.Position, nil
}

// cursorMAC is made with a key of its own, so that it is no signature of anything else.
func cursorMAC(secret string, content []byte) []byte {
	derive := hmac.New(sha256.New, []byte(secret))
	derive.Write([]byte("sockudo push cursor"))
	mac := hmac.New(sha256.New, derive.Sum(nil))
	mac.Write(content)
	return mac.Sum(nil)
}

// joinPosition is a position of two parts.
func joinPosition(group, name string) string {
	return "[" + quote(group) + "," + quote(name) + "]"
}

// splitPosition reads what joinPosition has made.
func splitPosition(position string) (group, name string, err error) {
	if position == "" {
		return "", "", nil
	}
	var parts []string
	if err := json.Unmarshal([]byte(position), &parts); err != nil || len(parts) != 2 || parts[1] == "" {
		return "", "", Fault("cursor", "it is not one of this list")
	}
	return parts[0], parts[1], nil
}
