package cqltest

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"net"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/datastax/go-cassandra-native-protocol/datatype"
	"github.com/datastax/go-cassandra-native-protocol/primitive"
)

// types are those of columns, by name. varchar is another word for text.
var types = map[string]datatype.DataType{
	"text": datatype.Varchar, "ascii": datatype.Ascii, "int": datatype.Int, "bigint": datatype.Bigint,
	"boolean": datatype.Boolean, "blob": datatype.Blob, "timestamp": datatype.Timestamp, "uuid": datatype.Uuid, "inet": datatype.Inet,
	"set<text>": datatype.NewSet(datatype.Varchar), "map<text, text>": datatype.NewMap(datatype.Varchar, datatype.Varchar),
}

// lists are the types of what stands behind IN.
var lists = map[string]datatype.DataType{}

func init() {
	for name, t := range types {
		lists[name] = datatype.NewList(t)
	}
}

// elements are the values in a list.
func elements(list []byte) (values [][]byte, err error) {
	malformed := invalid("Not enough bytes to read a list")
	if len(list) < 4 {
		return nil, malformed
	}
	count := int(int32(binary.BigEndian.Uint32(list)))
	for list = list[4:]; count > 0; count-- {
		if len(list) < 4 || uint32(len(list)-4) < binary.BigEndian.Uint32(list) {
			return nil, malformed
		}
		size := binary.BigEndian.Uint32(list)
		values, list = append(values, list[4:4+size]), list[4+size:]
	}
	return values, nil
}

// compare says in which order two values of a type stand in a partition.
func compare(kind string, a, b []byte) int {
	if sizes[kind] >= 4 && kind != "uuid" && len(a) == len(b) && a[0]>>7 != b[0]>>7 {
		return int(b[0]>>7) - int(a[0]>>7) // one of two numbers is negative
	}
	return bytes.Compare(a, b)
}

// sizes are those of values that have one size.
var sizes = map[string]int{"int": 4, "bigint": 8, "boolean": 1, "timestamp": 8, "uuid": 16}

// check checks a value of a type. Nil is null.
func check(t datatype.DataType, value []byte) error {
	if value == nil {
		return nil
	}
	kind := ""
	for name, other := range types {
		if other == t {
			kind = name
		}
	}
	if size, ok := sizes[kind]; ok && len(value) != size {
		return invalid("Expected %d or 0 byte %s (%d)", size, kind, len(value))
	}
	switch kind {
	case "text":
		if !utf8.Valid(value) {
			return invalid("String didn't validate.")
		}
	case "ascii":
		if slices.ContainsFunc(value, func(b byte) bool { return b > 127 }) {
			return invalid("Invalid byte for ascii")
		}
	case "boolean":
		if value[0] > 1 {
			return invalid("Invalid value for boolean: %d", value[0])
		}
	case "inet":
		if len(value) != 4 && len(value) != 16 {
			return invalid("InetAddress value should be 4 or 16 bytes long (%d)", len(value))
		}
	}
	return nil
}

// literal is a value that is written in a statement.
func literal(kind string, t term) ([]byte, error) {
	mismatch := invalid("Invalid constant (%s) for a value of type %s", t.text, kind)
	switch t.kind {
	case nullTerm:
		return nil, nil
	case stringTerm:
		if kind != "text" && kind != "ascii" {
			return nil, mismatch
		}
		return []byte(t.text), nil
	case truthTerm:
		if kind != "boolean" {
			return nil, mismatch
		}
		return truth(t.text == "true"), nil
	case markTerm:
		return nil, mismatch // it is no constant
	case numberTerm:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			return nil, mismatch
		}
		switch kind {
		case "int":
			if n != int64(int32(n)) {
				return nil, invalid("Unable to make int from '%s'", t.text)
			}
			return whole(n), nil
		case "bigint", "timestamp":
			return binary.BigEndian.AppendUint64(nil, uint64(n)), nil
		}
	}
	return nil, mismatch
}

func truth(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}

func whole(n int64) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// list is a set or, with keys and values in turn, a map.
func list(count int, parts ...string) []byte {
	var b bytes.Buffer
	b.Write(whole(int64(count)))
	for _, p := range parts {
		b.Write(whole(int64(len(p))))
		b.WriteString(p)
	}
	return b.Bytes()
}

func address(ip net.IP) []byte {
	if four := ip.To4(); four != nil {
		return four
	}
	return ip
}

func newUUID() (id primitive.UUID) {
	_, _ = rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}
