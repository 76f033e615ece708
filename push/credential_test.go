package push

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/storage"
)

func (r *registryTest) mustCredential(t *testing.T, app string, kind Kind, body string) CredentialView {
	t.Helper()
	view, err := r.PutCredential(t.Context(), app, kind, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// Checklist: push 33
func TestCredentialsTellNothing(t *testing.T) {
	core, logged := observer.New(zapcore.DebugLevel)
	r := newRegistryTest(t, func(o *RegistryOptions) { o.Log = zap.New(core) })
	view := r.mustCredential(t, "a", APNs, `{"version":3,"teamId":"canary1","keyId":"canary2","privateKey":"canary3"}`)
	text, err := json.Marshal(view)
	if want := `{"app_id":"a","credential_id":"apns","provider":"apns","version":3}`; err != nil || string(text) != want {
		t.Errorf("%s %v", text, err)
	}
	r.mustCredential(t, "a", WebPush, `{"publicKey":"canary4","privateKey":"canary5"}`)
	page, err := r.Credentials(t.Context(), "a", "", 100)
	if err != nil || len(page.Items) != 2 || page.Items[0] != view || page.Items[1] != (CredentialView{"a", "webpush", WebPush, 1}) {
		t.Errorf("%+v %v", page, err)
	}
	for _, record := range r.records(t, tableCredentials) {
		if strings.Contains(string(record.Value), "canary") {
			t.Errorf("it is stored as %s", record.Value)
		}
	}
	if logged.Len() != 2 {
		t.Errorf("%d lines of the log", logged.Len())
	}
	for _, line := range logged.All() {
		if text, err := json.Marshal(line.ContextMap()); err != nil || strings.Contains(string(text), "canary") {
			t.Errorf("the log has %s", text)
		}
	}
}

// Checklist: push 34
func TestCredentialsNeedKey(t *testing.T) {
	r := newRegistryTest(t, func(o *RegistryOptions) { o.Keys = nil })
	_, err := r.PutCredential(t.Context(), "a", HMS, []byte(`{"hmsAppId":"x","clientSecret":"y"}`))
	wantFault(t, err, "body")
}

// Checklist: push 11, 36
func TestCredentialFaults(t *testing.T) {
	r := newRegistryTest(t)
	for _, one := range []struct {
		kind        Kind
		body, field string
	}{
		{FCM, `{"serviceAccountJson":{},"version":0}`, "version"},
		{FCM, `{"serviceAccountJson":{},"version":-1}`, "version"},
		{FCM, `{"serviceAccountJson":{},"version":"1"}`, "version"},
		{FCM, `{"serviceAccountJson":{},"credentialId":"` + strings.Repeat("x", 600) + `"}`, "credentialId"},
		{FCM, `{"serviceAccountJson":{},"credentialId":" "}`, "credentialId"},
		{FCM, `{"version":1,"credentialId":"x","appId":"a","serviceAccountJson":null}`, "body"},
		{FCM, `{}`, "body"},
		{FCM, `[]`, "body"},
		{FCM, `null`, "body"},
		{FCM, ``, "body"},
		{FCM, `{"serviceAccountJson":"` + strings.Repeat("x", MaxMaterial) + `"}`, "body"},
		{APNs, `{"privateKey":"refused"}`, "privateKey"},
		{Realtime, `{"x":1}`, "provider"},
		{"pigeon", `{"x":1}`, "provider"},
	} {
		_, err := r.PutCredential(t.Context(), "a", one.kind, []byte(one.body))
		wantFault(t, err, one.field)
		if err != nil && strings.Contains(err.Error(), "refused") {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	if left := r.records(t, tableCredentials); len(left) != 0 {
		t.Errorf("%d are stored", len(left))
	}
}

// Checklist: push 36, 37
func TestNewestCredentialIsUsed(t *testing.T) {
	r := newRegistryTest(t)
	material := func(app, want string) uint64 {
		t.Helper()
		_, version, text, err := r.Material(t.Context(), app, FCM)
		if err != nil || string(text) != want {
			t.Errorf("app %s has %s: %v", app, text, err)
		}
		return version
	}
	r.mustCredential(t, "a", FCM, `{"serviceAccountJson":{"project_id":"one"}}`)
	r.mustCredential(t, "b", FCM, `{"serviceAccountJson":{"project_id":"two"}}`)
	first := material("a", `{"serviceAccountJson":{"project_id":"one"}}`)
	material("b", `{"serviceAccountJson":{"project_id":"two"}}`)
	// With the same version it is replaced all the same, and seen to be another one.
	r.mustCredential(t, "a", FCM, `{"serviceAccountJson":{"project_id":"three"},"version":1}`)
	if material("a", `{"serviceAccountJson":{"project_id":"three"}}`) == first {
		t.Error("another credential has the same version")
	}
	// The newest one wins, even if the clock of a node is behind.
	r.clock.forward(-time.Hour)
	r.mustCredential(t, "a", FCM, `{"serviceAccountJson":{"project_id":"four"},"credentialId":"a-second"}`)
	material("a", `{"serviceAccountJson":{"project_id":"four"}}`)
	r.mustCredential(t, "a", FCM, `{"serviceAccountJson":{"project_id":"five"}}`)
	material("a", `{"serviceAccountJson":{"project_id":"five"}}`)
	if err := r.DeleteCredential(t.Context(), "a", FCM, "fcm"); err != nil {
		t.Fatal(err)
	}
	material("a", `{"serviceAccountJson":{"project_id":"four"}}`)
	for _, id := range []string{"fcm", "", "nothing", strings.Repeat("x", 600)} {
		if err := r.DeleteCredential(t.Context(), "a", FCM, id); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%.10q: %v", id, err)
		}
	}
	if err := r.DeleteCredential(t.Context(), "a", APNs, "a-second"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("of another provider: %v", err)
	}
	if _, _, _, err := r.Material(t.Context(), "a", WNS); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("none: %v", err)
	}
	_, err := r.PutCredential(t.Context(), "a", APNs, []byte(`{"pem":"x","credentialId":"a-second"}`))
	wantFault(t, err, "credentialId")
}

// Checklist: push 35
func TestSwappedCredentialsFail(t *testing.T) {
	r := newRegistryTest(t)
	r.mustCredential(t, "a", FCM, `{"serviceAccountJson":{"project_id":"one"}}`)
	r.mustCredential(t, "b", FCM, `{"serviceAccountJson":{"project_id":"two"}}`)
	read, err := r.store.Get(t.Context(), key("b", tableCredentials, "", "fcm"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.Apply(t.Context(), set(key("a", tableCredentials, "", "fcm"), json.RawMessage(read[0].Value), 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, text, err := r.Material(t.Context(), "a", FCM); err == nil || text != nil {
		t.Errorf("b's credential is a's: %s", text)
	}
}

// What an earlier server has stored is used, and replaced by what is better.
func TestMaterialOfEarlierServers(t *testing.T) {
	r := newRegistryTest(t, func(o *RegistryOptions) { o.Keys = mustKeyring(t, "new", "test-key") })
	c := Credential{ID: "fcm", Provider: FCM, Version: 1, Sealed: "envelope:v1:aes256gcm:AAECAwQFBgcICQoLwhpbExuhbWHupURSFQEANAv3LNPNaMr84TkOSwCjOw"}
	if err := r.store.Apply(t.Context(), set(key("a", tableCredentials, "", "fcm"), &c, 0)); err != nil {
		t.Fatal(err)
	}
	if id, _, text, err := r.Material(t.Context(), "a", FCM); err != nil || id != "fcm" || string(text) != "provider-secret" {
		t.Errorf("%s %s %v", id, text, err)
	}
	r.mustCredential(t, "a", FCM, `{"serviceAccountJson":{}}`)
	if stored := r.records(t, tableCredentials); !strings.Contains(string(stored[0].Value), "envelope:v2:") {
		t.Errorf("%s", stored[0].Value)
	}
	r.o.Keys = nil
	if _, _, _, err := r.Material(t.Context(), "a", FCM); err == nil || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("without a key: %v", err)
	}
}
