package rest

import (
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// corsPolicy is a configuration of cross-origin requests, prepared once for all
// calls under it.
type corsPolicy struct {
	source  realtime.CORSSettings
	origins protocol.Origins
	// wildcard is set when any origin is allowed.
	wildcard    bool
	credentials bool
	methods     string
	headers     string
}

// corsOf is the policy of the settings. It is compared by value: keeping a
// pointer would keep a whole configuration after its reload.
func (h *Handler) corsOf(s *realtime.Settings) *corsPolicy {
	if p := h.cors.Load(); p != nil && p.is(s.HTTP.CORS) {
		return p
	}
	p := newCORSPolicy(s)
	h.cors.Store(p)
	return p
}

func newCORSPolicy(s *realtime.Settings) *corsPolicy {
	source := s.HTTP.CORS
	p := &corsPolicy{
		source:   source,
		wildcard: len(source.Origins) == 0,
		methods:  strings.Join(source.Methods, ", "),
		headers:  strings.Join(source.Headers, ", "),
	}
	open := p.wildcard
	for _, pattern := range source.Origins {
		p.wildcard = p.wildcard || pattern == "*" || pattern == "any"
		open = open || p.wildcard || openEnded(pattern)
	}
	p.credentials = source.Credentials && !open
	var err error
	if p.origins, err = protocol.NewOrigins(source.Origins); err != nil {
		// Patterns are checked when a configuration is loaded; one that slipped
		// through must refuse rather than admit.
		s.Log.Error("CORS origins", zap.Error(err))
		p.origins, _ = protocol.NewOrigins([]string{"invalid://pattern"})
		p.wildcard, p.credentials = false, false
	}
	return p
}

// openEnded reports whether anybody can own a host that the pattern matches. A
// wildcard port after a host is not open.
func openEnded(pattern string) bool {
	if !strings.HasSuffix(pattern, "*") {
		return false
	}
	_, host, ok := strings.Cut(pattern, "://")
	host, port := strings.CutSuffix(host, ":*")
	return !ok || !port || host == ""
}

func (p *corsPolicy) is(c realtime.CORSSettings) bool {
	return p.source.Credentials == c.Credentials && slices.Equal(p.source.Origins, c.Origins) &&
		slices.Equal(p.source.Methods, c.Methods) && slices.Equal(p.source.Headers, c.Headers)
}

// apply sets the headers of an answer, and those of a preflight.
func (p *corsPolicy) apply(w http.ResponseWriter, r *http.Request, rt *route) {
	header := w.Header()
	if !p.wildcard {
		header.Add("Vary", "Origin")
	}
	origin := r.Header.Get("Origin")
	if origin == "" || !p.origins.Allow(origin) {
		return
	}
	if p.wildcard {
		header.Set("Access-Control-Allow-Origin", "*")
	} else {
		header.Set("Access-Control-Allow-Origin", origin)
	}
	if p.credentials {
		header.Set("Access-Control-Allow-Credentials", "true")
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return
	}
	methods := p.methods
	if methods == "" {
		methods = rt.allow
	}
	header.Set("Access-Control-Allow-Methods", methods)
	if p.headers != "" {
		header.Set("Access-Control-Allow-Headers", p.headers)
	}
}
