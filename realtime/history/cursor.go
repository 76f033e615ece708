package history

import (
	"encoding/base64"
	"encoding/json"
)

// MaxCursor is the length of the longest cursor that is read, in bytes.
const MaxCursor = 16 << 10

// cursorVersion is that of the cursors that are given and read.
const cursorVersion = 1

// cursor names the last row of a page. It is the client's, and nothing in it is
// believed.
type cursor struct {
	Version   uint64 `json:"version"`
	App       string `json:"app_id"`
	Channel   string `json:"channel"`
	Stream    string `json:"stream_id"`
	Serial    uint64 `json:"serial"`
	Direction string `json:"direction"`
	Bounds    Bounds `json:"bounds"`
}

// next is the cursor of a page that ends with a row.
func (l Log) next(q *Query, stream string, row uint64) string {
	o := object(nil)
	o.uint("version", cursorVersion)
	o.text("app_id", l.Key.App)
	o.text("channel", l.channel())
	o.text("stream_id", stream)
	o.uint("serial", row)
	o.text("direction", q.direction())
	o.key("bounds")
	o.b = q.Bounds.append(o.b).end()
	return base64.RawURLEncoding.EncodeToString(o.end())
}

func (k kind) parseCursor(text string) (*cursor, error) {
	if len(text) > MaxCursor {
		return nil, refuse("%s cursor exceeds 16 KiB", k.title)
	}
	plain, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, refuse("Invalid %s cursor: it is not URL-safe base64 without padding", k.word)
	}
	// The version is read first: another one may have other members.
	var version struct {
		Version *uint64 `json:"version"`
	}
	if err := json.Unmarshal(plain, &version); err != nil || version.Version == nil {
		return nil, refuse("Invalid %s cursor: it is not the JSON of a cursor", k.word)
	}
	if *version.Version != cursorVersion {
		return nil, refuse("Unsupported %s cursor version: %d", k.word, *version.Version)
	}
	c := &cursor{}
	if json.Unmarshal(plain, c) != nil {
		return nil, refuse("Invalid %s cursor: a member has another form", k.word)
	}
	return c, nil
}

// match refuses a cursor that was given for something else than what is asked now.
func (l Log) match(c *cursor, q *Query) error {
	title := l.kind().title
	switch {
	case c.App != l.Key.App:
		return refuse("%s cursor app does not match the request", title)
	case c.Channel != l.channel():
		return refuse("%s cursor channel does not match the request", title)
	case c.Direction != q.direction():
		return refuse("%s cursor direction does not match the request", title)
	case !c.Bounds.equal(q.Bounds):
		return refuse("%s cursor bounds do not match the request", title)
	}
	return nil
}

// expired refuses a cursor of another stream, and one whose rows are gone: what
// follows it may be incomplete. oldest is the first row that is there.
func (k kind) expired(c *cursor, stream string, oldest uint64) error {
	switch {
	case c.Stream != stream:
		return refuse("Expired %s cursor: channel stream changed", k.word)
	case c.Serial < oldest:
		return refuse("Expired %s cursor: cursor points before retained history", k.word)
	}
	return nil
}

// append begins the object of the bounds, to which members may be added.
func (b Bounds) append(to []byte) *jsonObject {
	o := object(to)
	o.uintOrNull("start_serial", b.StartSerial)
	o.uintOrNull("end_serial", b.EndSerial)
	o.numberOrNull("start_time_ms", b.StartTime)
	o.numberOrNull("end_time_ms", b.EndTime)
	return o
}
