package protocol

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// hexField is a field of Protobuf that holds bytes, in hex.
func hexField(number byte, parts ...string) string {
	value, _ := hex.DecodeString(strings.ReplaceAll(strings.Join(parts, ""), " ", ""))
	return hex.EncodeToString(appendField(nil, number, value))
}

func hexTextField(number byte, text string) string {
	return hex.EncodeToString(appendField(nil, number, text))
}

func TestProtobufData(t *testing.T) {
	for name, test := range map[string]struct{ fields, want string }{
		"none":                 {"", ""},
		"string":               {hexField(3, hexTextField(1, "a\"\n😀")), `"a\"\n😀"`},
		"empty string":         {hexField(3, hexTextField(1, "")), `""`},
		"json":                 {hexField(3, hexTextField(3, " \n[1.50, {\"b\":1}]\t")), `[1.50, {"b":1}]`},
		"binary":               {hexField(3, hexField(4, "00ff0a")), `[0,255,10]`},
		"empty binary":         {hexField(3, hexField(4)), `[]`},
		"of no kind":           {hexField(3), `null`},
		"of an unknown kind":   {hexField(3, hexTextField(9, "x")), `null`},
		"structured":           {hexField(3, hexField(2, hexTextField(1, `{"a":1}`), hexTextField(2, "c"), hexField(4, hexTextField(1, "auth"), hexTextField(2, `"k:s"`)))), `{"auth":"k:s","channel":"c","channel_data":"{\"a\":1}"}`},
		"structured, empty":    {hexField(3, hexField(2)), `{}`},
		"an extra repeated":    {hexField(3, hexField(2, hexTextField(3, "u"), hexField(4, hexTextField(1, "a"), hexTextField(2, "1")), hexField(4, hexTextField(1, "a"), hexTextField(2, "2")))), `{"a":2,"user_data":"u"}`},
		"the last kind counts": {hexField(3, hexTextField(1, "a"), hexTextField(3, "1")), `1`},
		"data repeated":        {hexField(3, hexTextField(1, "a")) + hexField(3, hexField(2, hexTextField(2, "c"))) + hexField(3) + hexField(3, hexField(2, hexTextField(3, "u"))), `{"channel":"c","user_data":"u"}`},
	} {
		m, e := ParseMessage(FormatProtobuf, unhex(t, hexTextField(1, "e")+hexTextField(2, "c")+test.fields))
		if e != nil || m.Event != "e" || m.Channel != "c" || string(m.Data) != test.want || (m.Data == nil) != (test.want == "") {
			t.Errorf("%s: %+v %s, %v", name, m, m.Data, e)
		}
	}
	for name, ignored := range map[string]string{
		"serials":              "58 ffffffffffffffffff01 38 00 70 8100",
		"numbers of all sizes": "8101 0102030405060708 8501 01020304",
		"unknown text":         "8201 02 ffff",
		"extras of anything":   hexField(13, "ff"),
		"a text as a number":   "20 01",
		"a high field":         "f8ffffff0f 01",
	} {
		if m, e := ParseMessage(FormatProtobuf, unhex(t, hexTextField(1, "e")+ignored)); e != nil || m.Event != "e" {
			t.Errorf("%s in a member that is ignored: %+v, %v", name, m, e)
		}
	}
}

func TestWhatIsNoProtobufMessage(t *testing.T) {
	e := hexTextField(1, "e")
	for name, test := range map[string]struct{ payload, want string }{
		"a number that breaks off":     {e + "80", "it ends early"},
		"a field without a value":      {e + "58", "it ends early"},
		"a text that breaks off":       {"0a0261", "it ends early"},
		"a text that is too long":      {"0affffffffffffffffff0161", "it ends early"},
		"8 bytes that break off":       {e + "8101 01020304", "it ends early"},
		"4 bytes that break off":       {e + "8501 01", "it ends early"},
		"a number above 64 bits":       {e + "58 ffffffffffffffffff02", "a number is above 64 bits"},
		"a number that does not end":   {e + "58 ffffffffffffffffffffff", "a number is above 64 bits"},
		"field 0":                      {e + "0201 61", "no field has the number 0"},
		"a field above the highest":    {e + "80808080 10 01", "no field has the number 536870912"},
		"a group":                      {e + "8301 8401", "field 16 has the wire type 3"},
		"the end of a group":           {e + "8401", "field 16 has the wire type 4"},
		"an unknown wire type":         {e + "8601", "field 16 has the wire type 6"},
		"a number as event":            {"0801", "event has the wire type 0, not 2"},
		"a number as channel":          {e + "1001", "channel has the wire type 0, not 2"},
		"an event that is not UTF-8":   {hexField(1, "ff"), "not valid UTF-8"},
		"a user that is not UTF-8":     {e + hexField(5, "ff"), "not valid UTF-8"},
		"a number as data":             {e + "1801", "data has the wire type 0, not 2"},
		"data that breaks off":         {e + hexField(3, "0a02 61"), "it ends early"},
		"a string that is not UTF-8":   {e + hexField(3, hexField(1, "ff")), "not valid UTF-8"},
		"a number as string":           {e + hexField(3, "0801"), "data.string has the wire type 0"},
		"a number as binary":           {e + hexField(3, "2001"), "data.binary has the wire type 0"},
		"JSON that is none":            {e + hexField(3, hexTextField(3, "{'a'}")), "not valid JSON"},
		"JSON of nothing":              {e + hexField(3, hexField(3)), "not valid JSON"},
		"structured: a number":         {e + hexField(3, "1001"), "data.structured has the wire type 0"},
		"structured: a channel of 1":   {e + hexField(3, hexField(2, "1001")), "data.channel has the wire type 0"},
		"structured: an entry of 1":    {e + hexField(3, hexField(2, "2001")), "an extra member of data has the wire type 0"},
		"structured: extra, no JSON":   {e + hexField(3, hexField(2, hexField(4, hexTextField(1, "a")))), `the extra member "a" of data is not valid JSON`},
		"structured: extra, no UTF-8":  {e + hexField(3, hexField(2, hexField(4, hexField(1, "ff")))), `not valid UTF-8`},
		"structured: a second channel": {e + hexField(3, hexField(2, hexField(4, hexTextField(1, "channel"), hexTextField(2, "1")))), `"channel" is no extra member`},
	} {
		_, got := ParseMessage(FormatProtobuf, unhex(t, test.payload))
		if got == nil || got.Code != CodeGenericError || got.Close || !strings.HasPrefix(got.Message, "Invalid message format: protobuf: ") || !strings.Contains(got.Message, test.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for name, payload := range map[string]string{"empty": "0a00", "absent": "", "overridden": e + "0a00"} {
		if _, got := ParseMessage(FormatProtobuf, unhex(t, payload)); got != ErrEventRequired {
			t.Errorf("an event that is %s: %v", name, got)
		}
	}
}

func TestProtobufAsOthersWriteIt(t *testing.T) {
	payload := newSchema(t).envelope(t, map[protoreflect.Name]string{"event": "sockudo:subscribe", "user_id": "u", "data": `{"channel":"orders"}`})
	m, e := ParseMessage(FormatProtobuf, payload)
	if e != nil || m.Event != "sockudo:subscribe" || m.Channel != "" || string(m.Data) != `{"channel":"orders"}` {
		t.Errorf("%+v, %v", m, e)
	}
}

// checkParsed checks what the parser made of any bytes.
func checkParsed(t *testing.T, f Format, payload []byte) {
	m, e := ParseMessage(f, payload)
	if e != nil {
		if e.Code != CodeGenericError || e.Close || !utf8.ValidString(e.Message) || len(e.Message) > 500 {
			t.Errorf("%x: %+v", payload, e)
		}
		return
	}
	if m.Event == "" || !utf8.ValidString(m.Event) || !utf8.ValidString(m.Channel) || m.Data != nil && (!json.Valid(m.Data) || !utf8.Valid(m.Data)) {
		t.Errorf("%x became %q, %q, %q", payload, m.Event, m.Channel, m.Data)
	}
	o := EventMessage(m.Event, m.Channel, m.Data, "u")
	for f := range Format(Formats) {
		if d, err := DecodeOutbound(f, o.Frame(f).Text()); err != nil || d.Event != m.Event {
			t.Errorf("%x became %+v, then %+v, %v", payload, m, d, err)
		}
	}
}

func FuzzProtobuf(f *testing.F) {
	for _, g := range binaryGoldens {
		f.Add(unhex(f, g.protobuf))
	}
	for _, seed := range []string{
		hexTextField(1, "e") + hexField(3, hexField(2, hexTextField(2, "c"), hexField(4, hexTextField(1, "a"), hexTextField(2, "1")))),
		hexTextField(1, "e") + hexField(3, hexField(4, "00ff")) + "7001" + hexTextField(15, "k") + "8101 0102030405060708",
		"0affffffffffffffffff0161", "8301 8401",
	} {
		f.Add(unhex(f, seed))
	}
	wire := newSchema(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		checkParsed(t, FormatProtobuf, payload)
		got, err := DecodeOutbound(FormatProtobuf, payload)
		if err != nil {
			return
		}
		// What is decoded is what the library of others decodes, except that it checks
		// the legacy members, too.
		want, err := wire.decode(payload)
		if err != nil {
			if len(got.Leaked) == 0 {
				t.Errorf("%x became %+v, and is wrong: %v", payload, got, err)
			}
			return
		}
		got.Leaked = nil
		if !same(got, want) {
			t.Errorf("%x became\n%+v, want\n%+v", payload, got, want)
		}
	})
}

// same compares what was decoded. No number is itself, not even one that is none.
func same(a, b Decoded) bool {
	for _, d := range []*Decoded{&a, &b} {
		for name, value := range d.Headers {
			if n, ok := value.(float64); ok && n != n {
				d.Headers[name] = errors.ErrUnsupported
			}
		}
	}
	return reflect.DeepEqual(a, b)
}
