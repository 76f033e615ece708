package protocol

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Checklist: protocol 34
func TestDecodeWhatOthersMaySend(t *testing.T) {
	yes := true
	const json = `{"event":"e","serial":5,"data":{"a":1.50},"__delta_seq":18446744073709551615,"__conflation_key":"k","sequence":1,"unknown":{},
		"extras":{"headers":{"sockudo_action":"message.create","n":-1,"on":false},"push":{},"idempotencyKey":"i","echo":true,"x":[]}}`
	packed := "8a" + hexText("event") + hexText("e") + hexText("data") + "92" + hexText("json") + hexText(`{"a":1.50}`) +
		hexText("delta_sequence") + "cfffffffffffffffff" + hexText("delta_conflation_key") + hexText("k") +
		hexText("sequence") + "01" + hexText("conflation_key") + "c0" + hexText("unknown") + "8101c0" + hexText("tags") + "c0" + hexText("serial") + "d30000000000000005" +
		hexText("extras") + "85" + hexText("headers") + "83" + hexText("sockudo_action") + "92" + hexText("string") + hexText("message.create") +
		hexText("n") + "92" + hexText("number") + "ff" + hexText("on") + "92" + hexText("bool") + "c2" +
		hexText("idempotency_key") + hexText("i") + hexText("echo") + "c3" + hexText("x") + "90" + hexText("ai") + "c0"
	protobuf := hexTextField(1, "e") + "5805" + hexField(3, hexTextField(3, `{"a":1.50}`)) + "70 ffffffffffffffffff01" + hexTextField(15, "k") + "3801" + "8201 00" +
		hexField(13, hexField(1, hexTextField(1, "sockudo_action"), hexField(2, hexTextField(1, "message.create"))),
			hexField(1, hexTextField(1, "n"), hexField(2, "11 000000000000f0bf")), hexField(1, hexTextField(1, "on"), hexField(2, "1800")),
			hexTextField(3, "i"), "2001")
	want := Decoded{
		Event: "e", Data: []byte(`{"a":1.50}`), DataKind: "json", Serial: 5, HasSerial: true, DeltaSequence: 1<<64 - 1, HasDelta: true, ConflationKey: "k",
		Headers: map[string]any{"sockudo_action": "message.create", "n": -1.0, "on": false}, Echo: &yes,
	}
	for f, payload := range map[Format][]byte{FormatJSON: []byte(json), FormatMessagePack: unhex(t, packed), FormatProtobuf: unhex(t, protobuf)} {
		payload := bytes.Clone(payload)
		got, err := DecodeOutbound(f, payload)
		clear(payload)
		slices.Sort(got.Leaked)
		leaked := []string{"extras.idempotency_key", "sequence"}
		if f == FormatJSON {
			leaked = []string{"extras.idempotencyKey", "extras.push", "sequence"}
		}
		if !slices.Equal(got.Leaked, leaked) {
			t.Errorf("%s: leaked %q", f, got.Leaked)
		}
		got.Leaked, got.Extras = nil, nil
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, %v, want\n%+v", f, got, err, want)
		}
	}
}

// Some libraries write 5.0 as an integer, or as a single.
func TestHeadersOfAnyNumber(t *testing.T) {
	for _, number := range []string{"05", "cd0005", "d005", "ca40a00000", "cb4014000000000000"} {
		payload := unhex(t, "81"+hexText("extras")+"81"+hexText("headers")+"81"+hexText("n")+"92"+hexText("number")+number)
		if d, err := DecodeOutbound(FormatMessagePack, payload); err != nil || d.Headers["n"] != 5.0 {
			t.Errorf("%s: %+v, %v", number, d, err)
		}
	}
}

func TestWhatIsNotDecoded(t *testing.T) {
	e, nils := hexText("e"), func(n int) string { return strings.Repeat("c0", n) }
	packed := func(slot int, value string) string { return "9f" + e + nils(slot-2) + value + nils(envelopeSlots-slot) }
	extras := func(values ...string) string { return packed(slotExtras, "95"+strings.Join(values, "")) }
	for want, tests := range map[string]map[Format]string{
		"valid JSON":  {FormatV1: "6e6f", FormatJSON: ""},
		"JSON object": {FormatJSON: "5b5d"},
		"UTF-8": {
			FormatJSON: "7bff7d", FormatMessagePack: packed(slotUserID, "a1ff"), FormatProtobuf: hexField(9, "ff"),
		},
		"user_id":         {FormatJSON: text(`{"user_id":null}`), FormatMessagePack: packed(slotUserID, "01"), FormatProtobuf: "2801"},
		"serial":          {FormatJSON: text(`{"serial":-1}`), FormatMessagePack: packed(slotSerial, "ff"), FormatProtobuf: hexField(11)},
		"__delta_seq":     {FormatJSON: text(`{"__delta_seq":1.5}`)},
		"tags":            {FormatJSON: text(`{"tags":{"a":1}}`), FormatMessagePack: packed(slotTags, "90"), FormatProtobuf: hexField(6, "0801")},
		"extras":          {FormatJSON: text(`{"extras":[]}`), FormatMessagePack: packed(slotExtras, "94"+nils(4)), FormatProtobuf: "6801"},
		"tags not":        {FormatJSON: text(`{"tags":[]}`)},
		"headers: not":    {FormatJSON: text(`{"extras":{"headers":[]}}`)},
		"headers":         {FormatJSON: text(`{"extras":{"headers":{"a":null}}}`), FormatMessagePack: extras("90", nils(4)), FormatProtobuf: hexField(13, "0801")},
		"a header":        {FormatMessagePack: extras("81"+e+"c0", nils(4)), FormatProtobuf: hexField(13, hexField(1, hexField(2, "1001")))},
		"of the kind":     {FormatMessagePack: extras("81"+e+"92"+hexText("number")+"a0", nils(4))},
		"kind bool":       {FormatMessagePack: extras("81"+e+"92"+hexText("bool")+"c0", nils(4))},
		"kind \"json\"":   {FormatMessagePack: extras("81"+e+"92"+hexText("json")+e, nils(4))},
		"ephemeral":       {FormatJSON: text(`{"extras":{"ephemeral":1}}`), FormatMessagePack: extras("c0", "01", nils(3)), FormatProtobuf: hexField(13, hexField(2))},
		"echo":            {FormatJSON: text(`{"extras":{"echo":"true"}}`), FormatMessagePack: extras(nils(3), "01c0"), FormatProtobuf: hexField(13, hexField(4))},
		"extras.ai":       {FormatJSON: text(`{"extras":{"ai":{"codec":{"a":1}}}}`), FormatMessagePack: extras(nils(4), "80"), FormatProtobuf: hexField(13, "2801")},
		"extras.ai.codec": {FormatMessagePack: extras(nils(4), "92c090"), FormatProtobuf: hexField(13, hexField(5, "1001"))},
	} {
		for f, payload := range tests {
			if f >= FormatProtobuf && payload != "" {
				payload = hexTextField(1, "e") + payload
			}
			d, err := DecodeOutbound(f, unhex(t, payload))
			if err == nil || !strings.Contains(err.Error(), want) || !reflect.DeepEqual(d, Decoded{}) {
				t.Errorf("%s in %s: %+v, %v", want, f, d, err)
			}
		}
	}
}

// text is JSON in hex.
func text(json string) string { return hex.EncodeToString([]byte(json)) }
