package hms

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/retryafter"
	"github.com/sockudo/caddy-sockudo/push"
)

// The codes of the service that mean something of their own.
const (
	success        = "80000000"
	partial        = "80100000"
	authRefused    = "80200001"
	authExpired    = "80200003"
	notPermitted   = "80300002"
	addressInvalid = "80300007"
	tooLarge       = "80300008"
	tooMany        = "80300010"
	notUrgent      = "80300011"
	loginFailed    = "80600003"
	internal       = "81000001"
)

// answer is what the service has said about a message for one device.
type answer struct {
	status int
	header http.Header
	body   []byte
	device string
	at     time.Time
}

// verdict is what a code means.
type verdict struct {
	outcome push.Outcome
	class   push.Class
	text    string
}

// verdicts are those of codes. All others that begin with 801 are about the message.
var verdicts = map[string]verdict{
	authRefused:    {push.Retryable, push.CredentialAuth, "the login is refused"},
	authExpired:    {push.Retryable, push.CredentialAuth, "the login has expired"},
	notPermitted:   {push.Rejected, push.CredentialAuth, "the app may not send to this device"},
	addressInvalid: {push.Rejected, push.DeviceTerminal, "the device is not registered"},
	tooLarge:       {push.Rejected, push.CallerPayload, "the message is too large"},
	tooMany:        {push.Rejected, push.CallerPayload, "the number of devices is refused"},
	notUrgent:      {push.Rejected, push.CallerPayload, "the app may not send urgent messages"},
	loginFailed:    {push.Retryable, push.ProviderTransient, "the service cannot check the login"},
	internal:       {push.Retryable, push.ProviderTransient, "the service has failed"},
}

// word is what is shown or kept of the service's names.
var word = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,128}$`)

// judge says what has come of a message, and whether the access token was refused. Only
// codes decide that, never the words of the answer, which also speak of tokens.
func judge(a *answer) (r push.Result, stale bool) {
	var body struct {
		Code      json.RawMessage `json:"code"`
		Msg       string          `json:"msg"`
		RequestID string          `json:"requestId"`
	}
	readable := json.Unmarshal(a.body, &body) == nil
	code := strings.Trim(string(body.Code), `"`)
	if !readable || code == "null" {
		code = ""
	}
	if word.MatchString(body.RequestID) {
		r.MessageID = body.RequestID
	}
	r.RetryAfter = retryafter.Parse(a.header.Get("Retry-After"), a.at)
	v, known := verdicts[code]
	switch {
	case code == partial:
		v = illegal(body.Msg, a.device)
	case known:
	case len(code) == len(partial) && strings.HasPrefix(code, "801") && word.MatchString(code):
		v = verdict{push.Rejected, push.CallerPayload, "the message is refused"}
	default:
		r, stale = byStatus(a, r, code, readable)
		return r, stale
	}
	r.Outcome, r.Class, r.Reason = v.outcome, v.class, code+": "+v.text
	if r.Outcome == push.Accepted {
		r.Reason = ""
	}
	if r.Outcome != push.Retryable {
		r.RetryAfter = 0
	}
	return r, code == authRefused || code == authExpired
}

// illegal is what has come of the one device of a message that has reached some of its
// devices. The message of such an answer is JSON.
func illegal(msg, device string) verdict {
	var counts struct {
		Success int      `json:"success"`
		Failure int      `json:"failure"`
		Illegal []string `json:"illegal_tokens"`
	}
	err := json.Unmarshal([]byte(msg), &counts)
	switch {
	case err == nil && slices.Contains(counts.Illegal, device):
		return verdict{push.Rejected, push.DeviceTerminal, "the device is not registered"}
	case err == nil && counts.Success > 0 && counts.Failure == 0:
		return verdict{push.Accepted, "", ""}
	}
	return verdict{push.Rejected, push.UnknownFailure, "the message has not reached the device"}
}

// byStatus judges an answer without a known code by its HTTP status.
func byStatus(a *answer, r push.Result, code string, readable bool) (push.Result, bool) {
	v := verdict{push.Rejected, push.UnknownFailure, "the answer is not understood"}
	switch {
	case a.status >= 200 && a.status < 300:
		switch {
		case code == success, code == "" && (readable || len(a.body) == 0):
			v = verdict{outcome: push.Accepted}
		case !readable:
			v = verdict{push.Retryable, push.ProviderTransient, "the answer is not the service's"}
		}
	case a.status == http.StatusUnauthorized:
		v = verdict{push.Retryable, push.CredentialAuth, "the login is refused"}
	case a.status == http.StatusForbidden:
		v = verdict{push.Retryable, push.CredentialAuth, "the app may not send"}
	case a.status == http.StatusNotFound, a.status == http.StatusGone:
		// The service itself names such a device with a code. A status alone may also come
		// of a wrong address of the service, which must not cost all devices.
		v, r.Suspect = verdict{push.Rejected, push.DeviceTerminal, "the address is not there"}, true
	case a.status == http.StatusBadRequest, a.status == http.StatusRequestEntityTooLarge:
		v = verdict{push.Rejected, push.CallerPayload, "the message is refused"}
	case a.status == http.StatusTooManyRequests, a.status == http.StatusServiceUnavailable: // its flow control
		v = verdict{push.Retryable, push.ProviderQuota, "the service wants fewer messages"}
	case a.status >= http.StatusInternalServerError, a.status == http.StatusRequestTimeout:
		v = verdict{push.Retryable, push.ProviderTransient, "the service has failed"}
	case a.status >= 300 && a.status < 400:
		v.text = "the service points elsewhere"
	}
	r.Outcome, r.Class = v.outcome, v.class
	if v.outcome != push.Accepted {
		r.Reason = strconv.Itoa(a.status) + ": " + v.text
		if word.MatchString(code) && len(code) == len(success) {
			r.Reason = code + ", " + r.Reason
		}
	}
	if v.outcome != push.Retryable {
		r.RetryAfter = 0
	}
	return r, a.status == http.StatusUnauthorized
}
