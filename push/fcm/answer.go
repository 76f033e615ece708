package fcm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/retryafter"
	"github.com/sockudo/caddy-sockudo/push"
)

const (
	quotaWait       = time.Minute
	unavailableWait = 10 * time.Second
	maxMessageID    = 512
)

// The words of FCM that mean something to us.
const (
	unregistered     = "UNREGISTERED"
	notRegistered    = "registration-token-not-registered"
	invalidArgument  = "INVALID_ARGUMENT"
	senderIDMismatch = "SENDER_ID_MISMATCH"
	thirdPartyAuth   = "THIRD_PARTY_AUTH_ERROR"
	oldThirdParty    = "APNS_AUTH_ERROR"
)

// fault is what an answer says about a request that has failed.
type fault struct {
	code    string // of FCM
	status  string // of Google's interfaces in general
	message string // never shown, since it may have something of the request in it
	// field says that the request is what is wrong, and which member of it.
	field bool
	// quotas are the words about the quota that has been used up.
	quotas string
	// delay is how long to wait, in the body rather than a header.
	delay time.Duration
	// apns is Apple's word for what has happened.
	apns string
}

// parseFault reads what it can: no part that is not as expected spoils another.
func parseFault(body []byte) (f fault) {
	var outer struct {
		Error json.RawMessage `json:"error"`
	}
	var failed struct {
		Status  string            `json:"status"`
		Message string            `json:"message"`
		Details []json.RawMessage `json:"details"`
	}
	_ = json.Unmarshal(body, &outer)
	_ = json.Unmarshal(outer.Error, &failed)
	f.status, f.message = failed.Status, failed.Message
	for _, text := range failed.Details {
		var kind struct {
			Type string `json:"@type"`
		}
		_ = json.Unmarshal(text, &kind)
		f.add(kind.Type[strings.LastIndexAny(kind.Type, "./")+1:], text)
	}
	return f
}

// add takes up a detail of a kind.
func (f *fault) add(kind string, text json.RawMessage) {
	var d struct {
		ErrorCode  string `json:"errorCode"`
		Reason     string `json:"reason"`
		RetryDelay string `json:"retryDelay"`
		Violations []struct {
			Subject     string `json:"subject"`
			Description string `json:"description"`
		} `json:"violations"`
	}
	_ = json.Unmarshal(text, &d)
	switch kind {
	case "FcmError":
		f.code = cmp.Or(f.code, d.ErrorCode)
	case "ApnsError":
		f.apns = d.Reason
	case "BadRequest":
		f.field = true
	case "QuotaFailure":
		for _, v := range d.Violations {
			f.quotas += v.Subject + " " + v.Description + "\n"
		}
	case "RetryInfo":
		f.delay = seconds(d.RetryDelay)
	}
}

// seconds reads a duration such as 3.5s.
func seconds(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil || !strings.HasSuffix(text, "s") {
		return 0
	}
	return min(max(d, 0), retryafter.Max)
}

// word is the form of the words that may be shown.
var word = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// reason is the service's word for a fault.
func (f *fault) reason(status int) string {
	for _, text := range []string{f.code, f.status} {
		if word.MatchString(text) {
			return text
		}
	}
	return fmt.Sprintf("HTTP %d", status)
}

func (a *answer) success() bool { return a.err == nil && a.status >= 200 && a.status < 300 }

// refusesToken reports whether an answer may be about our access token.
func (a *answer) refusesToken() bool {
	if a.err != nil || a.status != http.StatusUnauthorized && a.status != http.StatusForbidden {
		return false
	}
	f := parseFault(a.body)
	return f.code != senderIDMismatch && f.code != thirdPartyAuth && f.code != oldThirdParty
}

// result is what an answer means, for one device or for a topic.
func (a *answer) result(now time.Time, device bool) push.Result {
	if a.success() {
		return a.accepted()
	}
	f := parseFault(a.body)
	r := push.Result{
		Outcome: push.Rejected, Class: push.UnknownFailure, Reason: f.reason(a.status),
		RetryAfter: cmp.Or(retryafter.Parse(a.header.Get("Retry-After"), now), f.delay),
	}
	switch {
	case a.status >= 500 || a.status == http.StatusRequestTimeout || a.status < 400:
		r.Outcome, r.Class = push.Retryable, push.ProviderTransient
		if a.status == http.StatusServiceUnavailable && r.RetryAfter == 0 {
			// Nobody has asked all others to wait.
			r.RetryAfter, r.DeviceOnly = unavailableWait, true
		}
		return r
	case a.status == http.StatusTooManyRequests:
		r.Outcome, r.Class, r.DeviceOnly = push.Retryable, push.ProviderQuota, f.ofRecipient()
		r.RetryAfter = cmp.Or(r.RetryAfter, quotaWait)
		return r
	}
	r.RetryAfter = 0
	f.refine(&r, a.status, device)
	return r
}

// refine says what a refusal means.
func (f *fault) refine(r *push.Result, status int, device bool) {
	gone := f.code == unregistered || f.code == notRegistered || strings.Contains(f.message, notRegistered)
	switch {
	case f.code == thirdPartyAuth || f.code == oldThirdParty:
		r.Class, r.Reason = push.CredentialAuth, r.Reason+": the project's own key for APNs or web push is refused"
		if word.MatchString(f.apns) {
			r.Reason += ", by " + f.apns
		}
	case status == http.StatusForbidden && f.code == senderIDMismatch:
		r.Class = push.CredentialAuth
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		r.Outcome, r.Class = push.Retryable, push.CredentialAuth
	case gone && device:
		r.Class = push.DeviceTerminal
		if !word.MatchString(f.code) {
			r.Reason = notRegistered
		}
	case status == http.StatusNotFound: // the project
		r.Class = push.CredentialAuth
	case status == http.StatusBadRequest && device && f.namesToken():
		r.Class = push.DeviceTerminal
	case status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge:
		r.Class = push.CallerPayload
	}
}

// namesToken reports whether a request is refused because its registration token is
// none. An answer that names a member of the request is about the payload.
func (f *fault) namesToken() bool {
	return f.code == invalidArgument && !f.field && strings.Contains(strings.ToLower(f.message), "registration token")
}

// ofRecipient reports whether the quota is that of a single device or topic, and not the
// project's.
func (f *fault) ofRecipient() bool {
	said := strings.ToLower(f.quotas + f.message)
	return strings.Contains(said, "device") || strings.Contains(said, "topic")
}

// accepted is the result of a success. An answer that is whole and no JSON object is
// none of the service's.
func (a *answer) accepted() push.Result {
	var got map[string]json.RawMessage
	if json.Unmarshal(a.body, &got) != nil && !a.cut {
		return push.Result{Outcome: push.Retryable, Class: push.UnknownFailure, Reason: "the answer is not one of FCM"}
	}
	r := push.Result{Outcome: push.Accepted}
	if json.Unmarshal(got["name"], &r.MessageID) != nil || len(r.MessageID) > maxMessageID {
		r.MessageID = ""
	}
	return r
}
