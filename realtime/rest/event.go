package rest

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// event is one event of a request, as it was sent.
type event struct {
	name string
	// data is part of the body; nil when it is absent.
	data []byte
	// channels are the targets, at most one more than the limit; count is how many
	// were listed.
	channels []string
	count    int
	listed   bool // 'channels' was given, and wins over channel
	channel  optional
	// socketID is the excluded socket, "" for none and for one that cannot exist.
	socketID string
	info     attributes
	hasInfo  bool

	// tags, extras and full are for V2 sockets. extras, and push in it, are parts of the
	// body, nil when they are absent.
	tags         protocol.Tags
	extras, push []byte
	full         bool

	key, messageID, extrasKey optional
	// once names the event in requests that repeat this one with the key in its header.
	// It is "" without such a key.
	once string

	// acks are what was accepted, by channel, once published.
	acks []receipt
}

// optional is a text that may be absent.
type optional struct {
	text string
	set  bool
}

// attributes are what a caller wants to know about a channel.
type attributes struct{ userCount, subscriptionCount, cache bool }

// parseInfo reads a comma list. Tokens that mean nothing are ignored.
func parseInfo(list string) (a attributes) {
	for token := range strings.SplitSeq(list, ",") {
		switch strings.TrimSpace(token) {
		case "user_count":
			a.userCount = true
		case "subscription_count":
			a.subscriptionCount = true
		case "cache":
			a.cache = true
		}
	}
	return a
}

// reset empties the event and keeps its buffers.
func (e *event) reset() {
	*e = event{channels: emptied(e.channels), acks: emptied(e.acks)}
}

func emptied[T any](list []T) []T {
	if cap(list) > keepNames {
		return nil
	}
	clear(list[:cap(list)])
	return list[:0]
}

// parse reads an event from a JSON object. Of a repeated member the last counts.
func (e *event) parse(object []byte, maxChannels int) *failure {
	e.reset()
	members := walk(object)
	for name, value, ok := members.member(); ok; name, value, ok = members.member() {
		if f := e.take(name, value, maxChannels); f != nil {
			return f
		}
	}
	if !e.listed && e.channel.set {
		e.channels, e.count = append(e.channels, e.channel.text), 1
	}
	return nil
}

func (e *event) take(name, value []byte, maxChannels int) *failure {
	switch string(name) {
	case "name":
		return takeText("name", &e.name, value)
	case "data":
		e.data = value
	case "channels":
		return e.takeChannels(value, maxChannels)
	case "channel":
		return e.channel.take("channel", value)
	case "socket_id":
		if f := takeText("socket_id", &e.socketID, value); f != nil {
			return f
		}
		if !protocol.ValidSocketID(e.socketID) {
			e.socketID = "" // ignored, as at Pusher
		}
	case "info":
		return e.takeInfo(value)
	case "idempotency_key":
		return e.key.take("idempotency_key", value)
	case "message_id":
		return e.messageID.take("message_id", value)
	case "tags":
		return e.takeTags(value)
	case "delta":
		e.full = string(value) == "false"
		return checkForm("delta", value, isBool, "a boolean")
	case "extras":
		return e.takeExtras(value)
	}
	return nil
}

// takeChannels counts the list, and keeps of it what a check of the limit needs.
func (e *event) takeChannels(value []byte, maxChannels int) *failure {
	e.channels, e.count, e.listed = e.channels[:0], 0, false
	if isNull(value) {
		return nil
	}
	if !isArray(value) {
		return wrongShape.with("channels must be a list of strings")
	}
	e.listed = true
	list := walk(value)
	for entry, ok := list.element(); ok; entry, ok = list.element() {
		if !isText(entry) {
			return wrongShape.with("channels must be a list of strings")
		}
		if e.count++; e.count <= maxChannels {
			name, _ := textOf(entry)
			e.channels = append(e.channels, name)
		}
	}
	return nil
}

func (e *event) takeInfo(value []byte) *failure {
	var list optional
	if f := list.take("info", value); f != nil {
		return f
	}
	e.hasInfo, e.info = list.set, parseInfo(list.text)
	return nil
}

// takeTags keeps the tags, sorted by key. Of a repeated key the last counts.
func (e *event) takeTags(value []byte) *failure {
	e.tags = nil
	if f := checkMap("tags", value, isText, "strings"); f != nil || isNull(value) {
		return f
	}
	members := walk(value)
	for name, value, ok := members.member(); ok; name, value, ok = members.member() {
		text, _ := textOf(value)
		i, twice := slices.BinarySearchFunc(e.tags, string(name), func(t protocol.Tag, key string) int { return cmp.Compare(t.Key, key) })
		if twice {
			e.tags[i].Value = text
		} else {
			e.tags = slices.Insert(e.tags, i, protocol.Tag{Key: string(name), Value: text})
		}
	}
	return nil
}

// takeExtras checks the form of extras and keeps the idempotency key, in either
// of the spellings that publishers use.
func (e *event) takeExtras(value []byte) *failure {
	e.extrasKey, e.extras, e.push = optional{}, nil, nil
	if f := checkForm("extras", value, isObject, "an object"); f != nil || isNull(value) {
		return f
	}
	var snake optional
	e.extras = value
	members := walk(value)
	for name, value, ok := members.member(); ok; name, value, ok = members.member() {
		var f *failure
		switch string(name) {
		case "idempotencyKey":
			f = e.extrasKey.take("extras.idempotencyKey", value)
		case "idempotency_key":
			f = snake.take("extras.idempotency_key", value)
		case "headers":
			f = checkMap("extras.headers", value, isScalar, "strings, numbers or booleans")
		case "ephemeral", "echo":
			f = checkForm("extras."+string(name), value, isBool, "a boolean")
		case "push":
			f = checkForm("extras.push", value, isObject, "an object")
			if e.push = value; isNull(value) {
				e.push = nil
			}
		case "ai":
			f = checkForm("extras.ai", value, isObject, "an object")
		}
		if f != nil {
			return f
		}
	}
	if !e.extrasKey.set {
		e.extrasKey = snake
	}
	return nil
}

// asks reports whether the answer carries acknowledgements.
func (e *event) asks() bool { return e.hasInfo || e.messageID.set }

// claimKey is the key that the event is claimed under on each channel: of the
// keys that a client can give, the strongest.
func (e *event) claimKey() (key string, ok bool) {
	for _, o := range [...]*optional{&e.messageID, &e.extrasKey, &e.key} {
		if o.set {
			return o.text, true
		}
	}
	return "", false
}

// take sets an optional text. Null means absent.
func (o *optional) take(field string, value []byte) *failure {
	*o = optional{set: !isNull(value)}
	return takeText(field, &o.text, value)
}

// takeText sets a text. Null means absent, which is "".
func takeText(field string, into *string, value []byte) *failure {
	*into = ""
	if isNull(value) {
		return nil
	}
	var ok bool
	if *into, ok = textOf(value); !ok {
		return wrongShape.with(field + " must be a string")
	}
	return nil
}

func checkForm(field string, value []byte, form func([]byte) bool, what string) *failure {
	if isNull(value) || form(value) {
		return nil
	}
	return wrongShape.with(field + " must be " + what)
}

// checkMap checks that a value is an object of plain values.
func checkMap(field string, value []byte, form func([]byte) bool, what string) *failure {
	if isNull(value) {
		return nil
	}
	if !isObject(value) {
		return wrongShape.with(field + " must be an object of " + what)
	}
	members := walk(value)
	for _, value, ok := members.member(); ok; _, value, ok = members.member() {
		if !form(value) {
			return wrongShape.with(field + " must be an object of " + what)
		}
	}
	return nil
}

func isText(raw []byte) bool { return raw[0] == '"' }

// isScalar reports whether a value is a string, a number or a boolean.
func isScalar(raw []byte) bool { return !isObject(raw) && !isArray(raw) && !isNull(raw) }
