package hms

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/push"
)

// wantFault wants an error about a member that does not show a secret.
func wantFault(t *testing.T, what string, err error, field string) {
	t.Helper()
	f, ok := errors.AsType[*push.FieldError](err)
	if !ok || f.Field != field || strings.Contains(err.Error(), "hush") {
		t.Errorf("%.200s: %v; want a fault of %s", what, err, field)
	}
}

func TestRecipients(t *testing.T) {
	if (Provider{}).Kind() != push.HMS {
		t.Error("it is not hms")
	}
	for token, good := range map[string]bool{
		"IQAAAACy0kYwAAB-_x:1": true, strings.Repeat("a", 4096): true,
		"": false, " ": false, "hush hush": false, "hush\n": false, "hush\x00": false, "hush\u00a0": false, "hush\xff": false, strings.Repeat("a", 4097): false,
	} {
		err := Provider{}.CheckRecipient(&push.Recipient{TransportType: "hms", RegistrationToken: token}, push.Policy{})
		if good && err != nil {
			t.Errorf("%.40q: %v", token, err)
		} else if !good {
			wantFault(t, token, err, "registrationToken")
		}
	}
}

func TestMaterial(t *testing.T) {
	for text, field := range map[string]string{
		`{"hmsAppId":"1","clientSecret":"hush"}`:                "",
		`{"hmsAppId":"1","clientId":"2","clientSecret":"hush"}`: "",
		`{"hmsAppId":"1","providerToken":"hush"}`:               "",
		`[]`:                      "hmsAppId",
		`{"hmsAppId":1}`:          "hmsAppId",
		`{"clientSecret":"hush"}`: "hmsAppId",
		`{"hmsAppId":"../hush","clientSecret":"hush"}`: "hmsAppId",
		`{"hmsAppId":"1"}`:                                              "clientSecret",
		`{"hmsAppId":"1","clientId":"2"}`:                               "clientSecret",
		`{"hmsAppId":"1","clientSecret":"hush\n"}`:                      "clientSecret",
		`{"hmsAppId":"1","clientId":"hush hush","clientSecret":"hush"}`: "clientId",
		`{"hmsAppId":"1","clientSecret":"hush","providerToken":"hush"}`: "providerToken",
		`{"hmsAppId":"1","providerToken":"hush hush"}`:                  "providerToken",
	} {
		err := Provider{}.CheckMaterial(json.RawMessage(text))
		_, connected := Provider{}.Connect(json.RawMessage(text), push.ConnectOptions{})
		if field == "" {
			if err != nil || connected != nil {
				t.Errorf("%s: %v, %v", text, err, connected)
			}
			continue
		}
		wantFault(t, text, err, field)
		wantFault(t, text, connected, field)
	}
}
