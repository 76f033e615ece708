package protocol

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

// goldens are envelopes as nodes exchange them. Nodes of one cluster may be of
// different versions, so they never change.
var goldens = []struct {
	encoded  string
	envelope *Envelope
}{
	{"02 00 00000000", &Envelope{}},
	{"02 00 00010007 026170 0163 0165 03227822", &Envelope{App: "ap", Channel: "c", Event: "e", Data: json.RawMessage(`"x"`)}},
	{"02 00 00010003 0161 0163 00", &Envelope{App: "a", Channel: "c", Data: json.RawMessage{}}},
	{"02 00 0003081f 0161 0163 0165 03312e32 0175 ac02 027b7d", &Envelope{
		App: "a", Channel: "c", Event: "e", Except: "1.2", Client: true, UserID: "u", Seq: 300, Data: json.RawMessage(`{}`),
	}},
	{"02 01 00000023 0161 0163 02c3bc", &Envelope{Kind: KindUserEvent, App: "a", Channel: "c", User: "ü"}},
	{"02 02 00002061 0161 0175 0172 d23e", &Envelope{Kind: KindCloseUser, App: "a", User: "u", Reason: "r", Code: 4009}},
	{"02 00 000ddb27 0161 0163 0165 0175 016d 0173 01 05 01 016b0176 027b7d 0131 ", &Envelope{
		App: "a", Channel: "c", Event: "e", User: "u", MessageID: "m", Stream: "s", Seq: 1, Serial: 5,
		Tags: Tags{{"k", "v"}}, Extras: json.RawMessage(`{}`), Data: json.RawMessage(`1`), Ephemeral: true, Full: true,
	}},
	{"02 00 00311307 0161 0163 0165 016d 0173 05 027b7d 0131", &Envelope{
		App: "a", Channel: "c", Event: "e", MessageID: "m", Stream: "s", Serial: 5, Version: json.RawMessage(`{}`), Data: json.RawMessage(`1`), Unstored: true,
	}},
	{"02 03 00010880 026e31 01 0131", &Envelope{Kind: KindControl, Node: "n1", Seq: 1, Data: json.RawMessage(`1`)}},
	{"02 04 00000025 0161 016a 0175", &Envelope{Kind: KindRevoke, App: "a", Event: "j", User: "u"}},
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEnvelopeGoldenBytes(t *testing.T) {
	for _, g := range goldens {
		want := unhex(t, g.encoded)
		if got := g.envelope.AppendBinary([]byte("before")); !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Errorf("%+v became %x, want %x", g.envelope, got, want)
		}
		got, err := DecodeEnvelope(want)
		if err != nil || !reflect.DeepEqual(got, g.envelope) {
			t.Errorf("%x became\n%#v, %v\nwant\n%#v", want, got, err, g.envelope)
		}
	}
}

// TestEnvelopeRoundTrip fills every field, so that a new one is not forgotten.
func TestEnvelopeRoundTrip(t *testing.T) {
	e := &Envelope{}
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("json") == "-" {
			continue // for the publishing node alone
		}
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(strings.Repeat(v.Type().Field(i).Name+" \x00😀", 100))
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int:
			f.SetInt(math.MinInt64)
		case reflect.Uint64:
			f.SetUint(math.MaxUint64)
		case reflect.Uint8:
			f.SetUint(uint64(lastKind))
		case reflect.Slice:
			if f.Type() == reflect.TypeFor[Tags]() {
				f.Set(reflect.ValueOf(Tags{{"key", strings.Repeat("value", 100)}, {"", ""}}))
				continue
			}
			f.SetBytes(bytes.Repeat([]byte("x"), 1<<20))
		default:
			t.Fatalf("a field of kind %v", f.Kind())
		}
	}
	encoded := e.AppendBinary(nil)
	got, err := DecodeEnvelope(encoded)
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Fatalf("became %.2000v, %v", got, err)
	}
	if size := e.BinarySize(); size < len(encoded) || size > len(encoded)+96 {
		t.Errorf("BinarySize is %d, and it takes %d bytes", size, len(encoded))
	}
	if size := new(Envelope).BinarySize(); size < 6 || size > 96 {
		t.Errorf("BinarySize of an empty envelope is %d", size)
	}
}

func TestWhatIsNoEnvelope(t *testing.T) {
	for name, encoded := range map[string]string{
		"nothing":                   "",
		"version 0":                 "00 00 00000000",
		"version 1":                 "01 00 00000000",
		"JSON":                      hex.EncodeToString([]byte(`{"app":"a"}`)),
		"unknown kind":              "02 07 00000000",
		"unknown field":             "02 00 04000000",
		"more than an envelope":     "02 00 00000000 00",
		"text of no length":         "02 00 00000001 00",
		"text that is too long":     "02 00 00000001 0361",
		"length of many bytes":      "02 00 00000001 ffffffffffffffffff01 61",
		"length that overflows":     "02 00 00000001 ffffffffffffffffffff01 61",
		"longer form of a length":   "02 00 00000001 8100 61",
		"number that is zero":       "02 00 00000800 00",
		"code that is zero":         "02 00 00002000 00",
		"data that is too long":     "02 00 00010000 02 61",
		"longer form of no data":    "02 00 00010000 8000",
		"data of a terrible length": "02 00 00010000 ffffffffffffffffff01 61",
	} {
		if e, err := DecodeEnvelope(unhex(t, encoded)); !errors.Is(err, ErrEnvelope) || e != nil {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	for _, g := range goldens {
		whole := unhex(t, g.encoded)
		for n := range whole {
			if e, err := DecodeEnvelope(whole[:n]); !errors.Is(err, ErrEnvelope) || e != nil {
				t.Errorf("%d bytes of %x: %+v, %v", n, whole, e, err)
			}
		}
	}
}

func TestEnvelopeCodecAllocates(t *testing.T) {
	e := goldens[3].envelope
	encoded := e.AppendBinary(nil)
	room := make([]byte, 0, e.BinarySize())
	if n := testing.AllocsPerRun(100, func() { room = e.AppendBinary(room[:0]) }); n != 0 {
		t.Errorf("encoding allocates %v times, want never", n)
	}
	// The envelope, and all its texts together.
	if n := testing.AllocsPerRun(100, func() { _, _ = DecodeEnvelope(encoded) }); n > 2 {
		t.Errorf("decoding allocates %v times, want at most twice", n)
	}
}

// FuzzDecodeEnvelope wants what is decoded to be written in one way only, so that
// nothing is lost or misread.
func FuzzDecodeEnvelope(f *testing.F) {
	for _, g := range goldens {
		f.Add(unhex(f, g.encoded))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEnvelope(b)
		if err != nil {
			if e != nil || !errors.Is(err, ErrEnvelope) {
				t.Fatalf("%x: %+v, %v", b, e, err)
			}
			return
		}
		if again := e.AppendBinary(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x became %+v, which is written %x", b, e, again)
		}
		if e.BinarySize() < len(b) {
			t.Fatalf("%x: BinarySize is %d", b, e.BinarySize())
		}
	})
}

func BenchmarkEnvelopeCodec(b *testing.B) {
	e := &Envelope{App: "app-id", Channel: "private-room-1234", Event: "message", Data: json.RawMessage(strings.Repeat("x", 100)), Node: strings.Repeat("n", 26), Seq: 1 << 20}
	encoded := e.AppendBinary(nil)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = e.AppendBinary(make([]byte, 0, e.BinarySize()))
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = DecodeEnvelope(encoded)
		}
	})
}
