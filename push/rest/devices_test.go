package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/push"
)

// deviceBody is a request to register a device at fcm.
func deviceBody(id, token string, more ...string) string {
	return fmt.Sprintf(`{"id":%q,"clientId":"user-42","formFactor":"phone","platform":"android","timezone":"UTC","locale":"en",`+
		`"metadata":{"appVersion":"4.2.0-meta"},"push":{"recipient":{"transportType":"gcm","registrationToken":%q}}%s}`, id, token, strings.Join(more, ""))
}

// registered is the answer to a registration.
type registered struct {
	Change    string          `json:"change"`
	TokenHash string          `json:"tokenHash"`
	Device    push.DeviceView `json:"device"`
	Token     string          `json:"deviceIdentityToken"`
}

// device registers one and returns its identity token.
func (s *site) device(id string) string {
	s.t.Helper()
	return read[registered](s.t, s.do("POST", "deviceRegistrations", deviceBody(id, "fcm-"+id)), 201).Token
}

const (
	hashA = "473caf0370d894e00b5bdf566bc2c7dce24a4d5aa1fc91649c4e257d232efbd1" // of fcm-token-A
	viewA = `{"appId":"app-1","id":"android-1","clientId":"user-42","formFactor":"phone","platform":"android","timezone":"UTC","locale":"en",` +
		`"lastActiveAtMs":0,"pushState":"ACTIVE","pushFailureCount":0,"recipient":{"transportType":"gcm","provider":"fcm","tokenHash":"` + hashA + `"}}`
)

// Checklist: push 13, 14, 17, 18, 21
func TestRegister(t *testing.T) {
	s := newSite(t)
	got := s.do("POST", "deviceRegistrations", deviceBody("android-1", "fcm-token-A"))
	first := read[registered](t, got, 201)
	if len(first.Token) != 43 {
		t.Errorf("the identity token is %q", first.Token)
	}
	got.is(t, 201, `{"change":"inserted","tokenHash":"`+hashA+`","device":`+viewA+`,"deviceIdentityToken":"`+first.Token+`"}`)
	s.do("POST", "deviceRegistrations", deviceBody("android-1", "fcm-token-A")).is(t, 201, `{"change":"unchanged","tokenHash":"`+hashA+`","device":`+viewA+`}`)
	second := read[registered](t, s.do("POST", "deviceRegistrations", deviceBody("android-1", "fcm-token-B")), 201)
	if second.Change != "updated" || second.TokenHash == hashA || second.TokenHash != second.Device.Recipient.TokenHash || second.Token != "" {
		t.Errorf("%+v", second)
	}
	// What the server decides is accepted too, whatever it is.
	s.do("POST", "deviceRegistrations", deviceBody("android-1", "fcm-token-A", `,"appId":"app-2","deviceSecret":"mine","unknown":[1]`))
	one := s.do("GET", "deviceRegistrations/android-1", "")
	one.is(t, 200, viewA)
	all := s.do("GET", "deviceRegistrations", "")
	all.is(t, 200, `{"items":[`+viewA+`],"next_cursor":null,"has_more":false}`)
	for _, text := range []string{got.body, one.body, all.body} {
		for _, secret := range []string{"fcm-token", "4.2.0-meta", "sha256$", "ecret"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in %s", secret, text)
			}
		}
	}
	if n := len(read[list[any]](t, s.do("GET", "deviceRegistrations?clientId=user-42", ""), 200).Items); n != 1 {
		t.Errorf("the client has %d devices", n)
	}
	s.do("GET", "deviceRegistrations?clientId=nobody", "").is(t, 200, `{"items":[],"next_cursor":null,"has_more":false}`)
	s.do("GET", "deviceRegistrations/nothing", "").fails(t, 404, "not_found", "no such device")
}

// Checklist: push 15
func TestRotateToken(t *testing.T) {
	s := newSite(t)
	old := s.device("d")
	for _, value := range []string{"0", "false", "no", "True", ""} {
		if got := read[registered](t, s.do("POST", "deviceRegistrations", deviceBody("d", "fcm-d"), headerRotate, value), 201); got.Token != "" {
			t.Errorf("%q has rotated the token", value)
		}
	}
	for _, value := range []string{"1", "true", "TRUE", "yes"} {
		next := read[registered](t, s.do("POST", "deviceRegistrations", deviceBody("d", "fcm-d"), headerRotate, value), 201).Token
		if len(next) != 43 || next == old {
			t.Errorf("%q: the token is %q", value, next)
		}
		s.do("GET", "deviceRegistrations/d", "", asDevice(old)...).fails(t, 401, "auth_failed", "identity token")
		if got := s.do("GET", "deviceRegistrations/d", "", asDevice(next)...); got.status != 200 {
			t.Errorf("%q: %d %s", value, got.status, got.body)
		}
		old = next
	}
}

// asDevice are the headers of a call with the rights of a device.
func asDevice(token string) []string {
	return []string{headerCapability, capabilitySubscribe, headerToken, token}
}

// Checklist: push 4, 5
func TestDeviceRights(t *testing.T) {
	s := newSite(t)
	one, two := s.device("one"), s.device("two")
	calls := []struct{ method, path, body string }{
		{"POST", "deviceRegistrations", deviceBody("one", "fcm-new")},
		{"GET", "deviceRegistrations/one", ""},
		{"POST", "channelSubscriptions", `{"channel":"c","deviceId":"one"}`},
		{"GET", "channelSubscriptions?deviceId=one", ""},
		{"DELETE", "channelSubscriptions?deviceId=one", ""},
		{"DELETE", "deviceRegistrations/one", ""},
	}
	for _, c := range calls {
		name := c.method + " " + c.path
		s.do(c.method, c.path, c.body, headerCapability, capabilitySubscribe).fails(t, 401, "auth_failed", "identity token")
		s.do(c.method, c.path, c.body, asDevice(two)...).fails(t, 401, "auth_failed", "identity token")
		s.do(c.method, c.path, c.body, asDevice("")...).fails(t, 401, "auth_failed", "identity token")
		s.do(c.method, c.path, c.body, headerCapability, capabilitySubscribe, "Authorization", "Basic "+one).fails(t, 401, "auth_failed", "identity token")
		// The header counts, not what else there is.
		s.do(c.method, c.path, c.body, append(asDevice(two), "Authorization", "Bearer "+one)...).fails(t, 401, "auth_failed", "identity token")
		if got := s.do(c.method, c.path, c.body, headerCapability, capabilitySubscribe, "Authorization", "bearer "+one); got.status >= 300 {
			t.Errorf("%s with a bearer token: %d %s", name, got.status, got.body)
		}
		if c.method == "DELETE" && strings.HasPrefix(c.path, "device") {
			continue
		}
		if got := s.do(c.method, c.path, c.body, asDevice(one)...); got.status >= 300 || strings.Contains(got.body, "deviceIdentityToken") {
			t.Errorf("%s with the token: %d %s", name, got.status, got.body)
		}
	}
	// The device is gone now.
	s.do("GET", "deviceRegistrations/one", "", asDevice(one)...).fails(t, 404, "not_found", "device")
	s.do("POST", "deviceRegistrations", deviceBody("one", "fcm-one"), asDevice(one)...).fails(t, 403, "forbidden", "new devices")
	s.do("POST", "deviceRegistrations", deviceBody("three", "fcm"), asDevice(two)...).fails(t, 403, "forbidden", "new devices")
	s.do("POST", "channelSubscriptions", `{"channel":"c","deviceId":"one"}`, asDevice(one)...).fails(t, 404, "not_found", "device")
	// The rotation header is not for devices.
	again := s.do("POST", "deviceRegistrations", deviceBody("two", "fcm-2"), append(asDevice(two), headerRotate, "1")...)
	if got := read[registered](t, again, 201); got.Token != "" || got.Change != "updated" {
		t.Errorf("%+v", got)
	}
}

// A record of an earlier server is good for its token, one with fewer rounds is not.
// Checklist: push 16
func TestOlderTokens(t *testing.T) {
	s := newSite(t)
	const salt, digest = "AAECAwQFBgcICQoLDA0ODw", "FcYURAdSHc6yjby_EitF4XB34Pr7ase5cSifE4C2ipc"
	for rounds, status := range map[string]int{"120000": 200, "119999": 401} {
		s.device(rounds)
		key := recordKey("devices", rounds)
		records, err := s.store.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		record := string(records[0].Value)
		from := strings.Index(record, `"sha256$`)
		to := from + len(`"sha256$"`) + 64
		s.write(key, record[:from]+`"pbkdf2-sha256$`+rounds+"$"+salt+"$"+digest+`"`+record[to:])
		for range 2 { // the second time it is kept in another form
			if got := s.do("GET", "deviceRegistrations/"+rounds, "", asDevice("device-token")...); got.status != status {
				t.Errorf("%s rounds: %d %s", rounds, got.status, got.body)
			}
		}
	}
}

// Checklist: push 22, 23
func TestDeleteDevices(t *testing.T) {
	s := newSite(t)
	token := s.device("d")
	for _, channel := range []string{"a", "b:c"} {
		read[any](t, s.do("POST", "channelSubscriptions", `{"channel":"`+channel+`","deviceId":"d"}`), 201)
	}
	s.do("DELETE", "deviceRegistrations/d", "").is(t, 204, "")
	s.do("DELETE", "deviceRegistrations/d", "").is(t, 204, "")
	s.do("DELETE", "deviceRegistrations/d", "", asDevice(token)...).fails(t, 404, "not_found", "device")
	for _, path := range []string{"channelSubscriptions", "channelSubscriptions?channel=a", "channelSubscriptions?deviceId=d", "channelSubscriptions/channels"} {
		s.do("GET", path, "").is(t, 200, `{"items":[],"next_cursor":null,"has_more":false}`)
	}
	for i := range 5 {
		s.device(fmt.Sprintf("d%d", i))
	}
	s.do("POST", "deviceRegistrations", strings.ReplaceAll(deviceBody("other", "t"), "user-42", "user-43"))
	s.do("DELETE", "deviceRegistrations", "").fails(t, 400, "invalid_input", "clientId")
	s.do("DELETE", "deviceRegistrations?clientId=", "").fails(t, 400, "invalid_input", "clientId")
	s.do("DELETE", "deviceRegistrations?clientId=user-42", "").is(t, 200, `{"deleted":5,"consistency":"eventual"}`)
	s.do("DELETE", "deviceRegistrations?clientId=user-42", "").is(t, 200, `{"deleted":0,"consistency":"eventual"}`)
	if got := read[list[push.DeviceView]](t, s.do("GET", "deviceRegistrations", ""), 200); len(got.Items) != 1 || got.Items[0].ID != "other" {
		t.Errorf("left is %+v", got.Items)
	}
	if got := s.audits(); !slices.Contains(got, "removeWhere deviceRegistrations clientId=user-42") {
		t.Errorf("the audit log has %q", got)
	}
}

// Checklist: push 11, 19, 25, 26
func TestRegisterFaults(t *testing.T) {
	s := newSite(t)
	web := func(endpoint string) string {
		return strings.Replace(deviceBody("d", ""), `"transportType":"gcm","registrationToken":""`, `"transportType":"web","endpoint":"`+endpoint+`","p256dh":"B","auth":"k"`, 1)
	}
	for field, body := range map[string]string{
		"id":                                    deviceBody(" ", "t"),
		"id: it must not begin":                 deviceBody("__sockudo_client_scope__:x", "t"),
		"timezone":                              strings.Replace(deviceBody("d", "t"), `"UTC"`, `""`, 1),
		"formFactor":                            strings.Replace(deviceBody("d", "t"), `"phone"`, `"toaster"`, 1),
		"metadata: it has 4097":                 strings.Replace(deviceBody("d", "t"), `"4.2.0-meta"`, `"`+strings.Repeat("x", 4097-len(`{"appVersion":""}`))+`"`, 1),
		"pushRatePolicy.capacity":               deviceBody("d", "t", `,"pushRatePolicy":{"capacity":0,"refillPerSecond":1}`),
		"lastActiveAtMs":                        deviceBody("d", "t", `,"lastActiveAtMs":"now"`),
		"push.recipient.registrationToken":      deviceBody("d", ""),
		"push.recipient.endpoint":               web("http://updates.example/x"),
		"push.recipient.transportType: this":    strings.Replace(deviceBody("d", "t"), `"gcm"`, `"hms"`, 1),
		"push.recipient.transportType: it must": strings.Replace(deviceBody("d", "t"), `"gcm"`, `"pigeon"`, 1),
		"body":                                  `[]`,
	} {
		s.do("POST", "deviceRegistrations", body).fails(t, 400, "invalid_input", field)
	}
	fits := strings.Replace(deviceBody("d", "t"), `"4.2.0-meta"`, `"`+strings.Repeat("x", 4096-len(`{"appVersion":""}`))+`"`, 1)
	if got := s.do("POST", "deviceRegistrations", fits); got.status != 201 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := s.do(http.MethodGet, "deviceRegistrations/"+strings.Repeat("x", 600), ""); got.status != 404 {
		t.Errorf("%d %s", got.status, got.body)
	}
}
