package history

import (
	"strconv"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// jsonObject writes a JSON object member by member.
type jsonObject struct {
	b     []byte
	later bool
}

// object begins one at the end of b.
func object(b []byte) *jsonObject { return &jsonObject{b: append(b, '{')} }

func (o *jsonObject) end() []byte { return append(o.b, '}') }

// key writes a name that needs no escapes.
func (o *jsonObject) key(name string) {
	if o.later {
		o.b = append(o.b, ',')
	}
	o.later = true
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *jsonObject) text(name, text string) {
	o.key(name)
	o.b = protocol.AppendString(o.b, text)
}

// textIf leaves an empty text out, and textOrNull makes it null.
func (o *jsonObject) textIf(name, text string) {
	if text != "" {
		o.text(name, text)
	}
}

func (o *jsonObject) textOrNull(name, text string) {
	if text == "" {
		o.null(name)
		return
	}
	o.text(name, text)
}

func (o *jsonObject) null(name string) {
	o.key(name)
	o.b = append(o.b, "null"...)
}

// raw writes a JSON value as it is, and leaves an empty one out.
func (o *jsonObject) raw(name string, value []byte) {
	if len(value) > 0 {
		o.key(name)
		o.b = append(o.b, value...)
	}
}

func (o *jsonObject) bool(name string, on bool) {
	o.key(name)
	o.b = strconv.AppendBool(o.b, on)
}

func (o *jsonObject) trueIf(name string, on bool) {
	if on {
		o.bool(name, on)
	}
}

func (o *jsonObject) uint(name string, n uint64) {
	o.key(name)
	o.b = strconv.AppendUint(o.b, n, 10)
}

func (o *jsonObject) number(name string, n int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *jsonObject) numberIf(name string, n int64) {
	if n != 0 {
		o.number(name, n)
	}
}

func (o *jsonObject) uintOrNull(name string, n *uint64) {
	if n == nil {
		o.null(name)
		return
	}
	o.uint(name, *n)
}

func (o *jsonObject) numberOrNull(name string, n *int64) {
	if n == nil {
		o.null(name)
		return
	}
	o.number(name, *n)
}

// tags leaves an empty list out.
func (o *jsonObject) tags(tags protocol.Tags) {
	if len(tags) == 0 {
		return
	}
	o.key("tags")
	for i, t := range tags {
		o.b = append(o.b, "{,"[min(i, 1)])
		o.b = protocol.AppendString(o.b, t.Key)
		o.b = append(o.b, ':')
		o.b = protocol.AppendString(o.b, t.Value)
	}
	o.b = append(o.b, '}')
}
