package apns

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/retryafter"
	"github.com/sockudo/caddy-sockudo/push"
)

// The reasons that somebody acts on.
const (
	expiredToken = "ExpiredProviderToken"
	manyTokens   = "TooManyProviderTokenUpdates"
	badDevice    = "BadDeviceToken"
)

// tokenPause is how long credentials are left alone whose tokens were new too often,
// if APNs does not say.
const tokenPause = 5 * time.Minute

// verdict is what an answer means.
type verdict struct {
	outcome push.Outcome
	class   push.Class
	// device says that only the device has to wait.
	device bool
	// leave says that the connection is of no use any more.
	leave bool
}

var (
	gone       = verdict{outcome: push.Rejected, class: push.DeviceTerminal}
	misrouted  = verdict{outcome: push.Rejected, class: push.CredentialAuth}
	malformed  = verdict{outcome: push.Rejected, class: push.CallerPayload}
	outOfOrder = verdict{outcome: push.Retryable, class: push.ProviderTransient}
	parting    = verdict{outcome: push.Retryable, class: push.ProviderTransient, leave: true}
	stale      = verdict{outcome: push.Retryable, class: push.CredentialAuth}
)

// verdicts are by reason, whatever the status.
var verdicts = map[string]verdict{
	badDevice: gone, "Unregistered": gone, "ExpiredToken": gone,

	"BadTopic": misrouted, "DeviceTokenNotForTopic": misrouted, "TopicDisallowed": misrouted, "BadCertificateEnvironment": misrouted,
	"BadCertificate": misrouted, "Forbidden": misrouted, "InvalidProviderToken": misrouted, "MissingProviderToken": misrouted,
	"BadEnvironmentKeyIdInToken": misrouted, "UnrelatedKeyIdInToken": misrouted, "BadPath": misrouted, "MethodNotAllowed": misrouted,

	"BadCollapseId": malformed, "BadExpirationDate": malformed, "BadMessageId": malformed, "BadPriority": malformed,
	"InvalidPushType": malformed, "MissingTopic": malformed, "PayloadEmpty": malformed, "DuplicateHeaders": malformed,
	"MissingDeviceToken": malformed, "PayloadTooLarge": malformed,

	expiredToken: stale, manyTokens: stale,
	"TooManyRequests":     {outcome: push.Retryable, class: push.ProviderQuota, device: true},
	"InternalServerError": outOfOrder, "ServiceUnavailable": outOfOrder, "Shutdown": parting, "IdleTimeout": parting,
}

// verdictOn is what a status means whose reason is not known.
func verdictOn(status int) verdict {
	switch {
	case status == http.StatusOK:
		return verdict{outcome: push.Accepted}
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge:
		return malformed
	case status == http.StatusForbidden, status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusUnauthorized:
		return misrouted
	case status == http.StatusGone:
		return gone
	case status == http.StatusTooManyRequests:
		return verdict{outcome: push.Retryable, class: push.ProviderQuota}
	case status == http.StatusRequestTimeout, status >= 500:
		return outOfOrder
	}
	return verdict{outcome: push.Rejected, class: push.UnknownFailure} // a redirect, for one
}

// answer is one of APNs.
type answer struct {
	status int
	// id is APNs's name of the message.
	id string
	// reason is one word, or empty.
	reason string
	// since is when the device has become unreachable, or zero.
	since time.Time
	// after is the header Retry-After.
	after time.Duration
}

// parseAnswer reads an answer.
func parseAnswer(status int, header http.Header, body []byte, now time.Time) answer {
	a := answer{status: status, after: retryafter.Parse(header.Get("Retry-After"), now)}
	if id := header.Get("apns-id"); len(id) <= 64 && isWord(id) {
		a.id = id
	}
	if status == http.StatusOK {
		return a
	}
	var said struct {
		Reason    any         `json:"reason"`
		Timestamp json.Number `json:"timestamp"`
	}
	if json.Unmarshal(body, &said) != nil {
		return a
	}
	if reason, ok := said.Reason.(string); ok && len(reason) <= 64 && isWord(reason) {
		a.reason = reason
	}
	const lastYear = 253402300799999 // the end of 9999, beyond which a time has no text
	if ms, err := said.Timestamp.Int64(); err == nil && ms > 0 && ms <= lastYear {
		a.since = time.UnixMilli(ms)
	}
	return a
}

// verdict is what the answer means.
func (a *answer) verdict() verdict {
	if v, known := verdicts[a.reason]; known && a.status != http.StatusOK {
		return v
	}
	return verdictOn(a.status)
}

// result is that of the attempt. Whether the device's environment is known decides what
// a bad token is: APNs gives the same reason for one of the other environment.
func (a *answer) result(environment string) push.Result {
	v := a.verdict()
	r := push.Result{Outcome: v.outcome, Class: v.class, MessageID: a.id, DeviceOnly: v.device}
	if v.outcome == push.Accepted {
		return r
	}
	r.Reason = a.reason
	if r.Reason == "" {
		r.Reason = strings.TrimSpace(fmt.Sprintf("HTTP %d %s", a.status, http.StatusText(a.status)))
	}
	if v.outcome == push.Retryable {
		r.RetryAfter = a.after
	}
	if a.reason == manyTokens && r.RetryAfter == 0 {
		r.RetryAfter = tokenPause
	}
	if v.class == push.DeviceTerminal {
		r.InvalidSince = a.since
		r.Suspect = a.reason == badDevice && environment == ""
	}
	return r
}
