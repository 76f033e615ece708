package fcm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// accountWith is a service account with one member changed.
func accountWith(t *testing.T, f *pushtest.FCM, name string, value any) json.RawMessage {
	t.Helper()
	members := map[string]any{}
	if err := json.Unmarshal(f.ServiceAccount(t), &members); err != nil {
		t.Fatal(err)
	}
	if members = maps.Clone(members); value == nil {
		delete(members, name)
	} else {
		members[name] = value
	}
	text, err := json.Marshal(map[string]any{"serviceAccountJson": members})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func pemOf(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Checklist: push 115
func TestMaterialOfAServiceAccount(t *testing.T) {
	f := pushtest.NewFCM(t)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	const secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
	for _, c := range []struct {
		name  string
		value any
		field string
	}{
		{"type", "authorized_user", "serviceAccountJson.type"},
		{"type", nil, "serviceAccountJson.type"},
		{"client_email", nil, "serviceAccountJson.client_email"},
		{"private_key", nil, "serviceAccountJson.private_key"},
		{"private_key", secret, "serviceAccountJson.private_key"},
		{"private_key", "c2VjcmV0", "serviceAccountJson.private_key"},
		{"private_key", pemOf(t, ec), "serviceAccountJson.private_key"},
		{"private_key", pemOf(t, small), "serviceAccountJson.private_key"},
		{"private_key", 5, "serviceAccountJson"},
		{"token_uri", "http://oauth2.example.com/token", "serviceAccountJson.token_uri"},
		{"token_uri", "http://8.8.8.8/token", "serviceAccountJson.token_uri"},
		{"token_uri", "ftp://127.0.0.1/token", "serviceAccountJson.token_uri"},
		{"token_uri", "https://user:secret@example.com/", "serviceAccountJson.token_uri"},
		{"token_uri", "https:///token", "serviceAccountJson.token_uri"},
		{"project_id", nil, "projectId"},
		{"project_id", "../x", "projectId"},
		{"token_uri", nil, ""},
		{"token_uri", "http://127.0.0.1:1/token", ""},
		{"private_key_id", nil, ""},
	} {
		text := accountWith(t, f, c.name, c.value)
		err := Provider{}.CheckMaterial(text)
		switch {
		case c.field == "" && err != nil:
			t.Errorf("%s %v: %v", c.name, c.value, err)
		case c.field != "":
			wantField(t, err, c.field)
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "c2Vj") {
				t.Errorf("the error shows the content: %v", err)
			}
		}
	}
}

func TestMaterial(t *testing.T) {
	for text, field := range map[string]string{
		`{"providerToken":"ya29.abc","projectId":"example.com:p-1"}`: "",
		`{"providerToken":"x"}`:                                         "projectId",
		`{"providerToken":"a b","projectId":"p"}`:                       "providerToken",
		`{"providerToken":"a\nb","projectId":"p"}`:                      "providerToken",
		`{"providerToken":"x","projectId":"a/b"}`:                       "projectId",
		`{"providerToken":"x","projectId":"p","serviceAccountJson":{}}`: "providerToken",
		`{"projectId":"p"}`:                                             "serviceAccountJson",
		`{"serviceAccountJson":null}`:                                   "serviceAccountJson",
		`{"serviceAccountJson":"{}"}`:                                   "serviceAccountJson",
		`{"serviceAccountJson":[]}`:                                     "serviceAccountJson",
		`{"serviceAccountJSON":{},"unknown":1}`:                         "serviceAccountJson",
		`{"providerToken":"x","projectId":"p"}{`:                        "serviceAccountJson",
		`null`:                                                          "serviceAccountJson",
		`[]`:                                                            "serviceAccountJson",
		``:                                                              "serviceAccountJson",
	} {
		err := Provider{}.CheckMaterial(json.RawMessage(text))
		if field == "" && err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if field != "" {
			wantField(t, err, field)
		}
	}
}

// TestEscapedKey takes a key whose line ends have been escaped twice, as they are in
// variables of the environment.
func TestEscapedKey(t *testing.T) {
	f := pushtest.NewFCM(t)
	var a account
	if err := json.Unmarshal(f.ServiceAccount(t), &a); err != nil {
		t.Fatal(err)
	}
	s := connectWith(t, f, accountWith(t, f, "private_key", strings.ReplaceAll(a.PrivateKey, "\n", `\n`)))
	wantSent(t, s.Send(t.Context(), notice(t, "a")))
}

func TestConnectWantsTLS(t *testing.T) {
	f := pushtest.NewFCM(t)
	given := json.RawMessage(`{"providerToken":"x","projectId":"p"}`)
	for _, endpoint := range []string{"http://fcm.example.com", "fcm.example.com", "https://", "https://a:b@fcm.example.com"} {
		_, err := Provider{}.Connect(given, push.ConnectOptions{Endpoint: endpoint})
		wantField(t, err, "endpoint")
	}
	_, err := Provider{}.Connect(accountWith(t, f, "token_uri", "http://127.0.0.1/token"), push.ConnectOptions{})
	wantField(t, err, "serviceAccountJson.token_uri")
	_, err = Provider{}.Connect(json.RawMessage(`{}`), push.ConnectOptions{})
	wantField(t, err, "serviceAccountJson")
	s, err := Provider{}.Connect(given, push.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func FuzzPayload(f *testing.F) {
	for _, seed := range []string{
		`{"message":{"data":{"k":"v"}}}`, `{"message":{"android":{"ttl":"5s"},"apns":null,"webpush":{"headers":{"ttl":"1"}}}}`,
		`{"message":{"token":"x"}}`, `{"message":{"apns":{"headers":[]}}}`, `{"message":{"data":{"from":"x"}}}`, `[]`, `{"message":{"\u0074opic":1}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if (Provider{}).CheckPayload(payload, true) != nil {
			return
		}
		body, err := complete(&push.Notification{Recipient: push.Recipient{RegistrationToken: "me"}, Payload: payload})
		if err != nil {
			t.Fatalf("what is admitted cannot be sent: %v", err)
		}
		var got struct {
			Message map[string]any `json:"message"`
		}
		if err := json.Unmarshal(body, &got); err != nil || got.Message["token"] != "me" || got.Message["topic"] != nil || got.Message["condition"] != nil {
			t.Fatalf("sent %s, %v", body, err)
		}
	})
}

func FuzzMaterial(f *testing.F) {
	f.Add([]byte(`{"providerToken":"x","projectId":"p"}`))
	f.Add([]byte(`{"serviceAccountJson":{"type":"service_account","client_email":"a","private_key":"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n","token_uri":"http://[::1]/"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseMaterial(text)
		if err != nil {
			return
		}
		if (c.account == nil) == (c.token == "") || !projectID.MatchString(c.project) {
			t.Fatalf("%+v", c)
		}
	})
}
