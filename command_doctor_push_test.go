package sockudo

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/doctor"
	"github.com/sockudo/caddy-sockudo/internal/pushtest"
)

// The way of a notification through the public address: to a device, to nobody, off, and
// each hop of it broken.
func TestDoctorPush(t *testing.T) {
	f := pushtest.NewFCM(t)
	s, p := newServer(t), pushPort{t, freePort(t)}
	t.Setenv(secretVariable, "s3cr3t-canary")
	load := func(push string) {
		t.Helper()
		s.mustLoad("", site(p.port, "sockudo {\nrate_limiter {\nenabled off\n}\n"+appBlock+push+"}"))
	}
	load(fcmBlock(f, "credentials_path "+f.ServiceAccountFile(t), "retry {\ninitial_backoff 10ms\nmax_backoff 20ms\nmax_attempts 3\n}"))
	p.fcmDevice("phone", "user-1")
	args := func(more ...string) []string {
		return append([]string{"--key", "demo-key", "--app", "demo", "--timeout", "4s", "http://127.0.0.1:" + p.port}, more...)
	}
	healthy := func(want string, more ...string) {
		t.Helper()
		r, code := examined(t, args(more...)...)
		if got := step(t, r, "push"); code != 0 || got.Outcome != doctor.OK || !strings.Contains(got.Detail, want) {
			t.Errorf("%q: code %d, %+v", more, code, got)
		}
	}
	healthy("fcm has accepted a notification for phone", "--push-device", "phone")
	if got := f.Wait(t, 1); len(got) != 1 || got[0].Address != "phone" {
		t.Errorf("the provider got %+v", got)
	}
	healthy("for nobody was accepted and planned", "--push")
	healthy("and 0 wait", "--push", "--address", s.admin)
	healthy("for nobody", "--push", "--address", "127.0.0.1:"+freePort(t))
	if n := f.Requests(); n != 1 {
		t.Errorf("the provider has got %d requests", n)
	}

	ill(t, "push", "never registered", args("--push-device", "none")...)
	p.must("push/deviceRegistrations", `{"id":"worn","clientId":"user-1","formFactor":"phone","platform":"android","timezone":"UTC","locale":"en","push":{"state":"FAILED","failureCount":5,"recipient":{"transportType":"gcm","registrationToken":"worn"}}}`)
	ill(t, "push", "failed too often", args("--push-device", "worn")...)
	for _, c := range []struct {
		cause  string
		answer pushtest.FCMAnswer
	}{
		{"refuses the credentials", pushtest.FCMError(http.StatusForbidden, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "no")},
		{"does not take what was sent", pushtest.FCMError(http.StatusBadRequest, "INVALID_ARGUMENT", "", "no")},
		{"does not know the address", pushtest.FCMError(http.StatusNotFound, "NOT_FOUND", "UNREGISTERED", "no")},
	} {
		p.fcmDevice("phone", "user-1") // which the case before may have cost its state
		f.Script("phone", c.answer)
		ill(t, "push", c.cause, args("--push-device", "phone")...)
	}
	p.fcmDevice("tablet", "user-1")
	unavailable := pushtest.FCMError(http.StatusServiceUnavailable, "UNAVAILABLE", "UNAVAILABLE", "no")
	f.Script("tablet", unavailable, unavailable, unavailable)
	ill(t, "push", "does not take the notification now", args("--push-device", "tablet")...)
	p.fcmDevice("phone", "user-1")
	f.Script("phone", pushtest.FCMAnswer{Hang: true}, pushtest.FCMAnswer{Hang: true})
	ill(t, "push", "the provider does not answer", args("--push-device", "phone")...)

	load(fcmBlock(f, "enabled off", ""))
	ill(t, "push", "no provider is enabled", args("--push")...)
	load(strings.Replace(fcmBlock(f, "credentials_path "+f.ServiceAccountFile(t), ""), f.URL, "https://127.0.0.1:"+freePort(t), 1))
	p.fcmDevice("watch", "user-1")
	ill(t, "push", "does not reach the provider", args("--push-device", "watch")...)

	load("push off\n")
	r, _ := examined(t, args("--push-device", "phone")...)
	if got := step(t, r, "push"); got.Outcome != doctor.Skipped || got.Detail != "push notifications are off" {
		t.Errorf("%+v", got)
	}
}
