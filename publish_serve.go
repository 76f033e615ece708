package sockudo

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/rest"
)

// Placeholders for the body of a request.
const (
	bodyName       = "http.request.body"
	bodyBase64Name = "http.request.body_base64"
	statusName     = "http.response.status"
)

// errBodyTooLarge says that a body is larger than max_body.
var errBodyTooLarge = errors.New("the body of the request is larger than max_body")

func isBody(name string) bool { return name == bodyName || name == bodyBase64Name }

// ServeHTTP calls the next handler and publishes, in the order that was asked for.
func (h *PublishHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v := &publishValues{replacer: r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)}
	if h.body > 0 {
		v.body, v.bodyErr = keepBody(r, h.body)
	}
	if h.before {
		if err := h.publish(r.Context(), v.late); err != nil {
			return h.refuse(err)
		}
		return next.ServeHTTP(w, r)
	}
	h.each(v.keep)
	recorder := caddyhttp.NewResponseRecorder(w, nil, nil)
	if err := next.ServeHTTP(recorder, r); err != nil {
		return err
	}
	if v.status = recorder.Status(); !h.good(v.status) {
		return nil
	}
	// The client may have gone by now, with the answer in its hands.
	if err := h.publish(context.WithoutCancel(r.Context()), v.late); err != nil {
		h.log.Error("publishing an event after a request", h.place(err)...)
	}
	return nil
}

// refuse is the answer to a request whose event could not be published.
func (h *PublishHandler) refuse(err error) error {
	status := http.StatusServiceUnavailable
	if errors.Is(err, errBodyTooLarge) {
		status = http.StatusRequestEntityTooLarge
	}
	if refused, ok := errors.AsType[*rest.RefusedError](err); ok {
		switch refused.Status {
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			status = refused.Status
		}
	}
	h.log.Error("publishing an event before a request", h.place(err)...)
	return caddyhttp.Error(status, err)
}

// place says which event it was, without what it carried.
func (h *PublishHandler) place(err error) []zap.Field {
	return []zap.Field{zap.String("hub", h.hubName), zap.String("app", h.app()), zap.Strings("channels", h.Channels), zap.String("event", h.Event), zap.Error(err)}
}

// each calls f for every placeholder of the texts.
func (h *PublishHandler) each(f func(name string)) {
	visit := func(name string) error {
		f(name)
		return nil
	}
	for _, t := range append([]eventText{h.event, h.data, h.socket}, h.channels...) {
		_ = t.names(visit)
	}
}

// publish fills the texts and publishes.
func (h *PublishHandler) publish(ctx context.Context, value func(string) (string, error)) error {
	e := rest.InnerEvent{App: h.app()}
	name := func(name string) (string, error) {
		text, err := value(name)
		if err == nil && text == "" {
			err = fmt.Errorf("{%s} is empty", name)
		}
		return text, err
	}
	for i, t := range h.channels {
		text, err := t.fill(name)
		if err != nil {
			return at("channels."+strconv.Itoa(i), err)
		}
		e.Channels = append(e.Channels, text)
	}
	var err error
	if e.Name, err = h.event.fill(name); err != nil {
		return at("event", err)
	}
	if e.SocketID, err = h.socket.fill(value); err != nil {
		return at("socket_id", err)
	}
	data, err := h.data.fill(value)
	if err != nil {
		return at("data", err)
	}
	e.Data = []byte(data)
	if !h.data.json {
		if e.Data, err = json.Marshal(strings.ToValidUTF8(data, "\uFFFD")); err != nil {
			return at("data", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	return h.api.Publish(ctx, e)
}

// publishValues are what the placeholders of one request stand for.
type publishValues struct {
	replacer *caddy.Replacer
	kept     map[string]string
	body     []byte
	bodyErr  error
	status   int
}

// keep takes the value that a placeholder has before the next handlers, which may
// rewrite the request.
func (v *publishValues) keep(name string) {
	if isBody(name) || strings.HasPrefix(name, "http.response.") || strings.HasPrefix(name, "http.reverse_proxy.") {
		return
	}
	if text, ok := v.replacer.GetString(name); ok && text != "" {
		if v.kept == nil {
			v.kept = map[string]string{}
		}
		v.kept[name] = text
	}
}

// late is the value of a placeholder when the event is published.
func (v *publishValues) late(name string) (string, error) {
	switch name {
	case bodyName:
		return string(v.body), v.bodyErr
	case bodyBase64Name:
		return base64.StdEncoding.EncodeToString(v.body), v.bodyErr
	case statusName:
		if v.status == 0 {
			return strconv.Itoa(http.StatusOK), nil
		}
		return strconv.Itoa(v.status), nil
	}
	if text, ok := v.kept[name]; ok {
		return text, nil
	}
	text, ok := v.replacer.GetString(name)
	if !ok {
		return "", fmt.Errorf("{%s} is unknown here", name)
	}
	return text, nil
}

// keepBody reads a body of at most so many bytes, and leaves the request with one to
// read all the same.
func keepBody(r *http.Request, most int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	rest := io.Reader(r.Body)
	if err != nil {
		rest = failingReader{err}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), rest), r.Body}
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the body of the request: %w", err)
	case int64(len(body)) > most:
		return nil, errBodyTooLarge
	}
	return body, nil
}

// failingReader says again what has gone wrong.
type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }
