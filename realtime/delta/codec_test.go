package delta

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// Checklist: protocol 183
func TestDeltasTurnTheBaseIntoTheTarget(t *testing.T) {
	for _, a := range algorithms {
		for _, s := range samples() {
			delta := Encode(a, s.base, s.target)
			got, err := Decode(a, s.base, delta, len(s.target))
			if err != nil || !bytes.Equal(got, s.target) {
				t.Errorf("%s, %s: %v, %d of %d bytes", a, s.name, err, len(got), len(s.target))
			}
			if most := len(s.target) + len(s.target)/50 + 60; len(delta) > most {
				t.Errorf("%s, %s: a delta of %d bytes for %d", a, s.name, len(delta), len(s.target))
			}
		}
	}
}

// TestDeltasAreShort pins what each kind of change may cost at most.
func TestDeltasAreShort(t *testing.T) {
	most := map[string][2]int{
		"identical":          {20, 25},
		"grows at the end":   {60, 66},
		"grows at the start": {60, 66},
		"shrinks":            {20, 25},
		"one byte repeated":  {20, 30},
		"a period of two":    {24, 36},
		"halves exchanged":   {40, 40},
		"large with edits":   {1100, 1000},
	}
	for _, s := range samples() {
		limit, ok := most[s.name]
		if !ok {
			continue
		}
		delete(most, s.name)
		for _, a := range algorithms {
			if n := len(Encode(a, s.base, s.target)); n > limit[a] {
				t.Errorf("%s, %s: %d bytes, at most %d were expected", a, s.name, n, limit[a])
			}
		}
	}
	if len(most) > 0 {
		t.Errorf("no such samples: %v", most)
	}
}

// Texts, and deltas between them that the fossil-delta package for JavaScript and the
// xdelta3 program (-e -n -A -S none, with -0 and with -9) have made.
const (
	foreignBase   = `{"event":"tick","channel":"ticker","data":"{\"symbol\":\"BTC\",\"price\":60123.45,\"open\":59000,\"venue\":\"XETR\"}","serial":41}`
	foreignTarget = `{"event":"tick","channel":"ticker","data":"{\"symbol\":\"BTC\",\"price\":60124.5,\"open\":59000,\"venue\":\"XETR\",\"note\":\"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz price price price\"}","serial":42}`
)

var foreignDeltas = map[string]struct {
	algorithm Algorithm
	delta     string
}{
	"fossil-delta":          {Fossil, "MzkKMURAMCwyOjQuWkAxRywxTjosXCJub3RlXCI6XCJ6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6IHByaWNlIHByaWNlIHByaWNlXCJ9Iiwic2VyaWFsIjo0Mn0xZUdyQ0Q7"},
	"xdelta3 -0":            {XDelta3, "1sPEAAABcwBEgUkAMgoCNC4sXCJub3RlXCI6XCJ6IHByaWNlIHByaWNlIHByaWNlXCJ9Iiwic2VyaWFsIjo0Mn0TTQMTIw0AKAEjAFA="},
	"xdelta3 -9":            {XDelta3, "1sPEAAABgQAAKYFJABENBTQuLFwibm90eiBwcmljZTJ9E00DEyMHJgAoBywfAwBQEgZx"},
	"xdelta3 -9, no source": {XDelta3, "1sPEAAAAgROBSQB6DQZ7ImV2ZW50IjoidGljayIsImNoYW5uZWxlciIsImRhdGEiOiJ7XCJzeW1ib2xcIjpcIkJUQ1wiLFwicHJpY2VcIjo2MDEyNC41LFwib3BlblwiOjU5MDAwLFwidmVudWVYRVRSbm90eiBcIn0iLCJzZXJpYWwiOjQyfQEYFwFIFa2rACikLBIHNDxmQQY="},
}

func TestDeltasOfOthersAreDecoded(t *testing.T) {
	base, target := []byte(foreignBase), []byte(foreignTarget)
	for name, one := range foreignDeltas {
		delta, err := base64.StdEncoding.DecodeString(one.delta)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(one.algorithm, base, delta, len(target))
		if err != nil || !bytes.Equal(got, target) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if _, err := Decode(one.algorithm, base, delta, len(target)-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v for one byte less", name, err)
		}
		for cut := range delta {
			if _, err := Decode(one.algorithm, base, delta[:cut], len(target)); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %v from %d of %d bytes", name, err, cut, len(delta))
			}
		}
	}
}

// TestDecodeRefuses has one delta for each rule that a decoder checks. The base is
// "abcdefgh".
func TestDecodeRefuses(t *testing.T) {
	window := func(text string) string { return vcdiffHeader + text }
	for _, one := range []struct {
		a     Algorithm
		delta string
		want  string
	}{
		{Fossil, "", "ends too early"},
		{Fossil, "2;", "no newline"},
		{Fossil, "\n", "a number is missing"},
		{Fossil, "~~~~~~\n", "more than 32 bits"},
		{Fossil, "40\n", "too large"},
		{Fossil, "2\n3:ab", "has 2"},
		{Fossil, "2\n3:abc0;", "longer than 2"},
		{Fossil, "2\n2@0;0;", "no comma"},
		{Fossil, "2\n2@7,0;", "leaves a base of 8"},
		{Fossil, "2\n2@0", "ends too early"},
		{Fossil, "2\n1@0,0;", "1 of 2 bytes"},
		{Fossil, "2\n2@0,0;", "checksum"},
		{Fossil, "0\n0;0", "after its end"},
		{Fossil, "2\n2?", "unknown command"},
		{XDelta3, "", "not VCDIFF"},
		{XDelta3, "\xd6\xc3\xc4\x00\x01", "not VCDIFF"},
		{XDelta3, window(""), "ends too early"},
		{XDelta3, window("\x02\x08\x00\x05\x00\x00\x00\x00\x00"), "window indicator"},
		{XDelta3, window("\x05\x08\x00\x05\x00\x00\x00\x00\x00"), "window indicator"},
		{XDelta3, window("\x01\x08\x01\x05\x00\x00\x00\x00\x00"), "in a base of 8"},
		{XDelta3, window("\x00\x06\x00\x00\x00\x00\x00"), "5 are left"},
		{XDelta3, window("\x00\x05\x00\x01\x00\x00\x00"), "delta indicator"},
		{XDelta3, window("\x00\x06\x00\x00\x00\x00\x00\x00"), "after a window"},
		{XDelta3, window("\x00\x06\x00\x00\x01\x00\x00a"), "are not used"},
		{XDelta3, window("\x00\x06\x82\x00\x00\x00\x00\x00"), "too large"},
		{XDelta3, window("\x00\x09\x88\x80\x80\x80\x00\x00\x00\x00\x00"), "more than 31 bits"},
		{XDelta3, window("\x00\x05\x02\x00\x00\x00\x00"), "0 of 2 bytes"},
		{XDelta3, window("\x00\x09\x01\x00\x02\x02\x00ab\x01\x02"), "longer than 1"},
		{XDelta3, window("\x00\x07\x02\x00\x00\x02\x00\x00\x02"), "ends too early"},
		{XDelta3, window("\x00\x07\x02\x00\x01\x01\x00a\x03"), "1 are left"},
		{XDelta3, window("\x01\x08\x00\x07\x04\x00\x00\x01\x01\x14\x08"), "a copy from 8, at 8"},
		{XDelta3, window("\x01\x08\x00\x07\x04\x00\x00\x01\x01\x24\x09"), "address -1"},
	} {
		_, err := Decode(one.a, []byte("abcdefgh"), []byte(one.delta), 255)
		if err == nil || !strings.Contains(err.Error(), one.want) || errors.Is(err, ErrCorrupt) == errors.Is(err, ErrTooLarge) {
			t.Errorf("%s %q: %v, want %q", one.a, one.delta, err, one.want)
		}
	}
}

func TestWindowsFollowEachOther(t *testing.T) {
	one := "\x01\x04\x02\x08\x06\x00\x00\x02\x01\x13\x06\x00" // 6 bytes from 4: the copy runs into itself
	got, err := Decode(XDelta3, []byte("abcdefgh"), []byte(vcdiffHeader+one+one), 12)
	if err != nil || string(got) != "cdefcdcdefcd" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Decode(XDelta3, []byte("abcdefgh"), []byte(vcdiffHeader+one+one), 11); !errors.Is(err, ErrTooLarge) {
		t.Errorf("12 bytes of at most 11: %v", err)
	}
}

// TestFossilNoticesTheWrongBase is what clients ask for a new start after.
func TestFossilNoticesTheWrongBase(t *testing.T) {
	base, target := []byte(foreignBase), []byte(foreignTarget)
	other := bytes.Replace(base, []byte("BTC"), []byte("ETH"), 1)
	if _, err := Decode(Fossil, other, Encode(Fossil, base, target), len(target)); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

func TestAlgorithmsHaveNames(t *testing.T) {
	for name, want := range map[string]Algorithm{"fossil": Fossil, "Fossil": Fossil, "xdelta3": XDelta3, "Xdelta3": XDelta3, "VCDIFF": XDelta3} {
		if a, ok := Parse(name); !ok || a != want {
			t.Errorf("%s: %v, %v", name, a, ok)
		}
	}
	for _, name := range []string{"", "none", "fossil ", "xdelta"} {
		if _, ok := Parse(name); ok {
			t.Errorf("%q is an algorithm", name)
		}
	}
	for _, a := range algorithms {
		if b, ok := Parse(a.String()); !ok || b != a {
			t.Errorf("%s: %s", a, b)
		}
	}
}

// TestEncodersKeepLittle shows that what an unusual pair of texts needed is let go.
func TestEncodersKeepLittle(t *testing.T) {
	m := new(matcher)
	for _, s := range samples() {
		m.match(s.base, s.target, vcdiffCosts)
		m.appendVCDIFF(nil, s.base, s.target)
		m.release()
		kept := 24*cap(m.pieces) + 2*cap(m.heads) + 2*cap(m.chain) + cap(m.instructions) + cap(m.addresses)
		if m.base != nil || kept > 200<<10 {
			t.Fatalf("after %s: %d bytes", s.name, kept)
		}
	}
}
