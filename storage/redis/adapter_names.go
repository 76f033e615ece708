package redis

import (
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// slotCount is the number of hash slots of every cluster.
const slotCount = 16384

// namesBegin stands between a prefix and the rest of the name of a channel.
const namesBegin = ":#"

// names are what topics are called in Redis: PREFIX:#control for what hubs tell
// each other, and PREFIX:#LENGTH:APP:CHANNEL, in which the length is that of the
// app's id in bytes. Redis would not keep databases apart here, so that one other
// than 0 stands in the name: PREFIX:#dbN:…
type names struct{ begin string }

func newNames(prefix string, db int) names {
	begin := prefix + namesBegin
	if db != 0 {
		begin += "db" + strconv.Itoa(db) + ":"
	}
	return names{begin}
}

// of is the name of a topic. Different topics have different names.
func (n names) of(t protocol.Topic) string {
	if t == (protocol.Topic{}) {
		return n.begin + "control"
	}
	b := make([]byte, 0, len(n.begin)+len(t.App)+len(t.Channel)+8)
	b = append(strconv.AppendInt(append(b, n.begin...), int64(len(t.App)), 10), ':')
	return string(append(append(append(b, t.App...), ':'), t.Channel...))
}

func (n names) all(topics []protocol.Topic) []string {
	list := make([]string, len(topics))
	for i, topic := range topics {
		list[i] = n.of(topic)
	}
	return list
}

// slotOf is the slot that a name belongs to: CRC16 (XMODEM) of it, or of what stands
// between its first brace and the next closing one.
func slotOf(name string) int {
	if open := strings.IndexByte(name, '{'); open >= 0 {
		if length := strings.IndexByte(name[open+1:], '}'); length > 0 {
			name = name[open+1:][:length]
		}
	}
	var sum uint16
	for i := range len(name) {
		sum = sum<<8 ^ crc16[byte(sum>>8)^name[i]]
	}
	return int(sum % slotCount)
}

// crc16 is the table for the polynomial 0x1021.
var crc16 = func() (table [256]uint16) {
	for i := range table {
		sum := uint16(i) << 8
		for range 8 {
			sum = sum<<1 ^ sum>>15*0x1021
		}
		table[i] = sum
	}
	return table
}()
