package protocol

import (
	"encoding/json"
	"strconv"
)

// Names of webhook events (HTTP API section 9.2).
const (
	WebhookChannelOccupied   = "channel_occupied"
	WebhookChannelVacated    = "channel_vacated"
	WebhookMemberAdded       = "member_added"
	WebhookMemberRemoved     = "member_removed"
	WebhookClientEvent       = "client_event"
	WebhookCacheMiss         = "cache_miss"
	WebhookSubscriptionCount = "subscription_count"
	WebhookMemberUpdated     = "member_updated"
	WebhookVersionCreated    = "message_version_created"
	WebhookAnnotated         = "annotation_created"
	WebhookUnannotated       = "annotation_deleted"
)

// webhookNames are all of them. The index is the bit in a WebhookSet.
var webhookNames = []string{
	WebhookChannelOccupied, WebhookChannelVacated, WebhookMemberAdded, WebhookMemberRemoved,
	WebhookClientEvent, WebhookCacheMiss, WebhookSubscriptionCount,
	WebhookMemberUpdated, WebhookVersionCreated, WebhookAnnotated, WebhookUnannotated,
}

// WebhookNames are the names of all events that webhooks can ask for.
func WebhookNames() []string { return append([]string(nil), webhookNames...) }

// WebhookSet is a set of names of webhook events. The zero value is empty.
type WebhookSet uint32

// WebhookSetOf is the set of the names that are known.
func WebhookSetOf(names ...string) (s WebhookSet) {
	for _, name := range names {
		for i, known := range webhookNames {
			if name == known {
				s |= 1 << i
			}
		}
	}
	return s
}

// Has reports whether any of the names is in the set.
func (s WebhookSet) Has(names ...string) bool { return s&WebhookSetOf(names...) != 0 }

// WebhookEvent is something that webhooks tell (HTTP API section 9.2). Of its
// fields only those of its name are set.
type WebhookEvent struct {
	// ID names the event for a receiver that gets it twice. It is unique in the app.
	ID string
	// TimeMS is when it happened, in Unix milliseconds.
	TimeMS  int64
	Name    string
	Channel string
	// UserID is whom member_added and member_removed are about, and the presence
	// member that has sent a client_event, if it was one.
	UserID string
	// Event, Data and SocketID are those of a client_event. Data is the text of the
	// event's data.
	Event    string
	Data     string
	SocketID string
	// Count is that of subscription_count.
	Count int
	// UserInfo is that of member_updated, in JSON.
	UserInfo json.RawMessage
	// MessageSerial is the message that message_version_created and the events of
	// annotations are about, VersionSerial and Action its version.
	MessageSerial, VersionSerial, Action string
	// AnnotationSerial, AnnotationType and, of annotation_deleted, DeletedSerial are those
	// of an annotation.
	AnnotationSerial, AnnotationType, DeletedSerial string
}

// AppendJSON appends the event as an element of the events of a webhook request,
// with its members in the order of the documentation and event_id last.
func (e *WebhookEvent) AppendJSON(dst []byte) []byte {
	member := func(name, value string) {
		dst = append(dst, ',', '"')
		dst = append(dst, name...)
		dst = append(dst, '"', ':')
		dst = AppendString(dst, value)
	}
	dst = append(dst, `{"name":`...)
	dst = AppendString(dst, e.Name)
	member("channel", e.Channel)
	switch e.Name {
	case WebhookClientEvent:
		member("event", e.Event)
		member("data", e.Data)
		member("socket_id", e.SocketID)
		if e.UserID != "" {
			member("user_id", e.UserID)
		}
	case WebhookMemberAdded, WebhookMemberRemoved:
		member("user_id", e.UserID)
	case WebhookMemberUpdated:
		member("user_id", e.UserID)
		dst = append(dst, `,"user_info":`...)
		dst = append(dst, e.UserInfo...)
	case WebhookVersionCreated:
		member("message_serial", e.MessageSerial)
		member("version_serial", e.VersionSerial)
		member("action", e.Action)
	case WebhookAnnotated, WebhookUnannotated:
		member("message_serial", e.MessageSerial)
		member("annotation_serial", e.AnnotationSerial)
		member("annotation_type", e.AnnotationType)
		if e.DeletedSerial != "" {
			member("deleted_annotation_serial", e.DeletedSerial)
		}
	case WebhookCacheMiss:
		member("data", "{}")
	case WebhookSubscriptionCount:
		dst = append(dst, `,"subscription_count":`...)
		dst = strconv.AppendInt(dst, int64(e.Count), 10)
	}
	if e.ID != "" {
		member("event_id", e.ID)
	}
	return append(dst, '}')
}

// WebhookData is the data of a client event as its webhook tells it: text as it
// is, anything else as JSON.
func WebhookData(data json.RawMessage) string {
	if text, ok := stringOf(data); ok {
		return text
	}
	return string(data)
}
