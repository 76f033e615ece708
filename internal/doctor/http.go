package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// maxSkew is how far the clocks may be from each other before the server refuses signed
// calls, and someSkew before it is worth a word.
const (
	maxSkew  = 600 * time.Second
	someSkew = 30 * time.Second
)

func (w *walker) newClient() *http.Client {
	return &http.Client{
		Timeout: w.Timeout,
		Transport: &http.Transport{
			TLSClientConfig: w.tlsConfig(), Proxy: http.ProxyFromEnvironment,
			TLSHandshakeTimeout: w.Timeout, ResponseHeaderTimeout: w.Timeout,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what came back for a request.
type answer struct {
	status int
	header http.Header
	body   string
}

// html reports whether the answer is a page.
func (a answer) html() bool {
	return strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.body)), "<!doctype html")
}

// json reports whether the answer is one of the HTTP API.
func (a answer) json() bool {
	return strings.HasPrefix(a.header.Get("Content-Type"), "application/json") && strings.HasPrefix(a.body, "{")
}

// says is the answer in short.
func (a answer) says() string {
	text := strings.Join(strings.Fields(a.body), " ")
	if a.html() {
		text = "a page of HTML"
	} else if len(text) > 200 {
		text = text[:200] + "..."
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, text))
}

// ask makes a call. One that changes nothing and gets no answer is made again: a reload of
// Caddy may reset a connection.
func (w *walker) ask(ctx context.Context, method, path, body string) (answer, error) {
	a, err := w.askOnce(ctx, method, path, body)
	if err != nil && method == http.MethodGet && ctx.Err() == nil {
		return w.askOnce(ctx, method, path, body)
	}
	return a, err
}

func (w *walker) askOnce(ctx context.Context, method, path, body string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.at(path), strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return answer{resp.StatusCode, resp.Header, strings.ToValidUTF8(string(text), "\uFFFD")}, err
}

// http asks /up and /live, which the server answers without any app.
func (w *walker) http(ctx context.Context) Step {
	up, err := w.ask(ctx, http.MethodGet, "/up", "")
	if err != nil {
		return w.noAnswer(err)
	}
	w.sawHTTP = true
	switch health := up.header.Get("X-Health-Check"); {
	case health == "" && up.status != http.StatusOK, health == "" && up.html(), health == "" && strings.TrimSpace(up.body) != "OK":
		return w.notOurs("/up", up)
	case up.status == http.StatusServiceUnavailable && health == "DRAINING":
		return fail("/up answers "+up.says(), "the server is draining: it admits nobody", "Wait until it has started again, or end the drain: caddy sockudo drain --end, or DELETE /sockudo/hubs/HUB/drain of the admin API.")
	case up.status != http.StatusOK:
		return fail("/up answers "+up.says(), "the server runs, and something that it depends on does not: its app manager, adapter or cache", "GET /sockudo/hubs/HUB/health/ready of the admin API says which one, and why.")
	case health == "DEGRADED":
		return warn("/up answers "+up.says(), "something that the server can do without does not run: its queue, or what keeps history or push notifications", "GET /sockudo/hubs/HUB/health/ready of the admin API says which one, and why.")
	}
	live, err := w.ask(ctx, http.MethodGet, "/live", "")
	if err != nil {
		return w.noAnswer(err)
	}
	if live.status != http.StatusOK || live.html() {
		return w.notOurs("/live", live)
	}
	return ok("/up and /live answer 200")
}

// noAnswer is about a request that ended without one.
func (w *walker) noAnswer(err error) Step {
	if whole, is := errors.AsType[*url.Error](err); is {
		err = whole.Err // the address has a signature in it
	}
	if strings.Contains(err.Error(), "HTTP response to HTTPS client") || strings.Contains(err.Error(), "malformed HTTP") {
		return fail(err.Error(), "the port speaks something else than "+w.base.Scheme, "Check the scheme and the port of the address.")
	}
	return fail(err.Error(), "the connection opens, and no answer comes", "Check that what listens there is Caddy, or a proxy that reaches it, and that it is not overloaded.")
}

// notOurs is about an answer that somebody else has given.
func (w *walker) notOurs(path string, a answer) Step {
	detail := path + " answers " + a.says()
	switch {
	case a.status >= 300 && a.status < 400:
		return fail(detail+" to "+a.header.Get("Location"), "the address redirects, and clients of WebSockets do not follow", "Use the address that it redirects to.")
	case a.status == http.StatusNotFound:
		return fail(detail, "the site has no sockudo directive that this path reaches", "Write sockudo { … } into the site of this name; if it is mounted below a path, add that to the address.")
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return fail(detail, "something before the server asks for credentials or blocks the request", "Let /app/, /apps/, /up and /live through basic_auth, forward_auth, the firewall for applications or the access rules of the proxy.")
	case a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout || a.status == http.StatusServiceUnavailable:
		return fail(detail, "the proxy in front does not reach the server", "Start Caddy, and check the address of the upstream in the proxy.")
	case a.status == http.StatusOK:
		return fail(detail, "another route answers first: a try_files, a rewrite or a site with a page for every path", "Put the static part of the site into handle { … }, so that rewrites leave the paths of the server alone.")
	default:
		return fail(detail, "somebody else answers", "Check which site of the configuration, or which proxy, serves this path.")
	}
}

// clock compares the clock of the server with that of this machine.
func (w *walker) clock(ctx context.Context) Step {
	begin := time.Now()
	a, err := w.ask(ctx, http.MethodGet, "/live", "")
	if err != nil {
		return w.noAnswer(err)
	}
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return skip("answers have no Date header")
	}
	middle := begin.Add(time.Since(begin) / 2)
	skew := date.Add(500 * time.Millisecond).Sub(middle).Round(time.Second)
	detail := fmt.Sprintf("the server's clock is %s from that of this machine", skew)
	const fix = "Run a time service (systemd-timesyncd, chrony) on the server, on this machine and on every backend that signs."
	switch {
	case skew.Abs() > maxSkew:
		return fail(detail, "signed calls are refused: a timestamp may be 600 seconds off", fix)
	case skew.Abs() > someSkew:
		return warn(detail, "capability tokens may be off by 30 seconds, signed calls by 600", fix)
	default:
		return ok(detail)
	}
}
