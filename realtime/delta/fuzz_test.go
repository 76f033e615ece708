package delta

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"
)

// fuzzedSize is the largest target that fuzzed deltas may have.
const fuzzedSize = 1 << 16

func FuzzDecodeFossil(f *testing.F) { fuzzDecode(f, Fossil) }

func FuzzDecodeVCDIFF(f *testing.F) { fuzzDecode(f, XDelta3) }

func fuzzDecode(f *testing.F, a Algorithm) {
	for _, one := range foreignDeltas {
		delta, err := base64.StdEncoding.DecodeString(one.delta)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(foreignBase), delta)
	}
	for _, s := range samples()[:8] {
		f.Add(s.base, Encode(a, s.base, s.target))
	}
	f.Fuzz(func(t *testing.T, base, delta []byte) {
		target, err := Decode(a, base, delta, fuzzedSize)
		if err != nil {
			return
		}
		if len(target) > fuzzedSize || cap(target) > 2*fuzzedSize {
			t.Fatalf("%d bytes in %d", len(target), cap(target))
		}
		if again, err := Decode(a, base, Encode(a, base, target), len(target)); err != nil || !bytes.Equal(again, target) {
			t.Fatalf("encoded anew: %v", err)
		}
	})
}

func FuzzEncode(f *testing.F) {
	for i, s := range samples() {
		if len(s.base)+len(s.target) < 4000 {
			f.Add(s.base, s.target, uint16(i))
		}
	}
	f.Fuzz(func(t *testing.T, base, target []byte, repeat uint16) {
		base = bytes.Repeat(base, 1+int(repeat%8))
		target = bytes.Repeat(target, 1+int(repeat>>8%8))
		for _, a := range algorithms {
			delta := Encode(a, base, target)
			if got, err := Decode(a, base, delta, len(target)); err != nil || !bytes.Equal(got, target) {
				t.Fatalf("%s: %v", a, err)
			}
		}
	})
}

func FuzzKeyAt(f *testing.F) {
	for _, path := range []string{"symbol", "data.symbol", "data.a.b", "tags.x", "extras.headers.h", "data"} {
		for _, data := range []string{`"{\"symbol\":\"BTC\"}"`, `{"symbol":[1,{"a":"]"}],"a":{"b":1e3}}`, `"text"`, `{"a":{"b":"\u0041"},"a":{}}`, `{"a`, ``} {
			f.Add(path, data)
		}
	}
	f.Fuzz(func(t *testing.T, text, data string) {
		path, err := ParsePath(text)
		if err != nil {
			return
		}
		key, ok := path.KeyAt(Message{Event: "e", Channel: "c", Data: json.RawMessage(data), Extras: json.RawMessage(data)})
		if !ok {
			return
		}
		frame := AppendMembers(nil, []byte(`{"event":"e"}`), 0, key, true)
		var got struct {
			Key string `json:"__conflation_key"`
		}
		if err := json.Unmarshal(frame, &got); err != nil || got.Key != key {
			t.Fatalf("%s: %v", frame, err)
		}
		if stripped := strip(frame); string(stripped) != `{"event":"e"}` {
			t.Fatalf("%s is left of %s", stripped, frame)
		}
	})
}
