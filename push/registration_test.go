package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

const goldenHash = "473caf0370d894e00b5bdf566bc2c7dce24a4d5aa1fc91649c4e257d232efbd1"

// Checklist: push 17
func TestTokenHashes(t *testing.T) {
	for _, r := range []Recipient{
		{TransportType: "gcm", RegistrationToken: "fcm-token-A"},
		{TransportType: "hms", RegistrationToken: "fcm-token-A"},
		{TransportType: "apns", DeviceToken: "fcm-token-A"},
		{TransportType: "web", Endpoint: "fcm-token-A", Auth: "x"},
		{TransportType: "wns", ChannelURI: "fcm-token-A"},
		{TransportType: "realtime", Channel: "fcm-token-A"},
	} {
		if r.TokenHash() != goldenHash {
			t.Errorf("%s: %s", r.TransportType, r.TokenHash())
		}
	}
}

// Checklist: push 13, 14, 18
func TestRegistration(t *testing.T) {
	r := newRegistryTest(t)
	body := `{"appId":"other","id":"android-1","clientId":"user-42","formFactor":"phone","platform":"android","metadata":{"a":"<b>"},
		"deviceSecret":"placeholder","timezone":"UTC","locale":"en","unknown":1,
		"push":{"recipient":{"transportType":"gcm","registrationToken":"fcm-token-A"},"state":"ACTIVE","failureCount":0}}`
	register := func() *Registered {
		t.Helper()
		request, err := ParseRegistration([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		done, err := r.Register(t.Context(), "app-1", request, false)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	first := register()
	if first.Change != Inserted || len(first.Token) != 43 {
		t.Errorf("first: %s, token of %d", first.Change, len(first.Token))
	}
	text, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"change":"inserted","tokenHash":"` + goldenHash + `","device":{"appId":"app-1","id":"android-1","clientId":"user-42",` +
		`"formFactor":"phone","platform":"android","timezone":"UTC","locale":"en","lastActiveAtMs":0,"pushState":"ACTIVE","pushFailureCount":0,` +
		`"recipient":{"transportType":"gcm","provider":"fcm","tokenHash":"` + goldenHash + `"}},"deviceIdentityToken":"` + first.Token + `"}`
	if string(text) != want {
		t.Errorf("the answer is\n%s\nand not\n%s", text, want)
	}
	r.clock.forward(1000)
	if again := register(); again.Change != Unchanged || again.Token != "" {
		t.Errorf("again: %s %q", again.Change, again.Token)
	}
	body = strings.Replace(body, "fcm-token-A", "fcm-token-B", 1)
	moved := register()
	if moved.Change != Updated || moved.Token != "" || moved.Device.TokenHash() != Hash("fcm-token-B") {
		t.Errorf("moved: %s %q", moved.Change, moved.Token)
	}
	if err := r.VerifyToken(t.Context(), "app-1", "android-1", first.Token); err != nil {
		t.Errorf("the token does not hold any more: %v", err)
	}
}

// Checklist: push 18
func TestDevicesTellNothing(t *testing.T) {
	r := newRegistryTest(t)
	request := phone("d", "canary-token")
	request.Metadata = json.RawMessage(`{"canary":1}`)
	request.Push.Error = "canary"
	done, err := r.Register(t.Context(), "a", request, false)
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Device(t.Context(), "a", "d")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d.View("a"))
	if err != nil {
		t.Fatal(err)
	}
	told := string(text) + fmt.Sprintf("%v %+v %#v", d.Recipient, d.Recipient, d.Recipient)
	for _, secret := range []string{"canary", "secret", "metadata", done.Token, d.Secret, "registrationToken"} {
		if strings.Contains(told, secret) {
			t.Errorf("%s is told in %s", secret, told)
		}
	}
	if !strings.Contains(string(text), `"clientId":null`) {
		t.Errorf("%s", text)
	}
}

// Checklist: push 21
func TestRegistrationOfBrowsers(t *testing.T) {
	r := newRegistryTest(t)
	request, err := ParseRegistration([]byte(`{"id":"b","formFactor":"desktop","platform":"browser","timezone":"UTC","locale":"en",
		"push":{"recipient":{"transportType":"web","endpoint":"https://push.example.com/x","p256dh":"p","auth":"q"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	done, err := r.Register(t.Context(), "a", request, false)
	if err != nil || done.Device.State != Active || done.Device.Recipient.Kind() != WebPush {
		t.Errorf("%+v %v", done, err)
	}
}

// Checklist: push 11, 25, 26
func TestRegistrationFaults(t *testing.T) {
	r := newRegistryTest(t)
	if _, err := r.Register(t.Context(), "a", phone("d", "t"), false); err != nil {
		t.Fatal(err)
	}
	metadata := func(n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", n-2) + `"`) }
	fits := phone("d", "t")
	fits.Metadata = metadata(MaxMetadata)
	if _, err := r.Register(t.Context(), "a", fits, false); err != nil {
		t.Errorf("metadata of %d bytes: %v", MaxMetadata, err)
	}
	for _, one := range []struct {
		field  string
		change func(*Registration)
	}{
		{"id", func(d *Registration) { d.ID = " " }},
		{"id", func(d *Registration) { d.ID = strings.Repeat("i", MaxName+1) }},
		{"id", func(d *Registration) { d.ID = "a\x00b" }},
		{"id", func(d *Registration) { d.ID = ClientScope("user-42") }},
		{"clientId", func(d *Registration) { d.ClientID = "\t" }},
		{"timezone", func(d *Registration) { d.Timezone = "" }},
		{"locale", func(d *Registration) { d.Locale = "  " }},
		{"locale", func(d *Registration) { d.Locale = strings.Repeat("x", 200) }},
		{"formFactor", func(d *Registration) { d.FormFactor = "toaster" }},
		{"platform", func(d *Registration) { d.Platform = "" }},
		{"metadata", func(d *Registration) { d.Metadata = metadata(MaxMetadata + 1) }},
		{"lastActiveAtMs", func(d *Registration) { d.LastActiveAtMS = -1 }},
		{"pushRatePolicy.capacity", func(d *Registration) { d.Rate = &RatePolicy{RefillPerSecond: 1} }},
		{"pushRatePolicy.refillPerSecond", func(d *Registration) { d.Rate = &RatePolicy{Capacity: 1} }},
		{"push.state", func(d *Registration) { d.Push.State = "GONE" }},
		{"push.failureCount", func(d *Registration) { d.Push.Failures = -1 }},
		{"push.recipient.transportType", func(d *Registration) { d.Push.Recipient = Recipient{TransportType: "pigeon"} }},
		{"push.recipient.transportType", func(d *Registration) { d.Push.Recipient = Recipient{} }},
		{"push.recipient.topic", func(d *Registration) { d.Push.Recipient.Topic = "news" }},
		{"push.recipient.registrationToken", func(d *Registration) { d.Push.Recipient.RegistrationToken = " " }},
		{"push.recipient.registrationToken", func(d *Registration) { d.Push.Recipient.RegistrationToken = "refused" }},
		{"push.recipient.registrationToken", func(d *Registration) { d.Push.Recipient.RegistrationToken = strings.Repeat("x", 5000) }},
		{"push.recipient.deviceToken", func(d *Registration) { d.Push.Recipient.TransportType = "apns" }},
		{"push.recipient.endpoint", func(d *Registration) { d.Push.Recipient.TransportType = "web" }},
		{"push.recipient.channelUri", func(d *Registration) { d.Push.Recipient.TransportType = "wns" }},
		{"push.recipient.channel", func(d *Registration) { d.Push.Recipient.TransportType = "realtime" }},
	} {
		d := phone("d", "t")
		one.change(d)
		_, err := r.Register(t.Context(), "a", d, false)
		wantFault(t, err, one.field)
	}
}

func TestRegistrationOfUnknownProvider(t *testing.T) {
	r := newRegistryTest(t, func(o *RegistryOptions) { delete(o.Providers, FCM) })
	_, err := r.Register(t.Context(), "a", phone("d", "t"), false)
	wantFault(t, err, "push.recipient.transportType")
	inbox := phone("d", "t")
	inbox.Push.Recipient = Recipient{TransportType: "realtime", Channel: "private-inbox"}
	if _, err := r.Register(t.Context(), "a", inbox, false); err != nil {
		t.Errorf("realtime: %v", err)
	}
}

// Checklist: push 11
func TestParsingNamesMembers(t *testing.T) {
	for body, field := range map[string]string{
		``: "body", `{`: "body", `[]`: "body", `"secret-token"`: "body", `{} {}`: "body", `{}x`: "body",
		`{"id":1}`: "id", `{"push":{"recipient":{"registrationToken":["secret-token"]}}}`: "push.recipient.registrationToken",
		`{"lastActiveAtMs":1.5}`: "lastActiveAtMs", `{"pushRatePolicy":{"capacity":"5"}}`: "pushRatePolicy.capacity",
	} {
		_, err := ParseRegistration([]byte(body))
		wantFault(t, err, field)
		if err != nil && (strings.Contains(err.Error(), "secret-token") || strings.Contains(err.Error(), "1.5")) {
			t.Errorf("the error shows the value: %v", err)
		}
	}
}

// Checklist: push 24
func TestRatePolicyIsStored(t *testing.T) {
	r := newRegistryTest(t)
	request := phone("d", "t")
	request.Rate = &RatePolicy{Capacity: 5, RefillPerSecond: 1}
	if _, err := r.Register(t.Context(), "a", request, false); err != nil {
		t.Fatal(err)
	}
	d, err := NewRegistry(r.o).Device(t.Context(), "a", "d")
	if err != nil || d.Rate == nil || *d.Rate != *request.Rate {
		t.Errorf("%+v %v", d, err)
	}
}

func FuzzRegistration(f *testing.F) {
	f.Add([]byte(`{"id":"b","formFactor":"desktop","platform":"browser","timezone":"UTC","locale":"en","metadata":{"a":[1]},
		"push":{"recipient":{"transportType":"web","endpoint":"https://push.example.com/x","p256dh":"p","auth":"q"}}}`))
	f.Add([]byte(`{"id":"b","push":{"recipient":{"transportType":"gcm","registrationToken":"t","topic":"x"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := &Registry{o: RegistryOptions{Providers: map[Kind]Provider{FCM: anyProvider{FCM}, WebPush: anyProvider{WebPush}}}}
		request, err := ParseRegistration(body)
		if err == nil {
			var d *Device
			if d, err = r.check(request); err == nil {
				k := key("a", tableDevices, d.ClientID, d.ID)
				if k.Check() != nil || len(raw(d)) > 64<<10 {
					t.Errorf("the store would not take %q", d.ID)
				}
				return
			}
		}
		var fault *FieldError
		if !errors.As(err, &fault) || errors.Is(err, storage.ErrNotFound) {
			t.Errorf("no fault of a member: %v", err)
		}
	})
}
