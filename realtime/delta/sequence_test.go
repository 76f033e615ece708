package delta

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// message is a text of some length that differs by n.
func message(n int) *Text {
	return NewText(fmt.Appendf(nil, `{"event":"tick","channel":"c","data":"{\"n\":%d,\"rest\":\"%s\"}"}`, n, strings.Repeat("x", 200)))
}

// fulls are the numbers of the first n messages that go out in full.
func fulls(s *Sequence, n int, set Settings) (list []uint64) {
	for i := range n {
		if d := s.Next("", message(i), 1, set); d.Full {
			list = append(list, d.Seq)
		}
	}
	return list
}

// Checklist: protocol 182, 185
func TestFullMessagesComeFirstAndAfterEachTenDeltas(t *testing.T) {
	if got := fulls(new(Sequence), 50, DefaultSettings()); !slices.Equal(got, []uint64{0, 1, 12, 23, 34, 45}) {
		t.Error(got)
	}
	set := DefaultSettings()
	set.FullInterval = 2
	if got := fulls(new(Sequence), 10, set); !slices.Equal(got, []uint64{0, 1, 4, 7}) {
		t.Error(got)
	}
	if got := fulls(new(Sequence), 4, Settings{}); !slices.Equal(got, []uint64{0, 1, 2, 3}) {
		t.Errorf("the zero settings: %v", got)
	}
}

func TestTheBaseIsTheMessageBefore(t *testing.T) {
	var s Sequence
	var last *Text
	for i := range 40 {
		text := message(i)
		d := s.Next("", text, 1, DefaultSettings())
		switch {
		case d.Seq != uint64(i) || d.HasKey || d.Key != "":
			t.Fatalf("%d: %+v", i, d)
		case d.Full && d.Base != nil:
			t.Fatalf("%d: full with a base", i)
		case !d.Full && (d.Base != last || d.BaseIndex != d.Seq-1):
			t.Fatalf("%d: %+v", i, d)
		}
		last = text
	}
}

func TestShortTextsGoOutInFull(t *testing.T) {
	set := DefaultSettings()
	set.MinSize = len(message(7).Bytes()) + 1 // two digits are enough
	var s Sequence
	for i := range 12 {
		if d := s.Next("", message(i), 1, set); d.Full != (i < 10) {
			t.Errorf("%d: %+v", i, d)
		}
	}
}

// TestSentFullCountsAsFull shows that a message that went out in full since no delta
// was shorter begins the interval anew.
func TestSentFullCountsAsFull(t *testing.T) {
	var s Sequence
	var got []uint64
	for i := range 30 {
		d := s.Next("", message(i), 1, DefaultSettings())
		if i == 5 {
			s.SentFull(d)
		}
		if d.Full || i == 5 {
			got = append(got, d.Seq)
		}
	}
	if !slices.Equal(got, []uint64{0, 1, 5, 16, 27}) {
		t.Error(got)
	}
}

// Checklist: protocol 188
func TestKeysHaveNumbersOfTheirOwn(t *testing.T) {
	set := DefaultSettings()
	set.Keyed = true
	var s Sequence
	seen, last := map[string]uint64{}, map[string]*Text{}
	for i := range 200 {
		key := []string{"BTC", "ETH", ""}[i*i%7%3]
		text := message(i)
		d := s.Next(key, text, 1, set)
		if d.Seq != seen[key] || !d.HasKey || d.Key != key || !d.Full && d.Base != last[key] {
			t.Fatalf("%d, %q: %+v", i, key, d)
		}
		seen[key]++
		last[key] = text
	}
	if len(seen) != 3 {
		t.Fatal(seen)
	}
	if d := s.Next(`a"b`, message(0), 1, set); d.Key != "" || d.Seq != seen[""] {
		t.Errorf("a key with a quote: %+v", d)
	}
}

// TestKeysAreIgnoredWithoutAPath also shows that a client that has seen keys on a
// channel goes on getting them: it looks for every base under one.
func TestKeysAreIgnoredWithoutAPath(t *testing.T) {
	var s Sequence
	set := DefaultSettings()
	for i, key := range []string{"a", "b", ""} {
		if d := s.Next(key, message(i), 1, set); d.Seq != uint64(i) || d.HasKey {
			t.Errorf("%+v", d)
		}
	}
	set.Keyed = true
	if d := s.Next("", message(3), 1, set); d.Seq != 0 || !d.Full || !d.HasKey {
		t.Errorf("the first with a path: %+v", d)
	}
	set.Keyed = false
	if d := s.Next("", message(4), 1, set); d.Seq != 1 || !d.HasKey {
		t.Errorf("the path is gone: %+v", d)
	}
}

// Checklist: protocol 189, 190
func TestForgetBeginsAnew(t *testing.T) {
	for _, keyed := range []bool{false, true} {
		set := DefaultSettings()
		set.Keyed = keyed
		var s Sequence
		for _, n := range []int{1, 2, 5, 20} {
			if got := fulls(&s, n, set); got[0] != 0 {
				t.Errorf("keyed %v: %v", keyed, got)
			}
			s.Forget()
			if got := fulls(&s, 13, set); !slices.Equal(got, []uint64{0, 1, 12}) {
				t.Errorf("keyed %v, after %d: %v", keyed, n, got)
			}
			s.Forget()
		}
	}
}

func TestUnusedSequencesExpire(t *testing.T) {
	const age = int64(300 * time.Second)
	var s Sequence
	set := DefaultSettings()
	now := int64(5)
	for i, step := range []int64{0, age, 1, age, age + 1, 1, 1} {
		now += step
		d := s.Next("", message(i), now, set)
		if want := []uint64{0, 1, 2, 3, 0, 1, 2}[i]; d.Seq != want || d.Full != (want < 2) {
			t.Errorf("%d: %+v", i, d)
		}
	}
	set.MaxAge = 0
	if d := s.Next("", message(9), now+1000*age, set); d.Seq != 3 {
		t.Errorf("without an age: %+v", d)
	}
}

func TestTheKeyUnusedForLongestGivesWay(t *testing.T) {
	set := DefaultSettings()
	set.Keyed, set.MaxKeys = true, 3
	var s Sequence
	seq := func(key string) uint64 { return s.Next(key, message(1), 1, set).Seq }
	for _, key := range []string{"a", "b", "c", "a", "d"} { // b leaves
		seq(key)
	}
	if got := []uint64{seq("c"), seq("a"), seq("d"), seq("b")}; !slices.Equal(got, []uint64{1, 2, 1, 0}) {
		t.Error(got)
	}
	set.MaxKeys = 1
	if seq("e") != 0 || len(s.keys.entries) != 1 || s.keys.newest != s.keys.oldest {
		t.Errorf("%d entries after the limit became lower", len(s.keys.entries))
	}
}

func TestKeysOfOneSocketAreBounded(t *testing.T) {
	set := DefaultSettings()
	set.Keyed = true
	var s Sequence
	for i := range 10_000 {
		s.Next(fmt.Sprint("key ", i), message(1), 1, set)
	}
	count := 0
	for e := s.keys.newest; e != nil; e = e.older {
		count++
	}
	if len(s.keys.entries) != 100 || count != 100 {
		t.Errorf("%d entries, %d in the list", len(s.keys.entries), count)
	}
}

func TestReleaseLetsGoOfOldTexts(t *testing.T) {
	set := DefaultSettings()
	set.Keyed = true
	var s Sequence
	s.Next("old", message(1), 1, set)
	s.Next("new", message(2), int64(set.MaxAge), set)
	s.Release(int64(set.MaxAge)+2, set)
	if s.keys.entries["old"].run.base != nil || s.keys.entries["new"].run.base == nil {
		t.Error("the wrong text is gone")
	}
	var plain Sequence
	plain.Next("", message(1), 1, DefaultSettings())
	plain.Release(2, DefaultSettings())
	if plain.plain.base == nil {
		t.Error("a young text is gone")
	}
	plain.Release(int64(set.MaxAge)+2, DefaultSettings())
	if plain.plain.base != nil {
		t.Error("an old text is still there")
	}
}

// TestTextsThatClientsWouldSpoilAreNoBase: what looks like the members of deltas is
// cut out of a full frame by clients wherever it stands.
func TestTextsThatClientsWouldSpoilAreNoBase(t *testing.T) {
	filler := strings.Repeat("x", 100)
	for _, extras := range []string{`{"a":1,"__delta_seq":5}`, `{"__conflation_key":"k","a":1}`} {
		spoilt := fmt.Appendf(nil, `{"event":"e","channel":"c","data":"%s","extras":%s}`, filler, extras)
		if bytes.Equal(strip(AppendMembers(nil, spoilt, 3, "", false)), spoilt) {
			t.Fatalf("%s is not spoilt", extras)
		}
		var s Sequence
		for i := range 8 {
			text := message(i)
			if i == 4 {
				text = NewText(spoilt)
			}
			if d := s.Next("", text, 1, DefaultSettings()); d.Full != (i < 2 || i == 4 || i == 5) || d.Seq != uint64(i) {
				t.Errorf("%s, %d: %+v", extras, i, d)
			}
		}
	}
	data := NewText([]byte(`{"event":"e","data":"{\"__delta_seq\":5,\"__conflation_key\":\"k\"}"}`))
	if data.opaque {
		t.Error("members inside of a data string spoil nothing")
	}
}
