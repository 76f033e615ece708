package pushtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// fcmKind is what a member of a message must be.
type fcmKind int

const (
	fcmText    fcmKind = iota
	fcmTexts           // an object of texts
	fcmObject          // an object of anything
	fcmAny             // anything but null
	fcmMessage         // an object with the members of a table
)

// fcmTables are the members of the parts of a message, by the path.
var fcmTables = map[string]map[string]fcmKind{
	"message": {
		"name": fcmText, "token": fcmText, "topic": fcmText, "condition": fcmText, "data": fcmTexts, "notification": fcmMessage,
		"android": fcmMessage, "apns": fcmMessage, "webpush": fcmMessage, "fcm_options": fcmObject,
	},
	"message.notification": {"title": fcmText, "body": fcmText, "image": fcmText},
	"message.android": {
		"collapse_key": fcmText, "priority": fcmText, "ttl": fcmText, "restricted_package_name": fcmText, "data": fcmTexts,
		"notification": fcmMessage, "fcm_options": fcmObject, "direct_boot_ok": fcmAny,
	},
	"message.android.notification": {
		"title": fcmText, "body": fcmText, "icon": fcmText, "color": fcmText, "sound": fcmText, "tag": fcmText, "click_action": fcmText,
		"body_loc_key": fcmText, "body_loc_args": fcmAny, "title_loc_key": fcmText, "title_loc_args": fcmAny, "channel_id": fcmText,
		"ticker": fcmText, "sticky": fcmAny, "event_time": fcmText, "local_only": fcmAny, "notification_priority": fcmText,
		"default_sound": fcmAny, "default_vibrate_timings": fcmAny, "default_light_settings": fcmAny, "vibrate_timings": fcmAny,
		"visibility": fcmText, "notification_count": fcmAny, "light_settings": fcmObject, "image": fcmText, "proxy": fcmText,
	},
	"message.apns":    {"headers": fcmTexts, "payload": fcmObject, "fcm_options": fcmObject, "live_activity_token": fcmText},
	"message.webpush": {"headers": fcmTexts, "data": fcmTexts, "notification": fcmObject, "fcm_options": fcmObject},
}

var (
	fcmTTL      = regexp.MustCompile(`^\d+(\.\d{1,9})?s$`)
	fcmDigits   = regexp.MustCompile(`^\d+$`)
	fcmTopic    = regexp.MustCompile(`^[a-zA-Z0-9\-_.~%]+$`)
	fcmWebTopic = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
)

// parse reads the body as strictly as the service, and names the member with a fault.
func (m *FCMMessage) parse() (field string, err error) {
	d := json.NewDecoder(bytes.NewReader(m.Body))
	var outer map[string]any
	if err := d.Decode(&outer); err != nil {
		return "", errors.New("not JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "", errors.New("something behind the JSON")
	}
	for name := range outer {
		if name != "message" {
			return name, errors.New("an unknown name")
		}
	}
	message, ok := outer["message"].(map[string]any)
	if !ok {
		return "message", errors.New("not an object")
	}
	m.Message = message
	if field, err := fcmCheck("message", message); err != nil {
		return field, err
	}
	if field, err := m.checkAddress(); err != nil {
		return field, err
	}
	if field, err := m.checkValues(); err != nil {
		return field, err
	}
	most := 4096
	if m.Message["token"] == nil {
		most = 2048
	}
	text, err := json.Marshal(map[string]any{"notification": message["notification"], "data": message["data"]})
	if err != nil || len(text) > most {
		return "message", errors.New("Message is too big") //nolint:staticcheck // the service's own words
	}
	return "", nil
}

// fcmCheck wants the members of an object to be known and of their kinds.
func fcmCheck(path string, o map[string]any) (field string, err error) {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		field = path + "." + name
		kind, known := fcmTables[path][fcmSnake(name)]
		if !known {
			return field, errors.New("an unknown name")
		}
		switch value := o[name].(type) {
		case nil:
			return field, errors.New("null")
		case string:
			if kind != fcmText && kind != fcmAny {
				return field, errors.New("a text")
			}
		case map[string]any:
			if err := fcmCheckObject(field, kind, value); err != nil {
				return field, err
			}
		default:
			if kind != fcmAny {
				return field, fmt.Errorf("a %T", value)
			}
		}
	}
	return "", nil
}

func fcmCheckObject(field string, kind fcmKind, value map[string]any) error {
	switch kind {
	case fcmText, fcmAny:
		return errors.New("an object")
	case fcmTexts:
		for name, text := range value {
			if _, ok := text.(string); !ok {
				return fmt.Errorf("%q is not a text", name)
			}
		}
	case fcmMessage:
		if within, err := fcmCheck(field, value); err != nil {
			return fmt.Errorf("%s: %w", within, err)
		}
	case fcmObject:
	}
	return nil
}

// fcmSnake is the name of a member in its other spelling, fcm_options for fcmOptions.
func fcmSnake(name string) string {
	var b strings.Builder
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

func (m *FCMMessage) checkAddress() (field string, err error) {
	n := 0
	for _, name := range []string{"token", "topic", "condition"} {
		text, _ := m.Message[name].(string)
		if text == "" {
			continue
		}
		n++
		m.Address = name + ":" + text
		switch {
		case name == "token":
			m.Address = text
		case name == "topic" && !fcmTopic.MatchString(text):
			return "message.topic", errors.New("malformed")
		}
	}
	if n != 1 {
		return "message", fmt.Errorf("%d of token, topic and condition", n)
	}
	return "", nil
}

// checkValues wants the texts to be of their forms.
func (m *FCMMessage) checkValues() (field string, err error) {
	data, _ := m.Message["data"].(map[string]any)
	for name := range data {
		if name == "from" || name == "message_type" || strings.HasPrefix(name, "google") || strings.HasPrefix(name, "gcm") {
			return "message.data", fmt.Errorf("%q is reserved", name)
		}
	}
	for _, form := range []struct {
		path []string
		good func(string) bool
	}{
		{[]string{"android", "ttl"}, fcmTTL.MatchString},
		{[]string{"android", "priority"}, func(s string) bool { return slices.Contains([]string{"NORMAL", "HIGH"}, strings.ToUpper(s)) }},
		{[]string{"apns", "headers", "apns-expiration"}, fcmDigits.MatchString},
		{[]string{"apns", "headers", "apns-collapse-id"}, func(s string) bool { return len(s) <= 64 }},
		{[]string{"webpush", "headers", "TTL"}, fcmDigits.MatchString},
		{[]string{"webpush", "headers", "Topic"}, fcmWebTopic.MatchString},
		{[]string{"webpush", "headers", "Urgency"}, func(s string) bool { return slices.Contains([]string{"very-low", "low", "normal", "high"}, s) }},
		{[]string{"notification", "image"}, func(s string) bool { return strings.HasPrefix(s, "https://") }},
	} {
		if text, ok := m.At(form.path...).(string); ok && !form.good(text) {
			return "message." + strings.Join(form.path, "."), fmt.Errorf("malformed: %q", text)
		}
	}
	return "", nil
}

// At is what stands at a path of the message, or nil.
func (m *FCMMessage) At(path ...string) (value any) {
	value = m.Message
	for _, name := range path {
		o, _ := value.(map[string]any)
		value = o[name]
	}
	return value
}
