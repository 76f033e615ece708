package protocol

import (
	"fmt"
	"strings"
)

// Format is how the messages of one connection are written (section 1.4). It is
// chosen by the handshake and never changes.
type Format uint8

// The formats. Every V1 connection has the first, which leaves out what only V2
// clients may see.
const (
	FormatV1 Format = iota
	FormatJSON
	FormatMessagePack
	FormatProtobuf
)

// Formats is the number of formats.
const Formats = 4

// Version is the protocol that connections of this format speak.
func (f Format) Version() Version {
	if f == FormatV1 {
		return V1
	}
	return V2
}

// Binary reports whether messages travel in binary frames.
func (f Format) Binary() bool { return f >= FormatMessagePack }

// String is the format's word in the query of a handshake and in metrics.
func (f Format) String() string {
	switch f {
	case FormatMessagePack:
		return "msgpack"
	case FormatProtobuf:
		return "protobuf"
	default:
		return "json"
	}
}

// parseFormat reads the format parameter of a V2 handshake.
func parseFormat(value string) (Format, error) {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "", "json":
		return FormatJSON, nil
	case "msgpack", "messagepack":
		return FormatMessagePack, nil
	case "protobuf", "proto":
		return FormatProtobuf, nil
	}
	return 0, fmt.Errorf("format %q is none of json, msgpack and protobuf", value)
}
