package rest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sockudo/caddy-sockudo/push"
)

// Checklist: push 27, 28
func TestSubscribe(t *testing.T) {
	s := newSite(t)
	read[any](t, s.do("POST", "deviceRegistrations", deviceBody("android-1", "fcm-token-A")), 201)
	const full = `{"appId":"app-1","channel":"orders","deviceId":"android-1","clientId":"user-42","provider":"fcm","tokenHash":"` + hashA + `","credentialVersion":`
	for range 2 {
		s.do("POST", "channelSubscriptions", `{"channel":"orders","deviceId":"android-1"}`).is(t, 201, full+"null}")
	}
	s.do("POST", "channelSubscriptions", full+"1}").is(t, 201, full+"1}")
	s.do("GET", "channelSubscriptions?channel=orders", "").is(t, 200, `{"items":[`+full+`1}],"next_cursor":null,"has_more":false}`)
	// A device that is not registered is fine if everything is said.
	s.do("POST", "channelSubscriptions", `{"channel":"orders","deviceId":"d"}`).fails(t, 400, "invalid_input", "deviceId")
	s.do("POST", "channelSubscriptions", `{"channel":"orders","deviceId":"d","provider":"webpush","tokenHash":"h"}`).is(t, 201,
		`{"appId":"app-1","channel":"orders","deviceId":"d","clientId":null,"provider":"webPush","tokenHash":"h","credentialVersion":null}`)
	for field, body := range map[string]string{
		"channel": `{"deviceId":"android-1"}`, "deviceId": `{"channel":"c"}`, "provider": `{"channel":"c","deviceId":"android-1","provider":"x"}`,
		"credentialVersion": `{"channel":"c","deviceId":"android-1","credentialVersion":-1}`,
	} {
		s.do("POST", "channelSubscriptions", body).fails(t, 400, "invalid_input", field)
	}
	scope := push.ClientScope("user-42")
	s.do("POST", "channelSubscriptions", `{"channel":"all","clientId":"user-42"}`).is(t, 201,
		`{"appId":"app-1","channel":"all","deviceId":"`+scope+`","clientId":"user-42","provider":"realtime","tokenHash":"`+push.Hash("user-42")+`","credentialVersion":null}`)
	s.do("POST", "channelSubscriptions", `{"channel":"all","clientId":"user-43","deviceId":"`+scope+`"}`).fails(t, 400, "invalid_input", "deviceId")
}

// Checklist: push 32
func TestClientScope(t *testing.T) {
	s := newSite(t)
	s.device("before")
	read[any](t, s.do("POST", "channelSubscriptions", `{"channel":"all","clientId":"user-42"}`), 201)
	s.device("after")
	s.do("POST", "publish", publishBody("p", `{"type":"channel","channel":"all"}`))
	s.ends("p", "succeeded")
	var got []string
	for _, n := range s.fcm.notifications() {
		got = append(got, n.Recipient.RegistrationToken)
	}
	if slices.Sort(got); fmt.Sprint(got) != "[fcm-after fcm-before]" {
		t.Errorf("notified are %v", got)
	}
}

// rows are the subscriptions that there are.
func (s *site) rows() (rows []string) {
	s.t.Helper()
	all, _ := walk[push.SubscriptionView](s, "channelSubscriptions", 1000)
	for _, one := range all {
		rows = append(rows, one.Channel+"/"+one.DeviceID)
	}
	return rows
}

// Checklist: push 29, 30
func TestUnsubscribe(t *testing.T) {
	s := newSite(t)
	tokens := map[string]string{"x": s.device("x"), "y": s.device("y")}
	fill := func() {
		for _, channel := range []string{"a", "b"} {
			for device := range tokens {
				read[any](t, s.do("POST", "channelSubscriptions", `{"channel":"`+channel+`","deviceId":"`+device+`"}`), 201)
			}
		}
	}
	fill()
	s.do("DELETE", "channelSubscriptions?channel=a&deviceId=x", "").is(t, 200, `{"deleted":1}`)
	if got := fmt.Sprint(s.rows()); got != "[a/y b/x b/y]" {
		t.Errorf("left are %s", got)
	}
	s.do("DELETE", "channelSubscriptions?channel=a&deviceId=x", "").is(t, 200, `{"deleted":0}`)
	s.do("DELETE", "channelSubscriptions", "").fails(t, 400, "invalid_input", "deviceId")
	// A filter that is empty is no filter that was left out.
	for _, query := range []string{"?channel=&deviceId=y", "?channel=b&deviceId=", "?channel=", "?deviceId=%20"} {
		s.do("DELETE", "channelSubscriptions"+query, "").fails(t, 400, "invalid_input", "empty")
		s.do("GET", "channelSubscriptions"+query, "").fails(t, 400, "invalid_input", "empty")
	}
	s.do("DELETE", "channelSubscriptions?channel=b", "").is(t, 200, `{"deleted":2}`)
	s.do("DELETE", "channelSubscriptions?deviceId=y", "").is(t, 200, `{"deleted":1}`)
	if got := s.rows(); len(got) != 0 {
		t.Errorf("left are %s", got)
	}
	want := []string{
		"removeWhere channelSubscriptions channel=a deviceId=x", "removeWhere channelSubscriptions channel=b", "removeWhere channelSubscriptions deviceId=y",
	}
	for _, line := range want {
		if !slices.Contains(s.audits(), line) {
			t.Errorf("the audit log lacks %q: %q", line, s.audits())
		}
	}

	// A device sees and removes its own rows only.
	fill()
	x := asDevice(tokens["x"])
	for _, query := range []string{"", "?channel=a"} {
		s.do("DELETE", "channelSubscriptions"+query, "", x...).fails(t, 403, "forbidden", "deviceId")
		s.do("GET", "channelSubscriptions"+query, "", x...).fails(t, 403, "forbidden", "deviceId")
	}
	for _, query := range []string{"?deviceId=y", "?channel=a&deviceId=y"} {
		s.do("DELETE", "channelSubscriptions"+query, "", x...).fails(t, 401, "auth_failed", "token")
		s.do("GET", "channelSubscriptions"+query, "", x...).fails(t, 401, "auth_failed", "token")
	}
	s.do("POST", "channelSubscriptions", `{"channel":"c","deviceId":"y"}`, x...).fails(t, 401, "auth_failed", "token")
	s.do("POST", "channelSubscriptions", `{"channel":"c","clientId":"user-42"}`, x...).fails(t, 400, "invalid_input", "deviceId")
	s.do("POST", "channelSubscriptions", `{"channel":"c","clientId":"user-42","deviceId":"`+push.ClientScope("user-42")+`"}`, x...).fails(t, 404, "not_found", "device")
	if got := read[list[push.SubscriptionView]](t, s.do("GET", "channelSubscriptions?channel=a&deviceId=x", "", x...), 200); len(got.Items) != 1 || got.Items[0].DeviceID != "x" {
		t.Errorf("%+v", got.Items)
	}
	s.do("DELETE", "channelSubscriptions?channel=a&deviceId=x", "", x...).is(t, 200, `{"deleted":1}`)
	s.do("DELETE", "channelSubscriptions?deviceId=x", "", x...).is(t, 200, `{"deleted":1}`)
	if got := fmt.Sprint(s.rows()); got != "[a/y b/y]" {
		t.Errorf("left are %s", got)
	}
}
