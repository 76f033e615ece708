package rest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/push/apns"
	"github.com/sockudo/caddy-sockudo/push/fcm"
	"github.com/sockudo/caddy-sockudo/push/hms"
	"github.com/sockudo/caddy-sockudo/push/webpush"
	"github.com/sockudo/caddy-sockudo/push/wns"
)

// realProviders puts the real providers in the place of scripted ones, all of them switched on.
func realProviders(one *setup) {
	codecs := map[push.Kind]push.Provider{
		push.FCM: fcm.Provider{}, push.APNs: apns.Provider{}, push.WebPush: webpush.Provider{}, push.HMS: hms.Provider{}, push.WNS: wns.Provider{},
	}
	setups := map[push.Kind]push.Setup{}
	for kind := range codecs {
		setups[kind] = push.Setup{}
	}
	one.registry.Providers, one.pipeline.Codecs, one.pipeline.Setups = codecs, codecs, setups
}

// The point is one of P-256, and the secret has 16 bytes.
const (
	webPoint = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	webAuth  = "BTBZMqHH6r4Tts7J_aSIgg"
)

func webBody(endpoint, point, auth string) string {
	recipient, err := encode(map[string]string{"transportType": "web", "endpoint": endpoint, "p256dh": point, "auth": auth})
	if err != nil {
		panic(err)
	}
	return `{"id":"browser-1","formFactor":"desktop","platform":"browser","timezone":"UTC","locale":"en","push":{"recipient":` + string(recipient) + `}}`
}

// Checklist: push 19, 20
func TestWebRecipients(t *testing.T) {
	s := newSite(t, realProviders, func(one *setup) {
		one.idle, one.registry.Policy = true, push.Policy{AllowedHosts: []string{".example.com"}}
	})
	const endpoint = "https://updates.example.com/wpush/v2/gAAA"
	for _, wrong := range []string{
		"http://updates.example.com/x", "https://user@updates.example.com/x", "https://localhost/x", "https://x.local/x", "https://10.0.0.1/x", "https://169.254.169.254/x",
		"https://[::1]/x", "https://[::ffff:127.0.0.1]/x", "https://evilexample.com/x", "",
	} {
		got := s.do("POST", "deviceRegistrations", webBody(wrong, webPoint, webAuth))
		if got.fails(t, 400, "invalid_input", "push.recipient.endpoint: "); wrong != "" && strings.Contains(got.body, wrong) {
			t.Errorf("the refusal repeats the endpoint: %s", got.body)
		}
	}
	for point, field := range map[string]string{"": "p256dh", "B": "p256dh", strings.Replace(webPoint, "C", "D", 1): "p256dh", webPoint[:40]: "p256dh"} {
		s.do("POST", "deviceRegistrations", webBody(endpoint, point, webAuth)).fails(t, 400, "invalid_input", "push.recipient."+field)
	}
	for _, auth := range []string{"", "AAAA", webAuth + "AA", "not base64!"} {
		s.do("POST", "deviceRegistrations", webBody(endpoint, webPoint, auth)).fails(t, 400, "invalid_input", "push.recipient.auth")
	}
	first := read[registered](t, s.do("POST", "deviceRegistrations", webBody(endpoint, webPoint, webAuth)), 201)
	padded := s.do("POST", "deviceRegistrations", webBody(endpoint, strings.NewReplacer("-", "+", "_", "/").Replace(webPoint)+"=", webAuth+"=="))
	if got := read[registered](t, padded, 201); got.Change != "unchanged" || got.TokenHash != push.Hash(endpoint) || first.TokenHash != got.TokenHash {
		t.Errorf("%+v", got)
	}
	for _, secret := range []string{endpoint, webPoint, webAuth} {
		if strings.Contains(padded.body, secret) {
			t.Errorf("%s is in %s", secret, padded.body)
		}
	}
}

// Every provider is shown, with a payload of its own, for any publish.
// Checklist: push 45, 46
func TestRealPreviews(t *testing.T) {
	s := newSite(t, realProviders, func(one *setup) { one.idle = true })
	got := read[published](t, s.do("POST", "publish", publishBody("", `{"type":"providerTopic","provider":"fcm","topic":"news"},{"type":"providerCondition","provider":"fcm","condition":"'a' in topics"}`)), 202)
	for i, kind := range push.Kinds {
		one := got.Rendered[i]
		var members map[string]any
		if err := json.Unmarshal(one.Payload, &members); one.Provider != kind || one.Error != "" || err != nil || len(members) == 0 || !strings.Contains(string(one.Payload), "T") {
			t.Errorf("%s: %+v %v", kind, one, err)
		}
	}
	s.do("POST", "publish", publishBody("", `{"type":"providerTopic","provider":"apns","topic":"news"}`)).fails(t, 400, "invalid_input", "recipients[0].provider")
	s.do("POST", "publish", publishBody("", `{"type":"providerTopic","provider":"fcm","topic":"no such/topic"}`)).fails(t, 400, "invalid_input", "recipients[0]")
	// Addresses in a publish are looked at as those of devices are.
	s.do("POST", "publish", publishBody("", `{"type":"recipient","recipient":{"transportType":"apns","deviceToken":"xyz"}}`)).fails(t, 400, "invalid_input", "recipients[0].recipient.deviceToken")
}

// Checklist: push 104, 108
func TestRealSizes(t *testing.T) {
	s := newSite(t, realProviders, func(one *setup) { one.idle = true })
	targets := map[string]string{
		"apns":    `{"type":"recipient","recipient":{"transportType":"apns","deviceToken":"` + strings.Repeat("ab", 32) + `"}}`,
		"wns":     `{"type":"recipient","recipient":{"transportType":"wns","channelUri":"https://db5.notify.windows.com/?token=AwY"}}`,
		"webpush": `{"type":"recipient","recipient":{"transportType":"web","endpoint":"https://a.example.com/x","p256dh":"` + webPoint + `","auth":"` + webAuth + `"}}`,
	}
	// Only data makes it long.
	send := func(target string, n int) answer {
		return s.do("POST", "publish", `{"recipients":[`+target+`],"payload":{"title":"T","body":"B","templateData":{"x":"`+strings.Repeat("x", n)+`"}}}`)
	}
	for name, target := range targets {
		fits, not := 0, 8000
		for not-fits > 1 {
			middle := (fits + not) / 2
			if send(target, middle).status == 202 {
				fits = middle
			} else {
				not = middle
			}
		}
		send(target, not).fails(t, 400, "invalid_input", "payload."+name)
		if fits < 3500 {
			t.Errorf("%s: %d bytes of data do not fit", name, not)
		}
	}
}

// Credentials that cannot be used are refused, and the refusal tells nothing of them.
// Checklist: push 11, 33
func TestRealCredentials(t *testing.T) {
	s := newSite(t, realProviders, func(one *setup) { one.idle = true })
	for provider, body := range map[string]string{
		"fcm": `{"serviceAccountJson":{"type":"service_account","private_key":"hush-hush"}}`, "apns": `{"teamId":"T","keyId":"K","privateKey":"hush-hush"}`,
		"webpush": `{"publicKey":"hush-hush","privateKey":"hush-hush"}`, "hms": `{"hmsAppId":"","clientSecret":"hush-hush"}`, "wns": `{"packageSid":"","clientSecret":"hush-hush"}`,
	} {
		got := s.do("POST", "credentials/"+provider, body)
		if got.fails(t, 400, "invalid_input", ": "); strings.Contains(got.body, "hush") {
			t.Errorf("%s: %s", provider, got.body)
		}
	}
	s.do("POST", "credentials/hms", `{"hmsAppId":"1001","clientSecret":"hush-hush"}`).is(t, 201, `{"app_id":"app-1","credential_id":"hms","provider":"hms","version":1}`)
	s.do("POST", "credentials/wns", `{"packageSid":"ms-app://s-1-15-2-1","clientSecret":"hush-hush"}`).is(t, 201, `{"app_id":"app-1","credential_id":"wns","provider":"wns","version":1}`)
}

// An upload counts from the next delivery on, and each app reaches its own project.
// Checklist: push 37
func TestUploadsTakeEffect(t *testing.T) {
	service := pushtest.NewFCM(t)
	s := newSite(t, realProviders, func(one *setup) {
		one.pipeline.Setups = map[push.Kind]push.Setup{push.FCM: {Options: push.ConnectOptions{Endpoint: service.URL, Roots: service.Roots, AllowPrivate: true}}}
	})
	account := func(project string) string {
		service.AddProject(project)
		return strings.ReplaceAll(string(service.Material(t)), `"project_id":"`+pushtest.FCMProject, `"project_id":"`+project)
	}
	address := func(n int) string { return fmt.Sprintf("%s-%d", strings.Repeat("t", 40), n) }
	want := []string{}
	for i, project := range []string{"first-project", "second-project"} {
		read[any](t, s.do("POST", "credentials/fcm", account(project)), 201)
		read[any](t, s.do("POST", "publish", publishBody(project, strings.ReplaceAll(rawTarget, "fcm-token-A", address(i)))), 202)
		s.ends(project, "succeeded")
		want = append(want, project+" "+address(i))
	}
	read[any](t, s.other("POST", "credentials/fcm", account("other-project")), 201)
	read[any](t, s.other("POST", "publish", publishBody("other", strings.ReplaceAll(rawTarget, "fcm-token-A", address(2)))), 202)
	want = append(want, "other-project "+address(2))
	var got []string
	for _, m := range service.Wait(t, 3) {
		got = append(got, m.Project+" "+m.Address)
	}
	if !slices.Equal(got, want) {
		t.Errorf("sent: %q, not %q", got, want)
	}
	// Apps see nothing of each other.
	s.other("GET", "publish/first-project/status", "").fails(t, 404, "not_found", "publish")
	s.other("GET", "credentials", "").is(t, 200, `{"items":[{"app_id":"app-2","credential_id":"fcm","provider":"fcm","version":1}],"next_cursor":null,"has_more":false}`)
}
