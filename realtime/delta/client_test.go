package delta

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// client does what the official JavaScript client does with the frames of one
// channel, down to its regular expressions and its memory.
type client struct {
	keyed  bool // once a full frame had a key
	base   []byte
	memory map[string][]remembered
	// algorithm is the one that was confirmed last.
	algorithm string
}

type remembered struct {
	seq  uint64
	text []byte
}

var stripped = []*regexp.Regexp{
	regexp.MustCompile(`,"__delta_seq":\d+`), regexp.MustCompile(`"__delta_seq":\d+,`),
	regexp.MustCompile(`,"__conflation_key":"[^"]*"`), regexp.MustCompile(`"__conflation_key":"[^"]*",`),
}

func strip(frame []byte) []byte {
	for _, member := range stripped {
		frame = member.ReplaceAll(frame, nil)
	}
	return frame
}

// received is what clients read of a frame.
type received struct {
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
	Seq   *uint64         `json:"__delta_seq"`
	Key   *string         `json:"__conflation_key"`
}

type receivedDelta struct {
	Event     string  `json:"event"`
	Delta     []byte  `json:"delta"`
	Seq       uint64  `json:"seq"`
	Algorithm string  `json:"algorithm"`
	Key       string  `json:"conflation_key"`
	BaseIndex *uint64 `json:"base_index"`
}

var errNoBase = errors.New("no base: the client asks for a new start")

// take is the text that the client makes of a frame.
func (c *client) take(frame []byte) ([]byte, error) {
	var r received
	if err := json.Unmarshal(frame, &r); err != nil {
		return nil, err
	}
	if r.Event == "sockudo:delta" {
		return c.takeDelta(r.Data)
	}
	if r.Seq == nil {
		return frame, nil
	}
	text := strip(frame)
	if r.Key == nil {
		c.base = text
		return text, nil
	}
	c.keyed = true
	c.remember(*r.Key, *r.Seq, text)
	return text, nil
}

func (c *client) takeDelta(data []byte) ([]byte, error) {
	var d receivedDelta
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	base := c.base
	if c.keyed {
		base = nil
		for _, one := range c.memory[d.Key] {
			if d.BaseIndex != nil && one.seq == *d.BaseIndex {
				base = one.text
				break
			}
		}
	}
	if base == nil {
		return nil, errNoBase
	}
	name := d.Algorithm
	if name == "" {
		name = c.algorithm
	}
	a, ok := Parse(name)
	if !ok {
		return nil, fmt.Errorf("algorithm %q", name)
	}
	text, err := Decode(a, base, d.Delta, 1<<20)
	if err != nil {
		return nil, err
	}
	if c.keyed {
		c.remember(d.Key, d.Seq, text)
	} else {
		c.base = text
	}
	return text, nil
}

func (c *client) remember(key string, seq uint64, text []byte) {
	if c.memory == nil {
		c.memory = make(map[string][]remembered)
	}
	list := append(c.memory[key], remembered{seq, text})
	if len(list) > clientMemory {
		list = list[1:]
	}
	c.memory[key] = list
}

// forget is what the client does when it unsubscribes, and when it finds no base.
func (c *client) forget() { *c = client{algorithm: c.algorithm} }
