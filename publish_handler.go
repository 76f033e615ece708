package sockudo

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/realtime/rest"
)

func init() {
	caddy.RegisterModule(new(PublishHandler))
	httpcaddyfile.RegisterHandlerDirective("sockudo_publish", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		handler := new(PublishHandler)
		return handler, handler.UnmarshalCaddyfile(h.Dispenser)
	})
	httpcaddyfile.RegisterDirectiveOrder("sockudo_publish", httpcaddyfile.After, "encode")
}

// Defaults of a PublishHandler.
const (
	publishMaxBody = 100 << 10
	publishTimeout = 5 * time.Second
)

// PublishHandler publishes an event when a request was answered well: it calls the next
// handler, and publishes if the status of its answer is a good one. The answer is never
// changed.
//
// Channels, event, data and socket_id may have placeholders. Those that have a value
// when the request comes in keep it; the others, and those of the response, take theirs
// when it was answered.
type PublishHandler struct {
	// Hub is the hub that publishes, which the app sockudo or a handler defines.
	// Default: "default".
	Hub string `json:"hub,omitempty"`

	// App is the id of the app. Default: the app of the hub, if it has one and no store.
	App string `json:"app,omitempty"`

	// Channels are those that the event goes to. Required. In a Caddyfile: channel.
	Channels []string `json:"channels,omitempty"`

	// Event is the name of the event. Required.
	Event string `json:"event,omitempty"`

	// Data is what the event carries: JSON, with placeholders in its strings only, or any
	// other text. Default: an empty object.
	Data string `json:"data,omitempty"`

	// SocketID is the socket that does not get the event: that of the client who makes
	// the request. One that is empty or no socket id is ignored. Default: none.
	SocketID string `json:"socket_id,omitempty"`

	// OnStatus are the statuses that are good ones: numbers such as 201, or classes such
	// as 2xx. Default: 2xx.
	OnStatus []string `json:"on_status,omitempty"`

	// When is "after" the next handlers have answered, or "before" they are called: then
	// a request whose event cannot be published is refused, with 503, or with 400 or 413
	// if that is its own fault. Default: after.
	When string `json:"when,omitempty" words:"after before"`

	// MaxBody is the largest body of a request that {http.request.body} stands for; with
	// a larger one nothing is published. Default: 100KiB.
	MaxBody Size `json:"max_body,omitempty" min:"1"`

	// Timeout bounds the publish. Default: 5s.
	Timeout Duration `json:"timeout,omitempty" min:"1ms"`

	log      *zap.Logger
	api      *rest.Handler
	hubName  string
	app      func() string
	channels []eventText
	event    eventText
	data     eventText
	socket   eventText
	before   bool
	body     int64 // most of a body that is kept, zero if nothing wants it
	timeout  time.Duration
}

// CaddyModule returns the Caddy module information.
func (*PublishHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.sockudo_publish", New: func() caddy.Module { return new(PublishHandler) }}
}

// UnmarshalJSON refuses whatever it does not know.
func (h *PublishHandler) UnmarshalJSON(b []byte) error {
	type plain PublishHandler
	return decodeConfig(b, (*plain)(h))
}

// UnmarshalCaddyfile reads the directive. Syntax, with defaults:
//
//	sockudo_publish [MATCHER] [HUB] {         # the hub default
//		app ID                                # the only one of the hub
//		channel NAME...                       # required [channels]
//		event NAME                            # required
//		data TEXT                             # {}
//		socket_id ID                          # none
//		on_status STATUS...                   # 2xx
//		when after|before                     # after
//		max_body SIZE                         # 100KiB
//		timeout DURATION                      # 5s
//	}
func (h *PublishHandler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	name := d.RemainingArgs()
	switch {
	case len(name) > 1:
		return d.Errf("sockudo_publish takes the name of one hub, not %q", name)
	case len(name) == 1:
		h.Hub = name[0]
	}
	err := parseBlock(d, h)
	if err == nil && len(name) == 1 && h.Hub != name[0] {
		return d.Errf("hub: there are two, %s and %s", name[0], h.Hub)
	}
	return err
}

// Provision reads the texts and takes a share of the hub. The hub may be defined later
// in the configuration, so whether it has such an app is seen when the app starts.
func (h *PublishHandler) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	module, err := ctx.App("sockudo")
	if err != nil {
		return err
	}
	plain, err := h.resolve(caddy.NewReplacer())
	if err != nil {
		return err
	}
	if err := h.readTexts(); err != nil {
		return err
	}
	t, err := module.(*App).refer(plain.Hub)
	if err != nil {
		return err
	}
	h.hubName, h.api = plain.Hub, t.hub.api
	h.app = t.publishes(mention{app: plain.App, handler: h})
	return nil
}

// resolve is the handler with what may be a placeholder of the configuration expanded
// and everything checked that needs no hub.
func (h *PublishHandler) resolve(r *caddy.Replacer) (*PublishHandler, error) {
	plain := &PublishHandler{Hub: h.Hub, App: h.App, When: h.When, MaxBody: h.MaxBody, Timeout: h.Timeout}
	err := visit(reflect.ValueOf(plain).Elem(), "", func(text reflect.Value, rule rule, path string) error {
		expanded, err := expandText(r, text.String(), false)
		if err == nil {
			text.SetString(expanded)
			err = rule.check(expanded, text.Type())
		}
		return at(path, err)
	})
	if err != nil {
		return nil, err
	}
	if plain.Hub == "" {
		plain.Hub = defaultHub
	}
	h.before = plain.When == "before"
	h.timeout = plain.Timeout.or(publishTimeout)
	h.body = plain.MaxBody.or(publishMaxBody)
	for _, status := range h.OnStatus {
		if err := checkStatus(status); err != nil {
			return nil, at("on_status", err)
		}
	}
	if h.before && len(h.OnStatus) > 0 {
		return nil, errors.New("on_status means nothing with when before: there is no status yet")
	}
	return plain, nil
}

// readTexts takes the texts apart.
func (h *PublishHandler) readTexts() (err error) {
	switch {
	case len(h.Channels) == 0:
		return errors.New("channels is missing: say where the event goes, with channel NAME")
	case h.Event == "":
		return errors.New("event is missing: say what the event is called")
	}
	data, wantsBody := h.Data, false
	if data == "" {
		data = "{}"
	}
	read := func(text, place string, mayBeJSON bool) (t eventText) {
		if err != nil {
			return t
		}
		if t, err = parseEventText(text, mayBeJSON); err == nil {
			err = t.names(func(name string) error {
				wantsBody = wantsBody || isBody(name)
				return h.checkName(name)
			})
		}
		err = at(place, err)
		return t
	}
	h.channels = make([]eventText, len(h.Channels))
	for i, name := range h.Channels {
		h.channels[i] = read(name, "channels."+strconv.Itoa(i), false)
	}
	h.event, h.data, h.socket = read(h.Event, "event", false), read(data, "data", true), read(h.SocketID, "socket_id", false)
	if !wantsBody {
		h.body = 0
	}
	return err
}

// checkName refuses placeholders that never have a value here.
func (h *PublishHandler) checkName(name string) error {
	rest, ofResponse := strings.CutPrefix(name, "http.response.")
	switch {
	case !ofResponse:
		return nil
	case h.before:
		return fmt.Errorf("{%s} has no value with when before: there is no response yet", name)
	case rest != "status" && !strings.HasPrefix(rest, "header."):
		return fmt.Errorf("{%s} is unknown here; of a response there are {http.response.status} and {http.response.header.*}", name)
	}
	return nil
}

// checkStatus refuses what is no status.
func checkStatus(text string) error {
	if class, ok := strings.CutSuffix(strings.ToLower(text), "xx"); ok && len(class) == 1 && class >= "1" && class <= "5" {
		return nil
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 100 && n <= 599 {
		return nil
	}
	return fmt.Errorf("%q is neither a status such as 201 nor a class such as 2xx", text)
}

// good reports whether an answer with a status is one to publish after. Zero is that of
// a handler that has written nothing, which is sent as 200.
func (h *PublishHandler) good(status int) bool {
	if status == 0 {
		status = http.StatusOK
	}
	if len(h.OnStatus) == 0 {
		return status/100 == 2
	}
	text := strconv.Itoa(status)
	return slices.Contains(h.OnStatus, text) || slices.ContainsFunc(h.OnStatus, func(s string) bool {
		return strings.EqualFold(s, text[:1]+"xx")
	})
}

// checkStatic checks names without placeholders against the rules of the app.
func (h *PublishHandler) checkStatic(rules protocol.ChannelRules) error {
	for i, name := range h.channels {
		if !name.static() {
			continue
		}
		if err := rules.Check(protocol.ParseChannel(name.parts[0].literal)); err != nil {
			return at("channels."+strconv.Itoa(i), err)
		}
	}
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*PublishHandler)(nil)
	_ caddyhttp.MiddlewareHandler = (*PublishHandler)(nil)
	_ caddyfile.Unmarshaler       = (*PublishHandler)(nil)
)
