package push

import (
	"fmt"
	"strings"
	"testing"
)

func mustKeyring(t testing.TB, keys ...string) *Keyring {
	t.Helper()
	ring, err := NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// Checklist: push 35
func TestEnvelopeOfEarlierServers(t *testing.T) {
	const golden = "envelope:v1:aes256gcm:AAECAwQFBgcICQoLwhpbExuhbWHupURSFQEANAv3LNPNaMr84TkOSwCjOw"
	for _, ring := range []*Keyring{mustKeyring(t, "test-key"), mustKeyring(t, "new", " test-key\n")} {
		if text, err := ring.Open(golden, Binding{}); err != nil || string(text) != "provider-secret" {
			t.Errorf("%q %v", text, err)
		}
		if text, err := ring.Open("envelope:v1:local:cHJvdmlkZXItc2VjcmV0", Binding{}); err != nil || string(text) != "provider-secret" {
			t.Errorf("%q %v", text, err)
		}
	}
	ring := mustKeyring(t, "other-key")
	for _, sealed := range []string{golden, "envelope:v1:sha256:abcd", "envelope:v3:x", "envelope:v1:local:=", "provider-secret", ""} {
		if text, err := ring.Open(sealed, Binding{}); err == nil {
			t.Errorf("%s is %q", sealed, text)
		} else if strings.Contains(err.Error(), "AAEC") {
			t.Errorf("the error shows it: %v", err)
		}
	}
}

// Checklist: push 35
func TestEnvelopeIsBoundToItsPlace(t *testing.T) {
	ring := mustKeyring(t, "k1")
	home := Binding{App: "a", ID: "apns", Provider: APNs, Version: "1"}
	sealed := ring.Seal([]byte("secret"), home)
	if !strings.HasPrefix(sealed, "envelope:v2:") || strings.Contains(sealed, "secret") {
		t.Fatalf("it is sealed as %s", sealed)
	}
	if text, err := ring.Open(sealed, home); err != nil || string(text) != "secret" {
		t.Fatalf("%q %v", text, err)
	}
	if ring.Seal([]byte("secret"), home) == sealed {
		t.Error("the same text is sealed in the same way twice")
	}
	for _, other := range []Binding{
		{App: "b", ID: "apns", Provider: APNs, Version: "1"},
		{App: "a", ID: "apns2", Provider: APNs, Version: "1"},
		{App: "a", ID: "apns", Provider: FCM, Version: "1"},
		{App: "a", ID: "apns", Provider: APNs, Version: "2"},
	} {
		if _, err := ring.Open(sealed, other); err == nil {
			t.Errorf("it opens at %+v", other)
		}
	}
}

// The wrapped key of one envelope is of no use in another.
func TestEnvelopeOfTwoHalves(t *testing.T) {
	ring := mustKeyring(t, "k1")
	at := Binding{App: "a", ID: "x", Provider: FCM, Version: "1"}
	one, two := strings.Split(ring.Seal([]byte("one"), at), ":"), strings.Split(ring.Seal([]byte("two"), at), ":")
	one[4] = two[4]
	if text, err := ring.Open(strings.Join(one, ":"), at); err == nil {
		t.Errorf("half of each is %q", text)
	}
}

func TestKeysAreRotated(t *testing.T) {
	at := Binding{App: "a", ID: "x", Provider: FCM, Version: "1"}
	old, both, fresh := mustKeyring(t, "old"), mustKeyring(t, "new", "old"), mustKeyring(t, "new")
	before, after := old.Seal([]byte("s"), at), both.Seal([]byte("s"), at)
	for name, one := range map[string]struct {
		ring   *Keyring
		sealed string
		opens  bool
	}{
		"both open the old": {both, before, true}, "both open the new": {both, after, true},
		"the new opens the new": {fresh, after, true}, "the new opens the old": {fresh, before, false},
		"the old opens the new": {old, after, false},
	} {
		if _, err := one.ring.Open(one.sealed, at); (err == nil) != one.opens {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyrings(t *testing.T) {
	for _, keys := range [][]string{{}, {""}, {"a", " "}, {"a", "b", "a "}} {
		if _, err := NewKeyring(keys...); err == nil {
			t.Errorf("%q is a keyring", keys)
		}
	}
	ring := mustKeyring(t, "very secret")
	if text := fmt.Sprintf("%v %+v %#v %s", ring, ring, ring, ring); strings.Contains(text, "secret") || text != "1 keys 1 keys 1 keys 1 keys" {
		t.Errorf("it shows as %s", text)
	}
}

func FuzzEnvelope(f *testing.F) {
	ring := mustKeyring(f, "test-key")
	at := Binding{App: "a", ID: "x", Provider: FCM, Version: "1"}
	f.Add(ring.Seal([]byte("text"), at))
	f.Add("envelope:v1:aes256gcm:AAECAwQFBgcICQoLwhpbExuhbWHupURSFQEANAv3LNPNaMr84TkOSwCjOw")
	f.Add("envelope:v2:::")
	f.Add("envelope:v1:local:AAAA")
	f.Fuzz(func(t *testing.T, sealed string) {
		text, err := ring.Open(sealed, at)
		if (err == nil) != (text != nil) && len(text) > 0 {
			t.Errorf("%q and %v", text, err)
		}
		again, err := ring.Open(ring.Seal([]byte(sealed), at), at)
		if err != nil || string(again) != sealed {
			t.Errorf("%q comes back as %q: %v", sealed, again, err)
		}
	})
}
