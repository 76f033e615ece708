package wns

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// Checklist: push 83, 107
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		status     int
		said       string // the status of the notification, and that of the device
		outcome    push.Outcome
		class      push.Class
		deviceOnly bool
	}{
		{200, "", push.Accepted, "", false},
		{200, "received connected", push.Accepted, "", false},
		{202, "received disconnected", push.Accepted, "", false},
		{200, "dropped connected", push.Rejected, push.DeviceTransient, false},
		{200, "Dropped", push.Rejected, push.DeviceTransient, false},
		{200, "dropped disconnected", push.Rejected, push.UnknownFailure, false},
		{200, "dropped tempdisconnected", push.Rejected, push.UnknownFailure, false},
		{200, "channelThrottled connected", push.Retryable, push.ProviderQuota, true},
		{301, "", push.Rejected, push.UnknownFailure, false},
		{400, "", push.Rejected, push.CallerPayload, false},
		{401, "", push.Retryable, push.CredentialAuth, false},
		{403, "", push.Rejected, push.CredentialAuth, false},
		{404, "", push.Rejected, push.DeviceTerminal, false},
		{405, "", push.Rejected, push.UnknownFailure, false},
		{406, "", push.Retryable, push.ProviderQuota, false},
		{410, "", push.Rejected, push.DeviceTerminal, false},
		{413, "", push.Rejected, push.CallerPayload, false},
		{429, "", push.Retryable, push.ProviderQuota, true},
		{500, "", push.Retryable, push.ProviderTransient, false},
		{503, "", push.Retryable, push.ProviderTransient, false},
	} {
		h := http.Header{}
		notification, device, _ := strings.Cut(c.said, " ")
		h.Set("X-WNS-NotificationStatus", notification)
		h.Set("X-WNS-DeviceConnectionStatus", device)
		h.Set("X-WNS-Msg-ID", "id1")
		h.Set("Retry-After", "7")
		r := judge(c.status, h, time.Now())
		if r.Outcome != c.outcome || r.Class != c.class || r.DeviceOnly != c.deviceOnly || r.MessageID != "id1" {
			t.Errorf("%d %s: %+v", c.status, c.said, r)
		}
		if wait := r.RetryAfter == 7*time.Second; wait != (r.Outcome == push.Retryable) || (r.Reason == "") != (r.Outcome == push.Accepted) || r.Suspect {
			t.Errorf("%d %s: %+v", c.status, c.said, r)
		}
	}
}

// Nothing of the answer gets out but the message's name, and only two statuses remove
// a device.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "received", "connected", "id", "7")
	f.Add(200, "dropped", "disconnected", "id\n", "-1")
	f.Add(410, "", "", "", "Wed, 21 Oct 2026 07:28:00 GMT")
	f.Fuzz(func(t *testing.T, status int, notification, device, id, wait string) {
		h := http.Header{"X-Wns-Notificationstatus": {notification}, "X-Wns-Deviceconnectionstatus": {device}, "X-Wns-Msg-Id": {id}, "Retry-After": {wait}}
		r := judge(status, h, time.Now())
		if (r.Class == push.DeviceTerminal) != (status == 404 || status == 410) {
			t.Errorf("%d: %+v", status, r)
		}
		if (r.Outcome == push.Accepted) != (r.Class == "") || len(r.Reason) > 80 || len(r.MessageID) > 128 || r.RetryAfter < 0 || strings.ContainsAny(r.MessageID, "\r\n ") {
			t.Errorf("%+v", r)
		}
		if r.Outcome == push.Accepted && (status < 200 || status > 299) {
			t.Errorf("%d is a success", status)
		}
	})
}
