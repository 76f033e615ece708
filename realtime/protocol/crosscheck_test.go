package protocol

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// Messages are what independent libraries read in them.
//
// Checklist: protocol 33, 34
func TestOthersReadOurMessages(t *testing.T) {
	wire := newSchema(t)
	r := random{rand.New(rand.NewPCG(3, 4))}
	for range 1000 {
		o := r.message(t)
		want := meaning(expected(o, FormatProtobuf))
		payload := o.Frame(FormatProtobuf).Text()
		if got, err := wire.decode(payload); err != nil || !reflect.DeepEqual(meaning(got), want) {
			t.Fatalf("%x is\n%.2000v, %v, want\n%.2000v", payload, got, err, want)
		}
		payload = o.Frame(FormatMessagePack).Text()
		if got := readPacked(t, payload); !reflect.DeepEqual(got, packedForm(want)) {
			t.Fatalf("%x is\n%.2000v, want\n%.2000v", payload, got, packedForm(want))
		}
	}
}

func TestOthersReadMapsOfEverySize(t *testing.T) {
	wire := newSchema(t)
	for _, n := range []int{1, 15, 16, 65535, 65536} {
		o := &Outbound{Event: "e"}
		for i := range n {
			o.Tags = append(o.Tags, Tag{strconv.Itoa(i), "v"})
		}
		want := o.Tags.decode()
		packed := readPacked(t, o.Frame(FormatMessagePack).Text()).([]any)
		if !reflect.DeepEqual(packed[slotTags-1], packedMapOf(want)) {
			t.Errorf("%d tags are something else in MessagePack", n)
		}
		if d, err := wire.decode(o.Frame(FormatProtobuf).Text()); err != nil || !reflect.DeepEqual(d.Tags, want) {
			t.Errorf("%d tags are something else in Protobuf: %v", n, err)
		}
	}
}

// readPacked reads one value and nothing else with the library of others.
func readPacked(t *testing.T, payload []byte) any {
	t.Helper()
	r := bytes.NewReader(payload)
	d := msgpack.NewDecoder(r)
	d.UseLooseInterfaceDecoding(true)
	d.SetMapDecoder(func(d *msgpack.Decoder) (any, error) { return d.DecodeUntypedMap() })
	value, err := d.DecodeInterfaceLoose()
	if err != nil || r.Len() > 0 {
		t.Fatalf("%x: %d bytes follow the message, %v", payload, r.Len(), err)
	}
	return value
}

// packedForm is the array that a message has to be (section 1.4). The data of a
// string is its value.
func packedForm(d Decoded) any {
	form := make([]any, envelopeSlots)
	for i, text := range []string{d.Event, d.Channel, "", d.Name, d.UserID, "", "", "", d.MessageID, d.StreamID} {
		if text != "" || i == 0 {
			form[i] = text
		}
	}
	if d.Data != nil {
		form[slotData-1] = []any{d.DataKind, string(d.Data)}
	}
	form[slotTags-1] = packedMapOf(d.Tags)
	if d.HasSerial {
		form[slotSerial-1] = d.Serial
		if d.Serial < 128 {
			form[slotSerial-1] = int64(d.Serial)
		}
	}
	if d.Headers == nil && d.Ephemeral == nil && d.Echo == nil && d.AITransport == nil && d.AICodec == nil {
		return form
	}
	extras := make([]any, extrasSlots)
	if d.Headers != nil {
		headers := map[any]any{}
		for name, value := range d.Headers {
			kind := map[reflect.Kind]string{reflect.String: "string", reflect.Float64: "number", reflect.Bool: "bool"}[reflect.ValueOf(value).Kind()]
			headers[name] = []any{kind, value}
		}
		extras[0] = headers
	}
	if d.Ephemeral != nil {
		extras[1] = *d.Ephemeral
	}
	if d.Echo != nil {
		extras[3] = *d.Echo
	}
	if d.AITransport != nil || d.AICodec != nil {
		extras[4] = []any{packedMapOf(d.AITransport), packedMapOf(d.AICodec)}
	}
	form[slotExtras-1] = extras
	return form
}

func packedMapOf(texts map[string]string) any {
	if texts == nil {
		return nil
	}
	m := map[any]any{}
	for key, value := range texts {
		m[key] = value
	}
	return m
}

// checkAsOthersRead reads the members that are no maps with the library of others,
// which skips the rest of any message that is one.
func checkAsOthersRead(t *testing.T, payload []byte, got Decoded) {
	t.Helper()
	r := bytes.NewReader(payload)
	d := msgpack.NewDecoder(r)
	want, err := readMembers(d)
	if err != nil || r.Len() > 0 {
		t.Errorf("%x became %+v, and others say: %d bytes follow, %v", payload, got, r.Len(), err)
		return
	}
	have := Decoded{
		Event: got.Event, Channel: got.Channel, Name: got.Name, UserID: got.UserID, MessageID: got.MessageID, StreamID: got.StreamID,
		Serial: got.Serial, HasSerial: got.HasSerial, DeltaSequence: got.DeltaSequence, HasDelta: got.HasDelta, ConflationKey: got.ConflationKey,
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("%x became\n%+v, want\n%+v", payload, have, want)
	}
}

func readMembers(d *msgpack.Decoder) (m Decoded, err error) {
	code, err := d.PeekCode()
	if err != nil {
		return m, err
	}
	if array := code&0xf0 == packedArray || code == 0xdc || code == 0xdd; array {
		n, err := d.DecodeArrayLen()
		for i := 0; i < n && err == nil; i++ {
			err = readMember(d, &m, i+1)
		}
		return m, err
	}
	n, err := d.DecodeMapLen()
	for ; n > 0 && err == nil; n-- {
		var name string
		if name, err = d.DecodeString(); err == nil {
			err = readMember(d, &m, slotOf([]byte(name)))
		}
	}
	return m, err
}

func readMember(d *msgpack.Decoder, m *Decoded, slot int) error {
	text := map[int]*string{
		slotEvent: &m.Event, slotChannel: &m.Channel, slotName: &m.Name, slotUserID: &m.UserID,
		slotMessageID: &m.MessageID, slotStreamID: &m.StreamID, slotDeltaKey: &m.ConflationKey,
	}[slot]
	number, has := m.numberSlot(slot)
	if text == nil && number == nil {
		return d.Skip()
	}
	value, err := d.DecodeInterfaceLoose()
	if err != nil {
		return err
	}
	switch v := value.(type) {
	case nil:
		if text != nil {
			*text = ""
		} else {
			*number, *has = 0, false
		}
	case string:
		*text = v
	case int64:
		*number, *has = uint64(v), true
	case uint64:
		*number, *has = v, true
	}
	return nil
}
