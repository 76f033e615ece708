package wns

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/retryafter"
	"github.com/sockudo/caddy-sockudo/push"
)

// messageForm is that of the service's names of messages which are kept.
var messageForm = regexp.MustCompile(`^[!-~]{1,128}$`)

// verdict is what a status means.
type verdict struct {
	outcome push.Outcome
	class   push.Class
	text    string
}

var verdicts = map[int]verdict{
	http.StatusBadRequest:            {push.Rejected, push.CallerPayload, "the notification is refused"},
	http.StatusUnauthorized:          {push.Retryable, push.CredentialAuth, "the login is refused"},
	http.StatusForbidden:             {push.Rejected, push.CredentialAuth, "the channel is that of another app"},
	http.StatusNotFound:              {push.Rejected, push.DeviceTerminal, "there is no such channel"},
	http.StatusNotAcceptable:         {push.Retryable, push.ProviderQuota, "the service wants fewer notifications"},
	http.StatusRequestTimeout:        {push.Retryable, push.ProviderTransient, "the service has failed"},
	http.StatusGone:                  {push.Rejected, push.DeviceTerminal, "the channel has ended"},
	http.StatusRequestEntityTooLarge: {push.Rejected, push.CallerPayload, "the notification is too large"},
	http.StatusTooManyRequests:       {push.Retryable, push.ProviderQuota, "the channel wants fewer notifications"},
}

// judge says what has come of a notification.
func judge(status int, header http.Header, now time.Time) push.Result {
	r := push.Result{Class: push.UnknownFailure}
	if id := header.Get("X-WNS-Msg-ID"); messageForm.MatchString(id) {
		r.MessageID = id
	}
	v, known := verdicts[status]
	switch {
	case known:
	case status >= 200 && status < 300:
		return delivered(r, header, now)
	case status >= http.StatusInternalServerError:
		v = verdict{push.Retryable, push.ProviderTransient, "the service has failed"}
	case status >= 300 && status < 400:
		v = verdict{push.Rejected, push.UnknownFailure, "the service points elsewhere"}
	default:
		v = verdict{push.Rejected, push.UnknownFailure, "the answer is not understood"}
	}
	r.Outcome, r.Class, r.Reason = v.outcome, v.class, strconv.Itoa(status)+": "+v.text
	if r.Outcome == push.Retryable {
		r.RetryAfter = retryafter.Parse(header.Get("Retry-After"), now)
		r.DeviceOnly = status == http.StatusTooManyRequests
	}
	return r
}

// delivered judges what the service has taken, which need not mean that it passes it on.
//
// A dropped one is not tried again: the service does not keep it. If the device is
// offline that says nothing against the device, and otherwise its user or the system
// refuses notifications. One that the channel has been sent too fast for comes again.
func delivered(r push.Result, header http.Header, now time.Time) push.Result {
	switch strings.ToLower(header.Get("X-WNS-NotificationStatus")) {
	case "dropped":
		r.Outcome, r.Class, r.Reason = push.Rejected, push.DeviceTransient, "dropped: the device takes no notifications"
		if strings.Contains(strings.ToLower(header.Get("X-WNS-DeviceConnectionStatus")), "disconnected") {
			r.Class, r.Reason = push.UnknownFailure, "dropped: the device is offline"
		}
	case "channelthrottled":
		r.Outcome, r.Class, r.Reason = push.Retryable, push.ProviderQuota, "channelthrottled: the channel wants fewer notifications"
		r.RetryAfter, r.DeviceOnly = retryafter.Parse(header.Get("Retry-After"), now), true
	default:
		r.Outcome, r.Class = push.Accepted, ""
	}
	return r
}
