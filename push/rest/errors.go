package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/storage"
)

// failure is a refusal of one call. Clients decide by status and code, which never change.
type failure struct {
	status int
	code   string
	text   string
	retry  time.Duration
}

// Error is the text that the client gets.
func (f *failure) Error() string { return f.text }

// envelope is the body of a refusal.
type envelope struct {
	Error  string `json:"error"`
	Code   string `json:"code"`
	Status int    `json:"status"`
}

func (f *failure) envelope() envelope { return envelope{bounded(f.text), f.code, f.status} }

// Refusals with a fixed text.
var (
	errPath        = refusal(http.StatusNotFound, "not_found", "There is no such path")
	errMethod      = refusal(http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed")
	errSegment     = refusal(http.StatusBadRequest, "invalid_input", "Path is not valid")
	errCapability  = refusal(http.StatusForbidden, "forbidden", "unknown push capability requested")
	errAdminOnly   = refusal(http.StatusForbidden, "forbidden", "this call needs the capability push-admin")
	errNoDevice    = refusal(http.StatusForbidden, "forbidden", "the capability push-subscribe is for one device, which deviceId names")
	errUnknown     = refusal(http.StatusForbidden, "forbidden", "the capability push-subscribe does not register new devices")
	errToken       = refusal(http.StatusUnauthorized, "auth_failed", "the identity token of the device is missing or wrong")
	errContentType = refusal(http.StatusBadRequest, "invalid_input", "expected application/json content type")
	errLimit       = refusal(http.StatusBadRequest, "invalid_input", "limit must be between 1 and 1000")
	errInternal    = refusal(http.StatusInternalServerError, "internal_error", "Internal server error")
)

// internalBody is the envelope of errInternal.
var internalBody = []byte(`{"error":"Internal server error","code":"internal_error","status":500}`)

func refusal(status int, code, text string) *failure {
	return &failure{status: status, code: code, text: text}
}

// notFound refuses a call about what does not exist.
func notFound(what string) *failure {
	return refusal(http.StatusNotFound, "not_found", "There is no such "+what)
}

// absent is the error of a call about something, with a name for what is not there.
func absent(what string, err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound(what)
	}
	return err
}

// failure is how a call is refused for an error. What nobody outside is to know is logged.
func (a *API) failure(c *call, err error) *failure {
	var (
		known  *failure
		fault  *push.FieldError
		refuse *push.Refusal
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &fault):
		return refusal(http.StatusBadRequest, "invalid_input", fault.Error())
	case errors.As(err, &refuse):
		return &failure{refuse.Status, refuse.Code, refuse.Text, refuse.RetryAfter}
	case errors.Is(err, push.ErrToken):
		return errToken
	case errors.Is(err, storage.ErrNotFound):
		return notFound("thing")
	}
	level := zap.ErrorLevel
	if errors.Is(err, context.Canceled) { // the client has gone
		level = zap.DebugLevel
	}
	a.o.Log.Log(level, "a call about push notifications has failed", zap.String("app", c.app), zap.String("call", c.name), zap.Error(err))
	return errInternal
}

// maxText bounds what a refusal repeats of the request, in bytes.
const maxText = 512

// bounded cuts a text between characters and makes it valid UTF-8.
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
