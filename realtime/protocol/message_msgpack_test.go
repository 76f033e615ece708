package protocol

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// in15 is an array of 15 that begins with the given values, and has nil behind them.
func in15(t testing.TB, values ...string) []byte {
	return unhex(t, "9f"+strings.Join(values, "")+strings.Repeat("c0", 15-len(values)))
}

// hexText is a text of MessagePack, in hex.
func hexText(text string) string { return hex.EncodeToString(appendPackedText(nil, text)) }

// Checklist: protocol 30
func TestMessagePackSubscribe(t *testing.T) {
	members := map[string]any{
		"event": "sockudo:subscribe", "data": []any{"json", `{"channel":"orders"}`}, "delta_sequence": 1, "unknown": map[string]any{"a": []int{1}},
		"extras": map[string]any{"headers": map[string]any{"a": []any{"number", 1}}, "echo": true},
	}
	array := make([]any, envelopeSlots)
	for i, name := range slotNames {
		array[i] = members[name]
	}
	for form, message := range map[string]any{"array": array, "map": members, "map of event and data": map[string]any{"data": members["data"], "event": members["event"]}} {
		payload, err := msgpack.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		m, e := ParseMessage(FormatMessagePack, payload)
		if e != nil || m.Event != "sockudo:subscribe" || m.Channel != "" || string(m.Data) != `{"channel":"orders"}` {
			t.Errorf("%s: %+v, %v", form, m, e)
			continue
		}
		if s, e := ParseSubscribe(m.Data); e != nil || s.Channel != "orders" {
			t.Errorf("%s: %+v, %v", form, s, e)
		}
	}
}

func TestMessagePackData(t *testing.T) {
	nested := strings.Repeat("91", 500) + "c0"
	for name, test := range map[string]struct{ data, want string }{
		"none":                  {"c0", ""},
		"string":                {"92" + hexText("string") + hexText("a\"\n😀"), `"a\"\n😀"`},
		"str8":                  {"92" + "d906737472696e67" + "d90161", `"a"`},
		"str16":                 {"92" + "da0006737472696e67" + "da000161", `"a"`},
		"str32":                 {"92" + "db00000006737472696e67" + "db0000000161", `"a"`},
		"array16":               {"dc0002" + hexText("string") + "a0", `""`},
		"array32":               {"dd00000002" + hexText("string") + "a0", `""`},
		"json":                  {"92" + hexText("json") + hexText(" \n[1.50, {\"b\":1}]\t"), `[1.50, {"b":1}]`},
		"json null":             {"92" + hexText("json") + hexText("null"), `null`},
		"binary":                {"92" + hexText("binary") + "c40300ff0a", `[0,255,10]`},
		"empty binary":          {"92" + hexText("binary") + "c400", `[]`},
		"bin16":                 {"92" + hexText("binary") + "c5000101", `[1]`},
		"bin32":                 {"92" + hexText("binary") + "c60000000101", `[1]`},
		"structured":            {"92" + hexText("structured") + "94" + hexText(`{"a":1}`) + hexText("c") + "c0" + "82" + hexText("auth") + hexText(`"k:s"`) + hexText("n") + hexText(" 1.0"), `{"auth":"k:s","channel":"c","channel_data":"{\"a\":1}","n":1.0}`},
		"structured of nothing": {"92" + hexText("structured") + "94c0c0c0c0", `{}`},
		"structured, map16":     {"92" + hexText("structured") + "94c0c0" + hexText("u") + "de0001" + hexText("a") + hexText("1"), `{"a":1,"user_data":"u"}`},
		"structured, map32":     {"92" + hexText("structured") + "94c0c0c0" + "df00000002" + hexText("a") + hexText("1") + hexText("a") + hexText("2"), `{"a":2}`},
	} {
		m, e := ParseMessage(FormatMessagePack, in15(t, hexText("e"), hexText("c"), test.data))
		if e != nil || m.Event != "e" || m.Channel != "c" || string(m.Data) != test.want || (m.Data == nil) != (test.want == "") {
			t.Errorf("%s: %+v %s, %v", name, m, m.Data, e)
		}
	}
	for name, ignored := range map[string]string{
		"numbers":       "dc0011 00 7f ff e0 d001 d17fff cc80 cd0100 ce00010000 cf0000000100000000 d0ff d1ffff d2ffffffff d3ffffffffffffffff ca3f800000 cb3ff0000000000000 c2",
		"blocks":        "9a c40100 c5000100 c60000000100 d401ff d501ffff d601ffffffff d701ffffffffffffffff d801ffffffffffffffffffffffffffffffff c701ff00 c80001ff00",
		"ext32":         "c90000000005",
		"maps":          "83 01 80 a161 de0001 c3 90 c0 df00000001 a0 a0",
		"a deep array":  nested,
		"a deep map":    strings.Repeat("81c0", 500) + "c0",
		"a long string": "d9ff" + strings.Repeat("61", 255),
	} {
		if m, e := ParseMessage(FormatMessagePack, in15(t, hexText("e"), "c0", "c0", ignored)); e != nil || m.Event != "e" {
			t.Errorf("%s in a member that is ignored: %+v, %v", name, m, e)
		}
	}
}

// Checklist: protocol 31
func TestWhatIsNoMessagePackMessage(t *testing.T) {
	e := hexText("e")
	for name, test := range map[string]struct{ payload, want string }{
		"nothing":                     {"", "it ends early"},
		"trailing bytes":              {"9f" + e + strings.Repeat("c0", 14) + "c0", "1 bytes follow the message"},
		"trailing bytes after a map":  {"81" + hexText("event") + e + "0001", "2 bytes follow"},
		"a text":                      {e, "str, which is neither an array nor a map"},
		"an array of 2":               {"92" + e + "c0", "an array of 2, not of 15"},
		"an array of 16":              {"dc0010" + e + strings.Repeat("c0", 15), "an array of 16, not of 15"},
		"a byte that begins nothing":  {"9f" + e + strings.Repeat("c0", 13) + "c1", "0xc1 begins no value"},
		"a number as event":           {"9f05" + strings.Repeat("c0", 14), "event must be a str, not integer"},
		"bytes as channel":            {"9f" + e + "c40161" + strings.Repeat("c0", 13), "channel must be a str, not bin"},
		"an event that is not UTF-8":  {"9fa1ff" + strings.Repeat("c0", 14), "not valid UTF-8"},
		"a tag that is not UTF-8":     {"9f" + e + strings.Repeat("c0", 4) + "81a161a1ff" + strings.Repeat("c0", 9), "not valid UTF-8"},
		"a name that is not UTF-8":    {"81a1ffc0", "not valid UTF-8"},
		"a name that is a number":     {"8101c0", "a name in the message must be a str, not integer"},
		"a text that is too long":     {"9fdbffffffff61", "it ends early"},
		"bytes that are too long":     {"9f" + e + "c0c0c6ffffffff", "it ends early"},
		"an extension that is long":   {"9f" + e + "c0c0c9ffffffff01", "it ends early"},
		"an array that is too long":   {"ddffffffff" + e, "it ends early"},
		"an inner array too long":     {"9f" + e + "c0c0ddffffffff" + strings.Repeat("c0", 12), "it ends early"},
		"a map that is too long":      {"dfffffffff" + hexText("event") + e, "it ends early"},
		"half a map":                  {"82" + hexText("event") + e + hexText("data"), "it ends early"},
		"data that is a text":         {"9f" + e + "c0" + e + strings.Repeat("c0", 12), "data must be a kind and a value"},
		"data of three":               {"9f" + e + "c093" + e + e + e + strings.Repeat("c0", 12), "data must be a kind and a value"},
		"data of an unknown kind":     {"9f" + e + "c092" + hexText("xml1\x00"+strings.Repeat("é", 200)) + e + strings.Repeat("c0", 12), `data of the unknown kind "xml1\x00` + strings.Repeat("é", 17) + `"…`},
		"data of a number as kind":    {"9f" + e + "c0920101" + strings.Repeat("c0", 12), "a name in data must be a str"},
		"a string that is a number":   {"9f" + e + "c092" + hexText("string") + "01" + strings.Repeat("c0", 12), "data of the kind string must be a str, not integer"},
		"a string that is nil":        {"9f" + e + "c092" + hexText("string") + "c0" + strings.Repeat("c0", 12), "must be a str, not nil"},
		"binary that is a text":       {"9f" + e + "c092" + hexText("binary") + e + strings.Repeat("c0", 12), "must be a bin, not str"},
		"JSON that is none":           {"9f" + e + "c092" + hexText("json") + hexText("{'a'}") + strings.Repeat("c0", 12), "not valid JSON"},
		"JSON of nothing":             {"9f" + e + "c092" + hexText("json") + "a0" + strings.Repeat("c0", 12), "not valid JSON"},
		"JSON with something behind":  {"9f" + e + "c092" + hexText("json") + hexText("1 2") + strings.Repeat("c0", 12), "not valid JSON"},
		"JSON without a bottom":       {"9f" + e + "c092" + hexText("json") + hexText(strings.Repeat("[", 100000)) + strings.Repeat("c0", 12), "not valid JSON"},
		"structured data of three":    {"9f" + e + "c092" + hexText("structured") + "93c0c0c0" + strings.Repeat("c0", 12), "must be an array of 4"},
		"structured: a number":        {"9f" + e + "c092" + hexText("structured") + "94c001c0c0" + strings.Repeat("c0", 12), "data.channel must be a str, not integer"},
		"structured: extra of a text": {"9f" + e + "c092" + hexText("structured") + "94c0c0c0" + e + strings.Repeat("c0", 12), "must be a map, not str"},
		"structured: extra, no JSON":  {"9f" + e + "c092" + hexText("structured") + "94c0c0c081" + e + e + strings.Repeat("c0", 12), `the extra member "e" of data is not valid JSON`},
		"structured: a second name":   {"9f" + e + "c092" + hexText("structured") + "94c0c0c081" + hexText("channel") + hexText("1") + strings.Repeat("c0", 12), `"channel" is no extra member`},
	} {
		_, got := ParseMessage(FormatMessagePack, unhex(t, test.payload))
		if got == nil || got.Code != CodeGenericError || got.Close || !strings.HasPrefix(got.Message, "Invalid message format: msgpack: ") || !strings.Contains(got.Message, test.want) {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		if frame := ErrorMessage(got).Frame(FormatJSON); !json.Valid(frame.Text()) {
			t.Errorf("%s: the error is not JSON: %q", name, frame.Text())
		}
	}
	for name, payload := range map[string][]byte{"nil": in15(t), "empty": in15(t, "a0"), "absent": {0x80}} {
		if _, got := ParseMessage(FormatMessagePack, payload); got != ErrEventRequired {
			t.Errorf("an event that is %s: %v", name, got)
		}
	}
}

// Every beginning of a message is an error, and so is what goes on behind it.
func TestPartsOfBinaryMessages(t *testing.T) {
	packed, protobuf := full().Frame(FormatMessagePack).Text(), full().Frame(FormatProtobuf).Text()
	for n := range packed {
		if _, e := ParseMessage(FormatMessagePack, packed[:n]); e == nil {
			t.Errorf("the first %d bytes of %x are a message", n, packed)
		}
		if _, err := DecodeOutbound(FormatMessagePack, packed[:n]); err == nil {
			t.Errorf("the first %d bytes of %x are decoded", n, packed)
		}
	}
	whole := 0
	for n := range protobuf {
		d, err := DecodeOutbound(FormatProtobuf, protobuf[:n])
		if err == nil {
			whole++
			if d.Extras != nil || d.Headers != nil {
				t.Errorf("the first %d bytes of %x have extras", n, protobuf)
			}
		}
	}
	if whole != 11 { // before each of its fields
		t.Errorf("%d beginnings of %x are messages", whole, protobuf)
	}
}

// What a message claims to hold costs nothing until it is there.
func TestClaimsCostNothing(t *testing.T) {
	var before, after runtime.MemStats
	claims := [][]byte{
		unhex(t, "dd00fffff0"+strings.Repeat("c0", 100)), unhex(t, "df00fffff0"+strings.Repeat("c0", 100)),
		in15(t, hexText("e"), "c0", "c0", "c0", "c0", "df00fffff0"), in15(t, hexText("e"), "c0", "92"+hexText("binary")+"c600fffff0"),
	}
	runtime.ReadMemStats(&before)
	for _, claim := range claims {
		if _, err := DecodeOutbound(FormatMessagePack, claim); err == nil {
			t.Errorf("%x is decoded", claim)
		}
	}
	if _, err := DecodeOutbound(FormatProtobuf, unhex(t, "0a f0ffff07 61")); err == nil {
		t.Error("a text that is too long is decoded")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

func TestMessageKeepsNothingOfThePayload(t *testing.T) {
	data := json.RawMessage(`{"channel":"orders","auth":"k:s"}`)
	for _, f := range []Format{FormatV1, FormatJSON, FormatMessagePack, FormatProtobuf} {
		for _, o := range []*Outbound{{Event: "ev", Channel: "ch", Data: data}, {Event: "ev", Channel: "ch", Data: AppendString(nil, []byte(data))}} {
			payload := bytes.Clone(o.Frame(f).Text())
			want, _ := ParseMessage(f, bytes.Clone(payload))
			got, _ := ParseMessage(f, payload)
			for i := range payload {
				payload[i] = 'x'
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v has become %+v", f, want, got)
			}
		}
	}
}

func FuzzMessagePack(f *testing.F) {
	for _, g := range binaryGoldens {
		f.Add(unhex(f, g.packed))
	}
	for _, seed := range []string{
		"82" + hexText("event") + hexText("e") + hexText("extras") + "81" + hexText("echo") + "c2",
		"81" + hexText("data") + "92" + hexText("structured") + "94c0c0c081" + hexText("a") + hexText("1"),
		"ddffffffff", "9f a165 c0 92 a6 62696e617279 c4 02 00ff c0c0c0c0c0c0c0 cf0000000100000000 c0 81 a7 68656164657273 81 a161 92 a6 6e756d626572 d1ffff d801ffffffffffffffffffffffffffffffff c0",
	} {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		checkParsed(t, FormatMessagePack, payload)
		got, err := DecodeOutbound(FormatMessagePack, payload)
		if err != nil {
			return
		}
		if again, err := DecodeOutbound(FormatMessagePack, payload); err != nil || !same(got, again) {
			t.Errorf("%x became %+v, then %+v, %v", payload, got, again, err)
		}
		checkAsOthersRead(t, payload, got)
	})
}
