package rest

import (
	"net/http"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// from is a call of a browser page.
func from(method, origin string) request {
	return request{method: method, path: "/apps/app-id/channels", header: http.Header{"Origin": {origin}}}
}

func withCORS(c realtime.CORSSettings) func(*realtime.Settings) {
	return func(s *realtime.Settings) { s.HTTP.CORS = c }
}

func TestCORS(t *testing.T) {
	for name, c := range map[string]struct {
		cors               realtime.CORSSettings
		origin             string
		allow, credentials string
		vary               string
	}{
		"any":                     {realtime.CORSSettings{Origins: []string{"*"}}, "https://a.example", "*", "", ""},
		"empty list":              {realtime.CORSSettings{Credentials: true}, "https://a.example", "*", "", ""},
		"wildcard credentials":    {realtime.CORSSettings{Origins: []string{"*"}, Credentials: true}, "https://a.example", "*", "", ""},
		"any and one":             {realtime.CORSSettings{Origins: []string{"https://a.example", "any"}, Credentials: true}, "https://a.example", "*", "", ""},
		"listed":                  {realtime.CORSSettings{Origins: []string{"https://a.example"}, Credentials: true}, "https://a.example", "https://a.example", "true", "Origin"},
		"listed, no credentials":  {realtime.CORSSettings{Origins: []string{"a.example"}}, "https://a.example", "https://a.example", "", "Origin"},
		"subdomains":              {realtime.CORSSettings{Origins: []string{"*.a.example"}, Credentials: true}, "https://b.a.example", "https://b.a.example", "true", "Origin"},
		"open end":                {realtime.CORSSettings{Origins: []string{"https://a.*"}, Credentials: true}, "https://a.evil.example", "https://a.evil.example", "", "Origin"},
		"any host of a scheme":    {realtime.CORSSettings{Origins: []string{"https://*"}, Credentials: true}, "https://evil.example", "https://evil.example", "", "Origin"},
		"any port of a host":      {realtime.CORSSettings{Origins: []string{"http://localhost:*"}, Credentials: true}, "http://localhost:3000", "http://localhost:3000", "true", "Origin"},
		"not listed":              {realtime.CORSSettings{Origins: []string{"https://a.example"}, Credentials: true}, "https://b.example", "", "", "Origin"},
		"null is not listed":      {realtime.CORSSettings{Origins: []string{"https://a.example"}}, "null", "", "", "Origin"},
		"pattern that is invalid": {realtime.CORSSettings{Origins: []string{"*", "a*b*"}, Credentials: true}, "https://a.example", "", "", "Origin"},
	} {
		n := newNode(t, testApp(), withCORS(c.cors))
		got := n.do(from("GET", c.origin))
		got.is(t, 200, `{"channels":{}}`)
		if h := got.header; h.Get("Access-Control-Allow-Origin") != c.allow || h.Get("Access-Control-Allow-Credentials") != c.credentials || h.Get("Vary") != c.vary {
			t.Errorf("%s: %v", name, h)
		}
	}
}

func TestCORSPreflight(t *testing.T) {
	n := newNode(t, testApp(), withCORS(realtime.CORSSettings{Origins: []string{"https://a.example"}, Methods: []string{"GET", "POST"}, Headers: []string{"Content-Type", "X-A"}}), limited(1))
	n.clientIP.Store("203.0.113.7")
	preflight := func(origin string) http.Header {
		r := plain("OPTIONS", "/apps/app-id/events")
		r.header = http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}}
		got := n.do(r)
		got.is(t, 204, "")
		return got.header
	}
	for range 3 { // neither signed nor limited
		h := preflight("https://a.example")
		if h.Get("Access-Control-Allow-Origin") != "https://a.example" || h.Get("Access-Control-Allow-Methods") != "GET, POST" || h.Get("Access-Control-Allow-Headers") != "Content-Type, X-A" {
			t.Errorf("preflight: %v", h)
		}
	}
	if h := preflight("https://b.example"); h.Get("Access-Control-Allow-Origin")+h.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("preflight of another origin: %v", h)
	}
	// Without a configured list of methods an endpoint names its own.
	bare := newNode(t, testApp(), withCORS(realtime.CORSSettings{}))
	r := plain("OPTIONS", "/apps/app-id/events")
	r.header = http.Header{"Origin": {"https://x.example"}, "Access-Control-Request-Method": {"POST"}}
	if h := bare.do(r).header; h.Get("Access-Control-Allow-Methods") != "POST, OPTIONS" || h.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("no methods configured: %v", h)
	}
	// A refusal tells the page why, too.
	if h := bare.do(request{method: "GET", path: "/apps/app-id/channels", key: "k", secret: "s", header: http.Header{"Origin": {"https://x.example"}}}).header; h.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("a refusal: %v", h)
	}
}

// The policy is prepared once, and again after a reload.
func TestCORSReload(t *testing.T) {
	n := newNode(t, testApp())
	n.do(from("GET", "https://a.example"))
	first := n.handler.cors.Load()
	n.do(from("GET", "https://a.example"))
	if first == nil || n.handler.cors.Load() != first {
		t.Error("prepared again for the same settings")
	}
	settings := realtime.DefaultSettings()
	settings.Drivers = n.drivers
	settings.HTTP.CORS.Origins = []string{"https://b.example"}
	n.hub.Attach(2, &settings)
	if err := n.hub.Start(2); err != nil {
		t.Fatal(err)
	}
	n.hub.Activate(2)
	if h := n.do(from("GET", "https://a.example")).header; h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("after the reload: %v", h)
	}
	if h := n.do(from("GET", "https://b.example")).header; h.Get("Access-Control-Allow-Origin") != "https://b.example" {
		t.Errorf("after the reload: %v", h)
	}
}
