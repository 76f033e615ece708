package docs

import (
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestGuideJavaScript puts the guide together: its routes behind its Caddyfile, its
// components in a browser.
func TestGuideJavaScript(t *testing.T) {
	g := unpack(t, "docs/guide-javascript.md", nil)
	s := start(t, g.dir, g.file(t, "Caddyfile"))
	g.put(t, s)

	var environment, defines []string
	for _, v := range variables(s.here(g.file(t, ".env.local"))) {
		environment = append(environment, v[0]+"="+v[1])
		if strings.HasPrefix(v[0], "NEXT_PUBLIC_") {
			defines = append(defines, "process.env."+v[0]+"="+strconv.Quote(v[1]))
		}
	}
	for _, v := range variables(g.file(t, ".env")) {
		defines = append(defines, "import.meta.env."+v[0]+"="+strconv.Quote(v[1]))
	}
	g.files["next.jsx"] = "import { createRoot } from 'react-dom/client'\nimport Page from './app/page.jsx'\n" +
		"createRoot(document.getElementById('root')).render(<Page />)\n"
	g.files["vite.js"] = "import { pusher } from './src/realtime.js'\npusher.subscribe('private-user-7').bind('order.created', (order) => {\n" +
		"const line = document.createElement('li')\nline.textContent = order.id\ndocument.body.append(line)\n})\n"
	for _, name := range []string{"next", "vite"} {
		g.files["public/"+name+".html"] = "<!doctype html>\n<body><div id=\"root\"></div><script src=\"/" + name + ".js\"></script>\n"
	}
	g.put(t, s)
	g.bundle(t, "next.jsx", "public/next.js", defines...)
	g.bundle(t, "vite.js", "public/vite.js", defines...)
	routes := map[string]string{}
	for name := range g.files {
		if path, is := strings.CutSuffix(name, "/route.js"); is {
			routes[strings.TrimPrefix(path, "app")] = filepath.ToSlash(name)
		}
	}
	g.serve(t, s.backend, routes, environment...)

	site := s.here("http://localhost:6001")
	for name, line := range map[string]string{"next": "Order 1", "vite": "1"} {
		p := open(t, site+"/"+name+".html", [2]string{"user", "7"})
		p.subscribed("private-user-7")
		if status, body := post(t, site+"/api/orders", `{"id":1}`, "user=7"); status != http.StatusCreated {
			t.Fatalf("the route answers %d %s", status, body)
		}
		if got := p.line(); got != line {
			t.Errorf("%s shows %q", name, got)
		}
	}
	// Who may not listen is refused.
	form := url.Values{"socket_id": {"1.2"}, "channel_name": {"private-user-8"}}.Encode()
	for cookie, channel := range map[string]string{"user=7": "private-user-8", "": "private-user-7"} {
		form := strings.Replace(form, "private-user-8", channel, 1)
		if status, _ := post(t, site+"/api/realtime/auth", form, cookie); status != http.StatusForbidden {
			t.Errorf("%q may listen to %s: %d", cookie, channel, status)
		}
	}
	if status, body := post(t, site+"/api/realtime/auth", strings.Replace(form, "private-user-8", "presence-lobby", 1), "user=7"); status != http.StatusOK || !strings.Contains(body, `channel_data`) {
		t.Errorf("the lobby answers %d %s", status, body)
	}
}

// post sends a body in the name of a user.
func post(t *testing.T, to, body, cookie string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if strings.HasPrefix(body, "{") {
		req.Header.Set("Content-Type", "application/json")
	}
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}
