package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// upgrade asks for a WebSocket.
func (w *walker) upgrade(ctx context.Context) Step {
	if w.Key == "" {
		return skip("there is no key: name the app with --key or --app")
	}
	s, a, err := w.dial(ctx)
	if err != nil && a == nil && ctx.Err() == nil {
		s, a, err = w.dial(ctx) // a server that is being reloaded resets what has just come
	}
	if err == nil {
		w.first = s
		return ok("101, the connection is a WebSocket")
	}
	switch {
	case a != nil:
		return w.notUpgraded(*a)
	case w.sawHTTP:
		return fail(err.Error(), "something between ends connections that ask for an upgrade: a proxy for TCP, a firewall for applications or a virus scanner",
			"Let WebSockets through there, or go around it: a proxy must pass Upgrade and Connection on and keep the connection open.")
	default:
		return w.noAnswer(err)
	}
}

// proxyFix says how proxies pass an upgrade on.
const proxyFix = "The proxy must speak HTTP/1.1 to the server and pass Upgrade and Connection on: in nginx proxy_http_version 1.1 with proxy_set_header Upgrade $http_upgrade and Connection \"upgrade\"; in Apache mod_proxy_wstunnel; in a load balancer a listener for HTTP with WebSockets on."

// notUpgraded says what an answer other than 101 means.
func (w *walker) notUpgraded(a answer) Step {
	detail := "the upgrade is answered " + a.says()
	switch {
	case a.status == http.StatusBadRequest && strings.Contains(a.body, "not a WebSocket upgrade request"):
		return fail(detail, "a proxy in front has taken the headers of the upgrade away", proxyFix)
	case a.status == http.StatusUpgradeRequired || a.status == http.StatusSwitchingProtocols:
		return fail(detail, "a proxy in front speaks another version of HTTP to the server, and changes the upgrade", proxyFix)
	case a.status == http.StatusTooManyRequests:
		return fail(detail, "this address has opened too many sockets", "Wait, or raise upgrades and connection_per_ip of rate_limiter. If all clients come through one proxy, name it in trusted_proxies, so that each counts by itself.")
	case a.status == http.StatusServiceUnavailable && strings.Contains(a.body, "Server shutting down"):
		return fail(detail, "the server is draining: it admits nobody", "Wait until it has started again, or end the drain.")
	case a.status == http.StatusOK && !a.html():
		return fail(detail, "another route answers the path of sockets, or a proxy in front has made an ordinary request of the upgrade", "Let sockudo stand before other routes of the site, and put those into handle { … }. "+proxyFix)
	case a.status == http.StatusMethodNotAllowed:
		return fail(detail, "a proxy in front changes the request", proxyFix)
	default:
		return w.notOurs("/app/KEY", a)
	}
}

// connect waits for the greeting.
func (w *walker) connect(ctx context.Context) Step {
	begin := time.Now()
	f, err := w.first.await(ctx, named("pusher:connection_established", ""))
	if err != nil {
		return w.notEstablished(err)
	}
	var greeting struct {
		SocketID string  `json:"socket_id"`
		Timeout  float64 `json:"activity_timeout"`
	}
	if json.Unmarshal([]byte(f.text()), &greeting) != nil || greeting.SocketID == "" {
		return fail("the first frame is "+f.text(), "it is no server of the Pusher protocol that answers", "Check which site of the configuration serves /app/.")
	}
	w.first.id = greeting.SocketID
	return ok(fmt.Sprintf("socket %s, in %s", greeting.SocketID, round(time.Since(begin))))
}

func (w *walker) notEstablished(err error) Step {
	refused, is := errors.AsType[*refusal](err)
	if !is {
		return fail(err.Error(), "the connection opens, and nothing comes: a proxy in front keeps back what the server sends, or closes it", "Switch buffering of responses off in the proxy, and let it keep WebSockets open.")
	}
	detail := refused.Error()
	switch refused.code {
	case 4001:
		return fail(detail, "the server has no app with the key "+w.Key, "Correct the key, or write the app into the configuration; GET /sockudo/hubs/HUB/apps of the admin API lists those there are.")
	case 4003:
		return fail(detail, "the app is disabled", "Take enabled off out of the app.")
	case 4004:
		return fail(detail, "the app has as many sockets as it may have", "Raise max_connections of the app.")
	case 4009:
		if w.Origin == "" {
			return fail(detail, "the app admits some origins only, and this client has none, as apps on phones have none", "Try with --origin https://YOUR-SITE; if clients without an origin are meant to come in, leave allowed_origins out.")
		}
		return fail(detail, "the app does not admit the origin "+w.Origin, "Add it to allowed_origins of the app, as scheme://host[:port].")
	case 4100:
		return fail(detail, "the node is full, or its app store is out of reach", "Raise max_connections, add a node, or look after the store: GET /sockudo/hubs/HUB/health/ready of the admin API.")
	case 4200:
		return fail(detail, "the server is shutting down", "Try again when it has started.")
	default:
		return fail(detail, "the server refuses the connection", "The log of Caddy says more, at level DEBUG.")
	}
}

// ping asks for a pong.
func (w *walker) ping(ctx context.Context) Step {
	begin := time.Now()
	err := w.first.send("pusher:ping", "", struct{}{})
	if err == nil {
		_, err = w.first.await(ctx, named("pusher:pong", ""))
	}
	if err != nil {
		return w.lost(err, "what the client sends does not arrive, or the answer does not come back")
	}
	return ok("pong in " + round(time.Since(begin)).String())
}

// lost is about a socket on which something did not come.
func (w *walker) lost(err error, cause string) Step {
	return fail(err.Error(), cause, "Look for a proxy in front that buffers, inspects or limits WebSockets, and let it pass them through.")
}

// idle says nothing for a while. Pings of the server are answered.
func (w *walker) idle(ctx context.Context) Step {
	if w.Idle <= 0 {
		return skip("--idle was not asked for")
	}
	begin := time.Now()
	silent, cancel := context.WithTimeout(ctx, w.Idle)
	defer cancel()
	_, err := w.first.await(silent, func(frame) bool { return false })
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return w.closedIdle(err, time.Since(begin))
	}
	if s := w.ping(ctx); s.Outcome != OK {
		return w.closedIdle(errors.New(s.Detail), time.Since(begin))
	}
	return ok("open after " + w.Idle.String())
}

func (w *walker) closedIdle(err error, after time.Duration) Step {
	return fail(fmt.Sprintf("closed after %s: %v", round(after), err), "something between closes connections on which nothing is said",
		"Raise its timeout above the activity_timeout of the server (proxy_read_timeout in nginx, the idle timeout of a load balancer), or lower activity_timeout below "+round(after).String()+".")
}
