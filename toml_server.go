package sockudo

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"path"
	"strconv"
	"strings"
)

// fileServer is what a file says that is Caddy's.
type fileServer struct {
	cert, key string // of TLS, empty without it
	httpPort  int    // redirects to TLS, zero for none
	socket    string // a network address of Caddy, empty without one
	grace     int    // in seconds
	proxies   []string
	// colors and targets are those of the log, nil if the file does not say.
	colors, targets *bool
}

// readServer takes from the file what is Caddy's.
func (r *fileReader) readServer(root *fileNode, f *sockudoFile) {
	s := &f.server
	f.Host = r.text(root.take("host"), "0.0.0.0")
	f.Port = r.number(root.take("port"), 6001, 1, 65535)
	f.Debug = r.boolean(root.take("debug"), false)
	s.grace = r.number(root.take("shutdown_grace_period"), 10, 0, 1<<31-1)
	r.readTLS(root.take("ssl"), s)
	r.readSocket(root.take("unix_socket"), s)
	r.readProxies(root, s)
	r.readMetrics(root, f)
	if l := root.take("logging"); r.isTable(l) {
		for key, to := range map[string]**bool{"colors_enabled": &s.colors, "include_target": &s.targets} {
			if n := l.get(key); n != nil {
				on := r.boolean(n, true)
				*to = &on
			}
		}
		r.onlyKeys(l, "colors_enabled include_target")
	}
}

func (r *fileReader) readTLS(n *fileNode, s *fileServer) {
	if !r.isTable(n) {
		return
	}
	wrapped := &fileNode{value: fileTable{"ssl": n}}
	for _, k := range idleKeys {
		if strings.HasPrefix(k.path, "ssl.") {
			r.readIdleKey(wrapped, k, strings.Split(k.path, "."))
		}
	}
	r.onlyKeys(n, "enabled cert_path key_path redirect_http http_port")
	on := r.boolean(n.get("enabled"), false)
	cert, key := r.text(n.get("cert_path"), ""), r.text(n.get("key_path"), "")
	port := r.number(n.get("http_port"), 80, 1, 65535)
	redirect := r.boolean(n.get("redirect_http"), false)
	switch {
	case !on:
		r.note(n, "it is off")
	case cert == "" || key == "":
		r.failf(n, "needs cert_path and key_path, the files of a certificate and its key")
	default:
		s.cert, s.key = cert, key
		if redirect {
			s.httpPort = port
		}
	}
}

func (r *fileReader) readSocket(n *fileNode, s *fileServer) {
	if !r.isTable(n) {
		return
	}
	r.onlyKeys(n, "enabled path permission_mode")
	where, mode := r.text(n.get("path"), "/var/run/sockudo/sockudo.sock"), r.text(n.get("permission_mode"), "660")
	if !r.boolean(n.get("enabled"), false) {
		r.note(n, "it is off")
		return
	}
	if !path.IsAbs(where) || path.Clean(where) != where || strings.ContainsAny(where, "|{}") {
		r.refuse(n.get("path"), false, errors.New("must be an absolute path without .. in it"))
		return
	}
	bits, err := strconv.ParseUint(mode, 8, 32)
	if err != nil || bits > 0o777 || bits&0o200 == 0 {
		r.refuse(n.get("permission_mode"), false, errors.New("must be a mode such as 660, at most 777, that lets the owner write"))
		return
	}
	s.socket = fmt.Sprintf("unix/%s|%04o", where, bits)
}

// readProxies reads which proxies may say who a client is. Caddy knows them by their
// addresses, and cannot count them.
func (r *fileReader) readProxies(root *fileNode, s *fileServer) {
	if n := root.take("trusted_proxies"); n != nil {
		list, ok := n.value.([]*fileNode)
		if !ok || len(list) == 0 {
			r.refuse(n, false, errors.New(`must be a list of addresses such as ["10.0.0.0/8"]`))
		}
		for _, one := range list {
			text := r.text(one, "")
			_, _, err := net.ParseCIDR(text)
			switch {
			case text == "private_ranges":
				s.proxies = append(s.proxies, "192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8", "127.0.0.1/8", "fd00::/8", "::1")
			case err == nil || net.ParseIP(text) != nil:
				s.proxies = append(s.proxies, text)
			default:
				r.refuse(one, false, errors.New("must be an address, a range such as 10.0.0.0/8, or private_ranges"))
			}
		}
	}
	for _, rate := range []string{"api_rate_limit", "websocket_rate_limit"} {
		n := root.get("rate_limiter", rate, "trust_hops")
		if n == nil {
			continue
		}
		root.take("rate_limiter", rate, "trust_hops")
		if hops := r.number(n, 0, 0, 1<<31-1); hops > 0 && len(s.proxies) == 0 {
			r.refuse(n, false, errors.New(`proxies are known to Caddy by their addresses: write trusted_proxies = ["10.0.0.0/8"] with those of your proxies, or ["private_ranges"], at the top of the file`))
		} else if hops > 0 {
			r.note(n, "trusted_proxies counts")
		} else {
			r.note(n, "no proxy is trusted unless trusted_proxies says so")
		}
	}
}

// readMetrics takes where metrics are served. What they are is the hub's.
func (r *fileReader) readMetrics(root *fileNode, f *sockudoFile) {
	n := root.get("metrics")
	if !r.isTable(n) {
		return
	}
	host := r.text(n.take("host"), "0.0.0.0")
	port := r.number(n.take("port"), 9601, 1, 65535)
	if p := n.take("prometheus"); r.isTable(p) {
		r.put(n, p.take("prefix"), "prefix")
		r.onlyKeys(p, "")
	}
	if !r.boolean(n.get("enabled"), true) {
		return
	}
	f.Metrics = &struct {
		Host string
		Port int
	}{host, port}
	if port == f.Port && host == f.Host && f.server.socket == "" {
		r.failf(n, "and the server have the same address, %s", net.JoinHostPort(host, strconv.Itoa(port)))
	}
}

// caddy is the configuration of Caddy.
func (f *sockudoFile) caddy() map[string]any {
	s := &f.server
	handler := map[string]any{"handler": "sockudo"}
	maps.Copy(handler, f.Hub)
	if len(f.Hub) == 0 {
		handler["env_overrides"] = true // an object that says nothing would refer to another one
	}
	main := serverOf(net.JoinHostPort(f.Host, strconv.Itoa(f.Port)), handler, map[string]any{"handler": "static_response", "status_code": 404})
	if s.socket != "" {
		main["listen"] = []any{s.socket}
	}
	if len(s.proxies) > 0 {
		main["trusted_proxies"] = map[string]any{"source": "static", "ranges": s.proxies}
		main["trusted_proxies_strict"] = 1
	}
	servers := map[string]any{"sockudo": main}
	apps := map[string]any{"http": map[string]any{"grace_period": strconv.Itoa(s.grace) + "s", "servers": servers}}
	if s.cert != "" {
		const tag = "sockudo"
		main["tls_connection_policies"] = []any{map[string]any{"certificate_selection": map[string]any{"any_tag": []any{tag}}}}
		apps["tls"] = map[string]any{"certificates": map[string]any{
			"load_files": []any{map[string]any{"certificate": s.cert, "key": s.key, "tags": []any{tag}}},
		}}
	}
	if s.httpPort != 0 {
		servers["redirect"] = f.redirect()
	}
	if m := f.Metrics; m != nil {
		servers["metrics"] = f.metrics(net.JoinHostPort(m.Host, strconv.Itoa(m.Port)))
	}
	config := map[string]any{"apps": apps}
	if log := f.log(); len(log) > 0 {
		config["logging"] = map[string]any{"logs": map[string]any{"default": log}}
	}
	return config
}

// serverOf is a server with one route and no certificate of its own.
func serverOf(listen string, handlers ...any) map[string]any {
	return map[string]any{
		"listen":          []any{listen},
		"routes":          []any{map[string]any{"handle": handlers}},
		"automatic_https": map[string]any{"disable": true},
	}
}

func (f *sockudoFile) redirect() map[string]any {
	to := "https://{http.request.host}"
	if f.Port != 443 {
		to += ":" + strconv.Itoa(f.Port)
	}
	return serverOf(net.JoinHostPort(f.Host, strconv.Itoa(f.server.httpPort)), map[string]any{
		"handler": "static_response", "status_code": 308, "headers": map[string]any{"Location": []any{to + "{http.request.uri}"}},
	})
}

func (f *sockudoFile) metrics(listen string) map[string]any {
	server := serverOf(listen, map[string]any{"handler": "metrics", "disable_openmetrics": true})
	route := server["routes"].([]any)[0].(map[string]any)
	route["match"] = []any{map[string]any{"path": []any{"/metrics"}}}
	return server
}

// log is the default log. Text with or without colors is what Sockudo writes; without a
// word about it, the log is Caddy's.
func (f *sockudoFile) log() map[string]any {
	log := map[string]any{}
	if f.Debug {
		log["level"] = "DEBUG"
	}
	encoder := map[string]any{"format": "console"}
	if on := f.server.colors; on != nil {
		encoder["level_format"] = map[bool]string{true: "color", false: "upper"}[*on]
	}
	if on := f.server.targets; on != nil && !*on {
		encoder["name_key"] = ""
	}
	if len(encoder) > 1 {
		log["encoder"] = encoder
	}
	return log
}
