package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
)

// receiptPrefix begins the keys of receipts.
const receiptPrefix = "idempotency:mutation:v1:"

// ReceiptKey is what a mutation with an op_id is known by (HTTP API, section 6.4). The
// action is a whole one, such as "message.append".
func ReceiptKey(app, channel, message, action, opID string) string {
	h := sha256.New()
	for _, part := range [...]string{app, channel, message, action, opID} {
		h.Write(append([]byte(part), 0))
	}
	return receiptPrefix + hex.EncodeToString(h.Sum(nil))
}

// Fingerprint tells two mutations with one op_id apart: by what they do and in whose
// name. actor is the client of the socket that acts, nil for a server. Spaces and the
// order of members make no difference.
func (m *Mutation) Fingerprint(actor *string) string {
	h := sha256.New()
	part := func(present bool, value []byte) {
		// Lengths keep neighbours apart, and what is absent from what is empty.
		var head [9]byte
		if present {
			head[0] = 1
		}
		binary.BigEndian.PutUint64(head[1:], uint64(len(value)))
		h.Write(head[:])
		h.Write(value)
	}
	text := func(value *string) {
		if value == nil {
			part(false, nil)
			return
		}
		part(true, []byte(*value))
	}
	part(true, []byte(m.Action))
	text(m.Name)
	for _, value := range []json.RawMessage{m.Data, m.Extras, m.Metadata} {
		part(value != nil, ordered(value))
	}
	for _, clears := range []bool{m.ClearName, m.ClearData, m.ClearExtras} {
		part(clears, nil)
	}
	text(m.ClientID)
	text(m.Description)
	text(actor)
	return hex.EncodeToString(h.Sum(nil))
}

// ordered is a JSON value without spaces and with its members sorted. Numbers stay as
// they were written.
func ordered(value json.RawMessage) []byte {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return value
	}
	text, err := json.Marshal(v)
	if err != nil {
		return value
	}
	return text
}
