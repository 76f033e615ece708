package rest

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: push 33, 36, 37
func TestCredentials(t *testing.T) {
	s := newSite(t)
	for provider, want := range map[string]string{"fcm": "fcm fcm", "apns": "apns apns", "webpush": "webpush webPush"} {
		id, kind, _ := strings.Cut(want, " ")
		s.do("POST", "credentials/"+provider, `{"privateKey":"hush-hush"}`).is(t, 201, `{"app_id":"app-1","credential_id":"`+id+`","provider":"`+kind+`","version":1}`)
	}
	s.do("POST", "credentials/fcm", `{"appId":"app-2","credentialId":"Main","version":3,"serviceAccountJson":{"private_key":"hush-hush"}}`).is(t, 201,
		`{"app_id":"app-1","credential_id":"Main","provider":"fcm","version":3}`)
	s.do("POST", "credentials/fcm", `{"credentialId":"Main","version":4,"serviceAccountJson":{}}`).is(t, 201, `{"app_id":"app-1","credential_id":"Main","provider":"fcm","version":4}`)
	got := s.do("GET", "credentials", "")
	got.is(t, 200, `{"items":[{"app_id":"app-1","credential_id":"Main","provider":"fcm","version":4},{"app_id":"app-1","credential_id":"apns","provider":"apns","version":1},`+
		`{"app_id":"app-1","credential_id":"fcm","provider":"fcm","version":1},{"app_id":"app-1","credential_id":"webpush","provider":"webPush","version":1}],"next_cursor":null,"has_more":false}`)
	// The last upload is the one that the next delivery uses.
	if id, _, material, err := s.registry.Material(t.Context(), appID, "fcm"); err != nil || id != "Main" || string(material) != `{"serviceAccountJson":{}}` {
		t.Errorf("used is %s %s, %v", id, material, err)
	}
	for _, line := range []string{"credentialWrite credential:fcm:main:3", "credentialWrite credential:webpush:webpush:1"} {
		if !slices.Contains(s.audits(), line) {
			t.Errorf("the audit log lacks %q: %q", line, s.audits())
		}
	}
	for field, body := range map[string]string{
		"version": `{"version":0,"a":1}`, "credentialId": `{"credentialId":"apns","a":1}`, "bad": `{"bad":"hush-hush"}`, "body": `{"version":2}`, "body:": `[]`,
	} {
		fault := s.do("POST", "credentials/fcm", body)
		if fault.fails(t, 400, "invalid_input", field); strings.Contains(fault.body, "hush") {
			t.Error(fault.body)
		}
	}
	s.do("POST", "credentials/hms", `{"a":1}`).fails(t, 400, "invalid_input", "provider")

	s.do("DELETE", "credentials/apns/Main", "").fails(t, 404, "not_found", "credential")
	s.do("DELETE", "credentials/fcm/Main", "").is(t, 204, "")
	s.do("DELETE", "credentials/fcm/Main", "").fails(t, 404, "not_found", "credential")
	if id, _, _, err := s.registry.Material(t.Context(), appID, "fcm"); err != nil || id != "fcm" {
		t.Errorf("used is %s, %v", id, err)
	}
	if !slices.Contains(s.audits(), "credentialDelete credential:fcm:main") {
		t.Errorf("the audit log has %q", s.audits())
	}
	for _, e := range s.log.All() {
		if strings.Contains(e.Message, "hush") {
			t.Error(e)
		}
	}
}

// What is kept is encrypted, for its own row only.
// Checklist: push 35
// Checklist: configuration 147
func TestCredentialsAreSealed(t *testing.T) {
	s := newSite(t)
	for _, id := range []string{"one", "two"} {
		read[any](t, s.do("POST", "credentials/fcm", `{"credentialId":"`+id+`","clientSecret":"hush-`+id+`"}`), 201)
	}
	keys := []storage.PushKey{recordKey("credentials", "one"), recordKey("credentials", "two")}
	records, err := s.store.Get(t.Context(), keys...)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		text := string(r.Value)
		if !strings.Contains(text, "envelope:v2:") || strings.Contains(text, "hush") || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("hush"))[:4]) {
			t.Errorf("the store has %s", text)
		}
	}
	sealed := func(i int) string {
		_, text, _ := strings.Cut(string(records[i].Value), `"sealed":"`)
		text, _, _ = strings.Cut(text, `"`)
		return text
	}
	s.write(keys[1], strings.Replace(string(records[1].Value), sealed(1), sealed(0), 1))
	if _, _, material, err := s.registry.Material(t.Context(), appID, "fcm"); err == nil {
		t.Errorf("the swapped credential is %s", material)
	}
}

// Checklist: push 34
func TestCredentialsWithoutKey(t *testing.T) {
	s := newSite(t, func(one *setup) { one.registry.Keys = nil })
	s.do("POST", "credentials/fcm", `{"serviceAccountJson":{}}`).fails(t, 400, "invalid_input", "no key to encrypt")
	s.do("GET", "credentials", "").is(t, 200, `{"items":[],"next_cursor":null,"has_more":false}`)
}
