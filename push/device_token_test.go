package push

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

const goldenSecret = "pbkdf2-sha256$120000$AAECAwQFBgcICQoLDA0ODw$FcYURAdSHc6yjby_EitF4XB34Pr7ase5cSifE4C2ipc"

// Checklist: push 16
func TestSecretsOfEarlierServers(t *testing.T) {
	t.Parallel()
	if !verifySlow(goldenSecret, "device-token") {
		t.Error("the golden record does not verify")
	}
	for name, secret := range map[string]string{
		"fewer rounds":     strings.Replace(goldenSecret, "120000", "119999", 1),
		"too many rounds":  strings.Replace(goldenSecret, "120000", "2000000000", 1),
		"no rounds":        strings.Replace(goldenSecret, "120000", "x", 1),
		"another hash":     strings.Replace(goldenSecret, "sha256", "sha512", 1),
		"a short salt":     strings.Replace(goldenSecret, "AAECAwQFBgcICQoLDA0ODw", "AAEC", 1),
		"a damaged digest": strings.Replace(goldenSecret, "FcYU", "FcYV", 1),
		"a short digest":   "pbkdf2-sha256$120000$AAECAwQFBgcICQoLDA0ODw$FcYU",
		"parts":            "pbkdf2-sha256$120000$AAECAwQFBgcICQoLDA0ODw",
		"nothing":          "",
	} {
		if verifySlow(secret, "device-token") {
			t.Errorf("%s verifies", name)
		}
	}
	if verifySlow(goldenSecret, "device-tokem") {
		t.Error("another token verifies")
	}
}

// withSecret stores a device as an earlier server had it.
func (r *registryTest) withSecret(t *testing.T, id, secret string) {
	t.Helper()
	d, err := r.Device(t.Context(), "a", id)
	if err != nil {
		t.Fatal(err)
	}
	d.Secret = secret
	if err := r.store.Apply(t.Context(), r.putDevice("a", d)); err != nil {
		t.Fatal(err)
	}
}

// A token that has been verified slowly once is verified fast from then on.
func TestSlowSecretsAreReplaced(t *testing.T) {
	t.Parallel()
	r := newRegistryTest(t)
	r.mustRegister(t, "d", "")
	r.withSecret(t, "d", goldenSecret)
	if err := r.VerifyToken(t.Context(), "a", "d", "wrong"); !errors.Is(err, ErrToken) {
		t.Errorf("wrong: %v", err)
	}
	for range 2 {
		if err := r.VerifyToken(t.Context(), "a", "d", "device-token"); err != nil {
			t.Fatal(err)
		}
	}
	d, err := r.Device(t.Context(), "a", "d")
	if err != nil || d.Secret != plainSecret("device-token") {
		t.Errorf("the secret is %.20s: %v", d.Secret, err)
	}
}

// Who asks while all slow comparisons are taken waits no longer than it wants to.
func TestSlowSecretsAreBounded(t *testing.T) {
	r := newRegistryTest(t)
	r.mustRegister(t, "d", "")
	r.withSecret(t, "d", goldenSecret)
	for range maxHashes {
		r.hashes <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.verify(ctx, goldenSecret, "device-token") }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it is %v", err)
	}
}

func TestTokens(t *testing.T) {
	r := newRegistryTest(t)
	token := r.mustRegister(t, "d", "").Token
	other := r.mustRegister(t, "e", "").Token
	if token == other {
		t.Error("two devices have one token")
	}
	for name, one := range map[string]struct {
		id, token string
		want      error
	}{
		"right": {"d", token, nil}, "another's": {"d", other, ErrToken}, "none": {"d", "", ErrToken}, "cut": {"d", token[:42], ErrToken},
		"long": {"d", strings.Repeat("x", 10_000), ErrToken}, "unknown": {"f", token, storage.ErrNotFound}, "nobody": {"", token, storage.ErrNotFound},
	} {
		if err := r.VerifyToken(t.Context(), "a", one.id, one.token); !errors.Is(err, one.want) || (err == nil) != (one.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.VerifyToken(t.Context(), "b", "d", token); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("of another app: %v", err)
	}
	for _, record := range r.records(t, tableDevices) {
		if strings.Contains(string(record.Value), token) {
			t.Error("the token itself is stored")
		}
	}
}

// Checklist: push 15
func TestRotation(t *testing.T) {
	r := newRegistryTest(t)
	old := r.mustRegister(t, "d", "").Token
	done, err := r.Register(t.Context(), "a", phone("d", "token-of-d"), true)
	if err != nil || len(done.Token) != 43 || done.Token == old || done.Change != Updated {
		t.Fatalf("%+v %v", done, err)
	}
	if err := r.VerifyToken(t.Context(), "a", "d", old); !errors.Is(err, ErrToken) {
		t.Errorf("the old token: %v", err)
	}
	if err := r.VerifyToken(t.Context(), "a", "d", done.Token); err != nil {
		t.Errorf("the new token: %v", err)
	}
}

// One who has the token of a device can change that device and gets no other token.
func TestUpdateDevice(t *testing.T) {
	r := newRegistryTest(t)
	token := r.mustRegister(t, "d", "").Token
	if _, err := r.UpdateDevice(t.Context(), "a", phone("new", "t"), token); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an unknown device: %v", err)
	}
	if _, err := r.UpdateDevice(t.Context(), "a", phone("d", "t"), "wrong"); !errors.Is(err, ErrToken) {
		t.Errorf("a wrong token: %v", err)
	}
	_, err := r.UpdateDevice(t.Context(), "a", phone("", "t"), token)
	wantFault(t, err, "id")
	done, err := r.UpdateDevice(t.Context(), "a", phone("d", "other"), token)
	if err != nil || done.Change != Updated || done.Token != "" || done.Device.TokenHash() != Hash("other") {
		t.Errorf("%+v %v", done, err)
	}
	if err := r.VerifyToken(t.Context(), "a", "d", token); err != nil {
		t.Error(err)
	}
}

// A device whose token is taken away while it is changed is not changed.
func TestUpdateDeviceMeetsRotation(t *testing.T) {
	r := newRegistryTest(t)
	token := r.mustRegister(t, "d", "").Token
	r.store.before = func() {
		if _, err := r.Register(context.Background(), "a", phone("d", "third"), true); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.UpdateDevice(t.Context(), "a", phone("d", "other"), token); !errors.Is(err, ErrToken) {
		t.Errorf("it is %v", err)
	}
	if d, err := r.Device(t.Context(), "a", "d"); err != nil || d.TokenHash() != Hash("third") {
		t.Errorf("%+v %v", d, err)
	}
}

// The address of a device can be encrypted, and moves to no other device.
func TestSealedRecipients(t *testing.T) {
	r := newRegistryTest(t, func(o *RegistryOptions) { o.SealRecipients = true })
	r.mustRegister(t, "d", "")
	r.mustRegister(t, "e", "")
	if done := r.mustRegister(t, "d", ""); done.Change != Unchanged {
		t.Errorf("the same again: %s", done.Change)
	}
	all := r.records(t, tableDevices)
	for _, record := range all {
		if strings.Contains(string(record.Value), "token-of") {
			t.Errorf("the address is stored: %s", record.Value)
		}
	}
	d, err := r.Device(t.Context(), "a", "d")
	if err != nil || d.Recipient.RegistrationToken != "token-of-d" || d.TokenHash() != Hash("token-of-d") {
		t.Errorf("%+v %v", d, err)
	}
	stolen := map[string]any{}
	if err := json.Unmarshal(all[0].Value, &stolen); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Apply(t.Context(), set(key("a", tableDevices, "", "e"), stolen, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Device(t.Context(), "a", "e"); err == nil {
		t.Error("the address of d opens at e")
	}
	if existed, err := r.DeleteDevice(t.Context(), "a", "e"); err != nil || !existed {
		t.Errorf("a device whose address cannot be read is not deleted: %v", err)
	}
	r.o.Keys = nil
	if _, err := r.Device(t.Context(), "a", "d"); err == nil || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("without a key: %v", err)
	}
}
