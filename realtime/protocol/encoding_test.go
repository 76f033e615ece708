package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// full has every member that there is in the binary formats.
func full() *Outbound {
	no := false
	return &Outbound{
		Class: Internal, Event: "m", Channel: "c", Data: json.RawMessage(`"\u00fc\n"`), UserID: "u", Name: "n",
		Tags: Tags{{"k", "v"}, {"k2", ""}}, MessageID: "i", StreamID: "s", Serial: 300,
		Extras: &Extras{
			JSON: json.RawMessage(`{"headers":{"a":"x","b":1.5,"c":true},"ephemeral":true,"echo":false,"ai":{"transport":{"t":"1"},"codec":{}},"more":1}`),
			Headers: []Header{
				{"a", json.RawMessage(`"x"`)}, {"b", json.RawMessage(`1.5`)}, {"c", json.RawMessage(`true`)},
			},
			Ephemeral: true, Echo: &no, AI: &AIExtras{Transport: Tags{{"t", "1"}}},
		},
	}
}

// binaryGoldens are messages as clients know them. They never change.
var binaryGoldens = []struct {
	name             string
	message          *Outbound
	packed, protobuf string
}{
	{
		"pong", Pong,
		"9f ac 736f636b75646f3a706f6e67" + strings.Repeat("c0", 14),
		"0a0c 736f636b75646f3a706f6e67",
	},
	{
		"subscribe", &Outbound{Class: System, Event: "subscribe", Data: json.RawMessage(`{"channel":"orders"}`)},
		"9f b1 736f636b75646f3a737562736372696265 c0 92 a4 6a736f6e b4 7b226368616e6e656c223a226f7264657273227d" + strings.Repeat("c0", 12),
		"0a11 736f636b75646f3a737562736372696265 1a16 1a14 7b226368616e6e656c223a226f7264657273227d",
	},
	{
		"everything", full(),
		"9f b2 736f636b75646f5f696e7465726e616c3a6d a1 63 92 a6 737472696e67 a3 c3bc0a a1 6e a1 75 82 a1 6b a1 76 a2 6b32 a0 c0 c0 a1 69 a1 73 cd 012c c0" +
			"95 83 a1 61 92 a6 737472696e67 a1 78 a1 62 92 a6 6e756d626572 cb 3ff8000000000000 a1 63 92 a4 626f6f6c c3 c3 c0 c2 92 81 a1 74 a1 31 c0 c0 c0",
		"0a12 736f636b75646f5f696e7465726e616c3a6d 12 01 63 1a 05 0a 03 c3bc0a 22 01 6e 2a 01 75 32 06 0a 01 6b 12 01 76 32 06 0a 02 6b32 12 00 4a 01 69 52 01 73 58 ac02" +
			"6a 31 0a 08 0a 01 61 12 03 0a 01 78 0a 0e 0a 01 62 12 09 11 000000000000f83f 0a 07 0a 01 63 12 02 18 01 10 01 20 00 2a 08 0a 06 0a 01 74 12 01 31",
	},
}

// Checklist: protocol 33, 34
func TestGoldenBinaryMessages(t *testing.T) {
	for _, g := range binaryGoldens {
		for f, want := range map[Format]string{FormatMessagePack: g.packed, FormatProtobuf: g.protobuf} {
			frame := g.message.Frame(f)
			if got := frame.Text(); !bytes.Equal(got, unhex(t, want)) {
				t.Errorf("%s in %s:\n%x, want\n%s", g.name, f, got, strings.ReplaceAll(want, " ", ""))
			}
			if frame[0] != opBinary {
				t.Errorf("%s in %s: opcode %x", g.name, f, frame[0])
			}
		}
	}
}

// random makes messages of everything that an Outbound can hold.
type random struct{ *rand.Rand }

func (r random) text() string {
	pieces := []string{"a", "ü", "😀", `"`, `\`, "\n", "\x00", "\u2028", "value", strings.Repeat("long ", 60), strings.Repeat("x", 70000)}
	var text strings.Builder
	for range r.IntN(4) {
		n := len(pieces)
		if r.IntN(50) > 0 {
			n-- // seldom the longest
		}
		text.WriteString(pieces[r.IntN(n)])
	}
	return text.String()
}

func (r random) tags() (tags Tags) {
	for i := range r.IntN(4) * r.IntN(8) {
		tags = append(tags, Tag{fmt.Sprint(i, r.text()), r.text()})
	}
	return tags
}

// value is a JSON string, often with escapes, or another value.
func (r random) value() json.RawMessage {
	switch r.IntN(6) {
	case 0:
		return json.RawMessage(`{"b":1.50,"a":[` + string(AppendString(nil, r.text())) + `]}`)
	case 1:
		return json.RawMessage([]string{"null", "true", "-1e3", "[]"}[r.IntN(4)])
	case 2:
		return json.RawMessage(`"\u00e9\ud83d\ude00\ud800\u0041\/\b\f\r\t"`)
	default:
		return AppendString(nil, r.text())
	}
}

func (r random) header() json.RawMessage {
	switch r.IntN(4) {
	case 0:
		return json.RawMessage([]string{"true", "false"}[r.IntN(2)])
	case 1:
		return strconv.AppendFloat(nil, math.Float64frombits(r.Uint64()>>2), 'g', -1, 64)
	case 2:
		return strconv.AppendInt(nil, r.Int64(), 10)
	default:
		return AppendString(nil, r.text())
	}
}

func (r random) extras(t *testing.T) *Extras {
	b := []byte(`{"more":{"a":null}`)
	for i := range r.IntN(3) * r.IntN(9) {
		if i == 0 {
			b = append(b, `,"headers":{`...)
		} else {
			b = append(b, ',')
		}
		b = append(AppendString(b, fmt.Sprint(i, r.text())), ':')
		b = append(b, r.header()...)
	}
	if b[len(b)-1] != '}' || bytes.Contains(b, []byte(`"headers"`)) {
		b = append(b, '}')
	}
	for _, name := range [...]string{"ephemeral", "echo"} {
		if r.IntN(2) > 0 {
			b = fmt.Appendf(b, `,"%s":%t`, name, name == "ephemeral" || r.IntN(2) > 0)
		}
	}
	if r.IntN(2) > 0 {
		b = append(b, `,"ai":{"transport":{"a":"b","c":""},"other":1}`...)
	}
	x, err := ParseExtras(append(b, '}'), ExtrasRules{Ephemeral: true, Echo: true})
	if err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return x
}

func (r random) message(t *testing.T) *Outbound {
	o := &Outbound{
		Class: Class(r.IntN(3)), Event: "e" + r.text(), Channel: r.text(), UserID: r.text(), Name: r.text(),
		Tags: r.tags(), MessageID: r.text(), StreamID: r.text(), Serial: r.Uint64() >> r.IntN(64),
	}
	if r.IntN(5) > 0 {
		o.Data = r.value()
	}
	if r.IntN(2) > 0 {
		o.Extras = r.extras(t)
	}
	return o
}

// expected is what a client has to see of a message.
func expected(o *Outbound, f Format) Decoded {
	d := Decoded{Event: o.EventName(f.Version()), Channel: o.Channel, UserID: o.UserID}
	if o.Data != nil {
		d.Data, d.DataKind = o.Data, kindJSON
	}
	if len(o.Data) > 0 && o.Data[0] == '"' {
		d.DataKind = kindString
	}
	if f == FormatV1 {
		return d
	}
	d.Name, d.MessageID, d.StreamID, d.Tags = o.Name, o.MessageID, o.StreamID, o.Tags.decode()
	if o.StreamID != "" {
		d.Serial, d.HasSerial = o.Serial, true
	}
	x := o.Extras
	if x == nil {
		return d
	}
	if f == FormatJSON {
		d.Extras = x.JSON
	}
	if len(x.Headers) > 0 {
		d.Headers = map[string]any{}
	}
	for _, h := range x.Headers {
		var value any
		_ = json.Unmarshal(h.Value, &value)
		d.Headers[h.Name] = value
	}
	if x.Ephemeral {
		d.Ephemeral = &x.Ephemeral
	}
	d.Echo = x.Echo
	if x.AI != nil {
		d.AITransport, d.AICodec = x.AI.Transport.decode(), x.AI.Codec.decode()
	}
	return d
}

// meaning replaces a JSON string by its value, which has more than one spelling.
func meaning(d Decoded) Decoded {
	if d.DataKind == kindString {
		var text string
		if json.Unmarshal(d.Data, &text) == nil {
			d.Data = json.RawMessage(text)
		}
	}
	return d
}

// Checklist: protocol 33, 34
func TestMessagesSurviveEveryFormat(t *testing.T) {
	r := random{rand.New(rand.NewPCG(1, 2))}
	for range 2000 {
		o := r.message(t)
		for f := range Format(Formats) {
			payload := o.Frame(f).Text()
			got, err := DecodeOutbound(f, payload)
			if err != nil {
				t.Fatalf("%s: %v: %q", f, err, payload)
			}
			if got, want := meaning(got), meaning(expected(o, f)); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: %q became\n%.2000v, want\n%.2000v", f, payload, got, want)
			}
			if m, e := ParseMessage(f, payload); e != nil || m.Event != got.Event || m.Channel != got.Channel || !bytes.Equal(m.Data, got.Data) {
				t.Fatalf("%s: a client that sends %q gives %+v, %v", f, payload, m, e)
			}
		}
	}
}

// A frame is made once for all connections of a format, and in one piece.
func TestFramesAreOneAllocation(t *testing.T) {
	for _, o := range []*Outbound{published(), full()} {
		for f := range Format(Formats) {
			if n := testing.AllocsPerRun(100, func() { _ = o.Frame(f) }); n > 1 {
				t.Errorf("%s: %v allocations", f, n)
			}
		}
	}
}

func TestUnquotedIsTheValue(t *testing.T) {
	for _, raw := range []string{
		`""`, `"a"`, `"\n\r\t\b\f\"\\\/"`, `"\u0041\u00e9\u20AC\uFFFF\u0000"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ud83d\ud83d\ude00"`, `"\ude00\ud83d"`,
		`"\ud83dx"`, `"\ud83d\n"`, `"\ud83d\u0041"`, `"é\u00e9é"`, `"\\u0041"`,
	} {
		var want string
		if err := json.Unmarshal([]byte(raw), &want); err != nil {
			t.Fatal(err)
		}
		if got := appendUnquoted([]byte("x"), json.RawMessage(raw)); string(got) != "x"+want {
			t.Errorf("%s became %q, want %q", raw, got[1:], want)
		}
	}
}

// What is no JSON string does no harm.
func TestUnquotedOfHalfAnEscape(t *testing.T) {
	const escape = `\ud83d\ude00`
	for n := range escape {
		got := appendUnquoted(nil, json.RawMessage(`"`+escape[:n]+`"`))
		if !utf8.Valid(got) {
			t.Errorf("%s became %q", escape[:n], got)
		}
	}
}

func FuzzUnquoted(f *testing.F) {
	f.Add(`"\ud83d\ude00 \u0041"`)
	f.Add("plain")
	f.Fuzz(func(t *testing.T, text string) {
		var want string
		if !utf8.ValidString(text) || len(text) == 0 || text[0] != '"' || json.Unmarshal([]byte(text), &want) != nil {
			text = string(AppendString(nil, strings.ToValidUTF8(text, "?")))
			_ = json.Unmarshal([]byte(text), &want)
		}
		text = strings.TrimRight(text, " \t\r\n")
		if got := appendUnquoted(nil, json.RawMessage(text)); string(got) != want {
			t.Errorf("%s became %q, want %q", text, got, want)
		}
	})
}

// published is an event as an application publishes it, with 100 bytes of data.
func published() *Outbound {
	data, _ := EventData(json.RawMessage(`{"id":12345,"symbol":"ABCDEF","price":"1234.5678","size":42,"side":"buy","at":"2026-01-02T03:04:05Z","n":1}`))
	return &Outbound{Event: "price.changed", Channel: "private-orders-42", Data: data, MessageID: "3f0e5a1c-9b7d-4c2e-8f6a-1d2b3c4d5e6f"}
}

func BenchmarkFrame(b *testing.B) {
	o := published()
	for f := range Format(Formats) {
		b.Run(f.String()+"-V"+strconv.Itoa(int(f.Version())), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(o.Frame(f))))
			for b.Loop() {
				_ = o.Frame(f)
			}
		})
	}
}

func BenchmarkParseMessage(b *testing.B) {
	o := &Outbound{Class: System, Event: "subscribe", Data: json.RawMessage(`{"channel":"private-orders-42","auth":"app-key:7bec11937e0b3d95d425ed370a47c5b19104d89f03332b04d7572e8985d60f71"}`)}
	for f := range Format(Formats) {
		b.Run(f.String()+"-V"+strconv.Itoa(int(f.Version())), func(b *testing.B) {
			payload := o.Frame(f).Text()
			b.ReportAllocs()
			for b.Loop() {
				if _, e := ParseMessage(f, payload); e != nil {
					b.Fatal(e)
				}
			}
		})
	}
}
