package apns

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/push"
)

// suffixes are what the topics of the push types have behind the bundle id.
var suffixes = map[string]string{
	"alert": "", "background": "", "mdm": "",
	"voip": ".voip", "complication": ".complication", "fileprovider": ".pushkit.fileprovider",
	"location": ".location-query", "pushtotalk": ".voip-ptt", "liveactivity": ".push-type.liveactivity",
	"widgets": ".push-type.widgets", "controls": ".push-type.controls",
}

// headers are those that a payload asks for.
type headers struct {
	pushType string // never empty
	priority int
	collapse string // empty for none
	topic    string // empty for the bundle id's
	// expires is when APNs is to give up, in seconds since 1970, or nil. Zero means at once.
	expires *int64
}

// parseHeaders reads the headers of a payload. Those that are not known are left alone,
// as they are never sent.
func parseHeaders(text json.RawMessage) (headers, error) {
	h := headers{pushType: "alert", priority: 10}
	if absent(text) {
		return h, nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return h, push.Fault("headers", "is not a JSON object")
	}
	for _, header := range []struct {
		name    string
		numbers bool // it may be written as a number
		set     func(text string) (fault string)
	}{
		{"apns-push-type", false, h.setPushType},
		{"apns-priority", true, h.setPriority},
		{"apns-expiration", true, h.setExpires},
		{"apns-collapse-id", false, func(text string) string { h.collapse = collapseID(text); return "" }},
		{"apns-topic", false, h.setTopic},
	} {
		member := members[header.name]
		if absent(member) {
			continue
		}
		var text string
		if json.Unmarshal(member, &text) != nil {
			if !header.numbers {
				return h, push.Fault("headers."+header.name, "is not a text")
			}
			text = string(member)
		}
		if fault := header.set(text); fault != "" {
			return h, push.Fault("headers."+header.name, "%s", fault)
		}
	}
	if h.pushType == "background" {
		h.priority = 5 // with another one APNs refuses it
	}
	return h, nil
}

func (h *headers) setPushType(text string) string {
	if _, known := suffixes[text]; !known {
		return "is not a push type of APNs"
	}
	h.pushType = text
	return ""
}

func (h *headers) setPriority(text string) string {
	if !slices.Contains([]string{"1", "5", "10"}, text) {
		return "must be 1, 5 or 10"
	}
	h.priority, _ = strconv.Atoi(text)
	return ""
}

func (h *headers) setExpires(text string) string {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return "must be a time in seconds since 1970"
	}
	h.expires = &seconds
	return ""
}

func (h *headers) setTopic(text string) string {
	if !isTopic(text) {
		return topicFault
	}
	h.topic = text
	return ""
}

const topicFault = "must be letters, digits, dots and hyphens, at most 255"

// isTopic reports whether a text can be a bundle id, or one with a suffix.
func isTopic(text string) bool {
	return text != "" && len(text) <= 255 && isWord(text)
}

// isWord reports whether a text has letters, digits, dots, hyphens and underscores only.
func isWord(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '.' && r != '-' && r != '_'
	}) < 0
}

// topicFor is the topic of a notification. It is false for one that belongs to another
// app than the bundle id.
func (h *headers) topicFor(bundle string) (string, bool) {
	switch {
	case bundle == "":
		return h.topic, true
	case h.topic == "":
		return bundle + strings.TrimPrefix(suffixes[h.pushType], suffixOf(bundle)), true
	}
	return h.topic, h.topic == bundle || strings.HasPrefix(h.topic, bundle+".")
}

// suffixOf is the suffix that a bundle id has already, as those of certificates for
// one push type have.
func suffixOf(bundle string) string {
	for _, suffix := range suffixes {
		if suffix != "" && strings.HasSuffix(bundle, suffix) {
			return suffix
		}
	}
	return ""
}

// collapseID is a key in the form that APNs takes: as it is, or a hash if it is longer
// than 64 bytes or no header could carry it.
func collapseID(key string) string {
	odd := func(r rune) bool { return r < ' ' || r > '~' }
	if len(key) > 64 || strings.IndexFunc(key, odd) >= 0 || strings.TrimSpace(key) != key {
		return push.Hash(key)
	}
	return key
}
