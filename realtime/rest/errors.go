package rest

import (
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// kind is one class of refusal: the code and status of the error envelope
// (section 0.3), and the seconds of Retry-After, if any.
type kind struct {
	code   string
	status int
	retry  int
}

// The error table. Clients decide by status; codes and statuses never change.
var (
	invalidInput       = kind{"invalid_input", http.StatusBadRequest, 0}
	missingChannel     = kind{"missing_channel_info", http.StatusBadRequest, 0}
	limitExceeded      = kind{"limit_exceeded", http.StatusBadRequest, 0}
	authFailed         = kind{"auth_failed", http.StatusUnauthorized, 0}
	forbidden          = kind{"forbidden", http.StatusForbidden, 0}
	methodNotAllowed   = kind{"method_not_allowed", http.StatusMethodNotAllowed, 0}
	payloadTooLarge    = kind{"payload_too_large", http.StatusRequestEntityTooLarge, 0}
	unsupportedType    = kind{"unsupported_media_type", http.StatusUnsupportedMediaType, 0}
	wrongShape         = kind{"invalid_input", http.StatusUnprocessableEntity, 0}
	rateLimited        = kind{"rate_limited", http.StatusTooManyRequests, 1}
	internalError      = kind{"internal_error", http.StatusInternalServerError, 0}
	terminationFailed  = kind{"termination_failed", http.StatusInternalServerError, 0}
	backpressure       = kind{"backpressure", http.StatusServiceUnavailable, 1}
	serviceUnavailable = kind{"service_unavailable", http.StatusServiceUnavailable, 0}
	storeDown          = kind{"service_unavailable", http.StatusServiceUnavailable, 1}
)

// Refusals with a fixed text. Those of class 5xx never tell what has failed.
var (
	errUnknownKey    = authFailed.with("Application key not found or invalid: Invalid app key")
	errWrongApp      = authFailed.with("Authenticated app does not match route app_id")
	errDisabled      = forbidden.with("Application is disabled")
	errNoSettings    = storeDown.with("No configuration is loaded")
	errStoreDown     = storeDown.with("Application data is temporarily unavailable")
	errInternal      = internalError.with("Internal server error")
	errTermination   = terminationFailed.with("Connection termination failed")
	errIdempotency   = serviceUnavailable.with("Idempotency coordination is temporarily unavailable")
	errNameMissing   = invalidInput.with("Event name is required")
	errNoChannel     = missingChannel.with("Request must contain 'channels' (list) or 'channel' (string)")
	errNotPresence   = invalidInput.with("Only presence channels support this endpoint")
	errSyntax        = invalidInput.with("Request body is not valid JSON")
	errNotUTF8       = invalidInput.with("Request body is not valid UTF-8")
	errContentType   = unsupportedType.with("Expected request with `Content-Type: application/json`")
	errKeyEmpty      = invalidInput.with("Idempotency key must not be empty")
	errConflict      = invalidInput.with("idempotency key was already used with a different payload")
	errRevokeNothing = invalidInput.with("revocation requires jti or client_id")
	errRevocation    = storeDown.with("The revocation could not be kept and passed on to all nodes; repeat it")
	errEventTooLarge = payloadTooLarge.with("The event is larger than can be carried to all nodes")
	errHistoryFull   = backpressure.with("More events wait to be kept than can be kept at once")
	errClaimPending  = backpressure.with("idempotent publish is still in progress")
)

// failure is a refusal of one call.
type failure struct {
	kind
	text string
	// number is for clients of AI messages, zero for none.
	number int
}

// maxText bounds what a refusal repeats of the request.
const maxText = 512

func (k kind) with(text string) *failure { return &failure{kind: k, text: text} }

// numbered is the refusal with a number for clients of AI messages.
func (f *failure) numbered(n int) *failure {
	f.number = n
	return f
}

// after is the refusal with a longer Retry-After.
func (f *failure) after(seconds int) *failure {
	later := *f
	later.retry = max(later.retry, seconds)
	return &later
}

// write sends the refusal and returns the length of its body.
func (f *failure) write(w http.ResponseWriter) int {
	if f.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.retry))
	}
	b := make([]byte, 0, 128+len(f.text))
	b = append(b, `{"error":`...)
	b = protocol.AppendString(b, bounded(f.text))
	b = append(b, `,"code":"`...)
	b = append(b, f.code...)
	if f.number != 0 {
		b = append(b, `","ai_code":`...)
		b = strconv.AppendInt(b, int64(f.number), 10)
		b = append(b, `,"status":`...)
	} else {
		b = append(b, `","status":`...)
	}
	b = strconv.AppendInt(b, int64(f.status), 10)
	return writeJSON(w, f.status, append(b, '}'))
}

// bounded cuts a text to maxText bytes, between characters, and makes it valid
// UTF-8: it may repeat bytes of the query.
func bounded(text string) string {
	if len(text) > maxText {
		end := maxText
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "..."
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// writeJSON sends a JSON body and returns its length.
func writeJSON(w http.ResponseWriter, status int, body []byte) int {
	// The value is not shared between responses: other handlers of a site may
	// edit header values in place.
	w.Header().Set("Content-Type", "application/json")
	if status != http.StatusOK {
		w.WriteHeader(status)
	}
	_, _ = w.Write(body) // a client that has gone needs no answer
	return len(body)
}

func writeText(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // as above
}

func writeNotFound(w http.ResponseWriter) {
	writeText(w, http.StatusNotFound, "404 NOT FOUND")
}
