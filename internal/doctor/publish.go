package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// slow is when an event that arrives is late.
const slow = time.Second

// call makes a signed call of the HTTP API of the app.
func (w *walker) call(ctx context.Context, method, path, body string) (answer, error) {
	path = "/apps/" + url.PathEscape(w.App) + path
	query := protocol.SignRequest(w.Key, w.Secret, method, w.base.EscapedPath()+path, nil, []byte(body), time.Now())
	return w.ask(ctx, method, path+"?"+query, body)
}

// publishEvent publishes an event.
func (w *walker) publishEvent(ctx context.Context, name, data string) (answer, error) {
	return w.call(ctx, http.MethodPost, "/events", w.event(name, data))
}

// event is a body with an event.
func (w *walker) event(name, data string) string {
	text, _ := json.Marshal(map[string]string{"name": name, "channel": w.private(), "data": data}) // strings only
	return string(text)
}

// publish sends an event by the HTTP API.
func (w *walker) publish(ctx context.Context) Step {
	switch {
	case w.Key == "":
		return skip("there is no key: name the app with --key or --app")
	case w.Secret == "":
		return skip(noSecret)
	case w.App == "":
		return skip("there is no id of the app: name it with --app")
	}
	a, err := w.publishEvent(ctx, "doctor-first", "first")
	if err != nil {
		return w.noAnswer(err)
	}
	if a.status != http.StatusOK {
		return w.notPublished(a)
	}
	return ok("the HTTP API accepts an event")
}

// notPublished says what an answer other than 200 means.
func (w *walker) notPublished(a answer) Step {
	detail := "the HTTP API answers " + a.says()
	const clocks = "Run a time service on the server and on every machine that signs."
	switch {
	case !a.json():
		return w.notOurs("POST /apps/"+w.App+"/events", a)
	case a.status == http.StatusUnauthorized && strings.Contains(a.body, "Timestamp"):
		return fail(detail, "the clocks of this machine and of the server are more than 600 seconds from each other", clocks)
	case a.status == http.StatusUnauthorized && strings.Contains(a.body, "body_md5"):
		return fail(detail, "something between changes the body of requests", "Let the proxy in front pass bodies on as they are.")
	case a.status == http.StatusUnauthorized && strings.Contains(a.body, "app_id"):
		return fail(detail, "the key belongs to another app than "+w.App, "Give --app and --key of one app; ids and keys are listed by GET /sockudo/hubs/HUB/apps of the admin API.")
	case a.status == http.StatusUnauthorized && strings.Contains(a.body, "Invalid app key"):
		return fail(detail, "the server has no app with the key "+w.Key, "Correct the key, or write the app into the configuration.")
	case a.status == http.StatusUnauthorized:
		return fail(detail, "the secret is not that of the app, or something between changes the path of requests", "Take the secret from the configuration of this server. A proxy that takes a prefix off the path must not: the path is signed.")
	case a.status == http.StatusForbidden:
		return fail(detail, "the app is disabled", "Take enabled off out of the app.")
	case a.status == http.StatusTooManyRequests:
		return fail(detail, "this address or the app has called too often", "Wait, or raise api of rate_limiter and max_backend_events_per_second of the app.")
	case a.status == http.StatusRequestEntityTooLarge:
		return fail(detail, "the event is larger than the app may publish", "Raise max_event_payload_in_kb of the app, or max_payload in event_limits.")
	case a.status >= 500:
		return fail(detail, "something that publishing depends on does not run: the adapter, the cache or the history", "GET /sockudo/hubs/HUB/health/ready of the admin API says which one; the log of Caddy says why.")
	default:
		return fail(detail, "the event is refused", "The answer says which rule it breaks; the rules are those of the app.")
	}
}

// delivery waits for the event that was published, and for another one that measures.
func (w *walker) delivery(ctx context.Context) Step {
	if _, err := w.first.await(ctx, named("doctor-first", w.private())); err != nil {
		return fail(err.Error(), "the HTTP API accepts events, and they do not reach the sockets: calls and sockets go to nodes that do not know each other, or to different hubs",
			"Join the nodes by an adapter (redis, redis_cluster or nats), or let one hub serve both.")
	}
	begin := time.Now()
	a, err := w.publishEvent(ctx, "doctor-second", "second")
	if err != nil {
		return w.noAnswer(err)
	}
	if a.status != http.StatusOK {
		return w.notPublished(a)
	}
	f, err := w.first.await(ctx, named("doctor-second", w.private()))
	if err != nil {
		return w.lost(err, "a second event does not arrive")
	}
	took := f.at.Sub(begin)
	detail := fmt.Sprintf("published and received in %s", round(took))
	if took > slow {
		return warn(detail, "something between keeps back what the server sends", "Switch buffering of responses off in the proxy in front (proxy_buffering off in nginx), and compression of WebSockets in it.")
	}
	return ok(detail)
}

// payload sends an event as large as they may be.
func (w *walker) payload(ctx context.Context) Step {
	a, err := w.publishEvent(ctx, "doctor-large", strings.Repeat("x", w.Payload))
	if err != nil {
		return fail(w.noAnswer(err).Detail, "a large body does not get through", "Raise the limit of bodies in the proxy in front (client_max_body_size in nginx).")
	}
	switch {
	case a.status == http.StatusRequestEntityTooLarge && !a.json():
		return fail("a body of "+fmt.Sprint(w.Payload)+" bytes is answered "+a.says(), "a proxy in front, or request_body of the site, admits smaller bodies than the server", "Raise the limit there: client_max_body_size in nginx, max_size of request_body in Caddy.")
	case a.status != http.StatusOK:
		return w.notPublished(a)
	}
	f, err := w.first.await(ctx, named("doctor-large", w.private()))
	switch {
	case err != nil:
		return fail(err.Error(), "small events arrive, and large ones do not: something between limits the messages of WebSockets", "Raise the limit of messages there, and buffers of max_bytes in websocket of the server.")
	case len(f.text()) != w.Payload:
		return fail(fmt.Sprintf("of %d bytes %d arrive", w.Payload, len(f.text())), "something between changes messages", "Let the proxy in front pass WebSockets through.")
	}
	return ok(fmt.Sprintf("%d bytes arrive", w.Payload))
}
