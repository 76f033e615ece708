package rest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/push"
)

// Neither logs nor answers tell an address, a key or an identity token, whatever happens.
// Checklist: push 18, 38
func TestNothingSecretIsTold(t *testing.T) {
	s := newSite(t)
	const address = "hush-address-"
	s.fcm.decide(func(n push.Notification) push.Result {
		switch strings.TrimPrefix(n.Recipient.RegistrationToken, address) {
		case "1":
			return push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal, Reason: "UNREGISTERED"}
		case "2":
			return push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "UNAVAILABLE"}
		case "3":
			return push.Result{Outcome: push.Rejected, Class: push.CredentialAuth, Reason: "THIRD_PARTY_AUTH_ERROR"}
		}
		return push.Result{Outcome: push.Accepted, MessageID: "m"}
	})
	var texts, secrets []string
	call := func(method, path, body string, headers ...string) {
		texts = append(texts, s.do(method, path, body, headers...).body)
	}
	call("POST", "credentials/fcm", `{"serviceAccountJson":{"private_key":"hush-key"}}`)
	call("POST", "credentials/fcm", `{"bad":"hush-key"}`)
	for i := range 5 {
		id := fmt.Sprintf("d%d", i)
		secrets = append(secrets, read[registered](t, s.do("POST", "deviceRegistrations", deviceBody(id, address+fmt.Sprint(i), `,"deviceSecret":"hush-secret"`)), 201).Token)
		call("POST", "deviceRegistrations", deviceBody(id, address+fmt.Sprint(i)))
		call("POST", "publish", publishBody(id, `{"type":"device","deviceId":"`+id+`"}`))
		until(t, id+" ends", func() bool {
			status, err := s.pipeline.Status(t.Context(), appID, id)
			return err == nil && status.Ended()
		})
		for _, path := range []string{"publish/" + id + "/status", "publish/" + id + "/deliveries", "deviceRegistrations/" + id} {
			call("GET", path, "")
			call("GET", path, "", asDevice(secrets[0])...)
			call("GET", path, "", asDevice("hush-token")...)
		}
	}
	call("POST", "publish", publishBody("raw", token(address+"2")))
	s.ends("raw", "dead_lettered")
	call("POST", "publish", publishBody("web", `{"type":"recipient","recipient":{"transportType":"web","endpoint":"http://hush-endpoint","p256dh":"hush-point","auth":"hush-auth"}}`))
	for _, path := range []string{"credentials", "deviceRegistrations", "deadLetters", "channelSubscriptions"} {
		call("GET", path, "")
	}
	s.store.fail.Store(true)
	call("POST", "deviceRegistrations", deviceBody("d9", address+"9"))
	call("POST", "publish", publishBody("", `{"type":"device","deviceId":"d1"},`+token(address+"1")))
	s.store.fail.Store(false)
	for _, e := range s.log.All() {
		texts = append(texts, fmt.Sprint(e.Message, e.ContextMap()))
	}
	if len(texts) < 50 {
		t.Fatalf("only %d texts", len(texts))
	}
	for _, text := range texts {
		for _, secret := range append(secrets, "hush", "4.2.0-meta", "sha256$", "envelope:") {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in %s", secret, text)
			}
		}
	}
}
