package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// A status is asked for after ever longer pauses: calls of an address are counted.
const (
	firstPushPoll = 50 * time.Millisecond
	lastPushPoll  = time.Second
)

// push publishes a notification like a backend, and follows it to the provider. Without a
// device it is for a channel that nobody has subscribed to: it is accepted and planned, and
// nothing is sent.
func (w *walker) push(ctx context.Context) Step {
	if !w.Push {
		return skip("--push was not asked for")
	}
	target := map[string]string{"type": "channel", "channel": w.private()}
	if w.PushDevice != "" {
		if s := w.findDevice(ctx); s.Outcome != "" {
			return s
		}
		target = map[string]string{"type": "device", "device_id": w.PushDevice}
	}
	body, _ := json.Marshal(map[string]any{ // strings only
		"publishId": w.mark, "recipients": []any{target},
		"payload": map[string]string{"title": "caddy sockudo doctor", "body": "Push notifications arrive."},
	})
	a, err := w.call(ctx, http.MethodPost, "/push/publish", string(body))
	switch {
	case err != nil:
		return w.noAnswer(err)
	case a.status == http.StatusNotFound: // and events are published, so paths are not the fault
		return skip("push notifications are off")
	case a.status != http.StatusAccepted:
		return w.notPushed(a)
	}
	return w.pushState(ctx, w.followPush(ctx))
}

// findDevice says what is wrong with the device that is to be notified. It has no outcome
// if nothing is, or if push notifications are off, which the publish finds.
func (w *walker) findDevice(ctx context.Context) (s Step) {
	a, err := w.call(ctx, http.MethodGet, "/push/deviceRegistrations/"+url.PathEscape(w.PushDevice), "")
	if err != nil {
		return w.noAnswer(err)
	}
	var device struct {
		State    string `json:"pushState"`
		Failures int    `json:"pushFailureCount"`
	}
	switch {
	case a.status == http.StatusNotFound && !a.json(): // push notifications are off
	case a.status == http.StatusNotFound:
		s = fail("the app has no device "+w.PushDevice, "it was never registered here, or removed: by its owner, after a long silence, or because its provider no longer knows it",
			"Register it with POST /apps/"+w.App+"/push/deviceRegistrations, and name it with --push-device as it was registered there.")
	case a.status != http.StatusOK:
		s = w.notPushed(a)
	case json.Unmarshal([]byte(a.body), &device) == nil && device.State == "FAILED":
		s = fail(fmt.Sprintf("the device %s is FAILED after %d failures", w.PushDevice, device.Failures), "notifications to it have failed too often, and it gets none until it is registered again", "Have the client fetch a new address from its provider and register again.")
	}
	return s
}

// notPushed says what an answer other than 202 means.
func (w *walker) notPushed(a answer) Step {
	detail := "the HTTP API answers " + a.says()
	switch {
	case !a.json():
		return w.notOurs("POST /apps/"+w.App+"/push/publish", a)
	case a.status == http.StatusServiceUnavailable:
		return fail(detail, "push notifications are on, and this server does not take any now: no provider is enabled, the queue is out of order, or too much waits", "The answer says which. Write provider … into the push block, start the queue, or look at what waits: caddy sockudo push.")
	case a.status == http.StatusTooManyRequests:
		return fail(detail, "the app, or this address, has published too much", "Wait, or raise quotas of the push block and api of rate_limiter.")
	}
	return w.notPublished(a)
}

// pushed is what the status of a publish says.
type pushed struct {
	State    string `json:"state"`
	Reason   string `json:"errorReason"`
	Counters struct {
		Succeeded int64 `json:"succeeded"`
	} `json:"counters"`
}

// followPush waits until the notification has ended. The last quarter of the time is for
// asking what became of it.
func (w *walker) followPush(ctx context.Context) Step {
	patience := w.Timeout * 3 / 4
	polling, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	begin := time.Now()
	for pause := firstPushPoll; ; pause = min(2*pause, lastPushPoll) {
		a, err := w.call(ctx, http.MethodGet, "/push/publish/"+w.mark+"/status", "")
		if err != nil {
			return w.noAnswer(err)
		}
		if a.status == http.StatusNotFound {
			return fail("the status of an accepted publish is answered "+a.says(), "calls go to nodes that do not share a store of push notifications", "Give all nodes one push store and one queue: postgres, mysql, redis or another that they share.")
		}
		var p pushed
		if a.status != http.StatusOK || json.Unmarshal([]byte(a.body), &p) != nil {
			return w.notPushed(a)
		}
		switch p.State {
		case "queued", "planning", "dispatching":
			if !wait.For(polling, pause) {
				return w.pushWaits(ctx, &p, patience)
			}
		default:
			return w.pushEnded(ctx, &p, time.Since(begin))
		}
	}
}

// pushEnded is about a publish whose notifications have ended.
func (w *walker) pushEnded(ctx context.Context, p *pushed, took time.Duration) Step {
	switch {
	case p.Counters.Succeeded > 0:
		d := w.delivered(ctx)
		return ok(fmt.Sprintf("%s has accepted a notification for %s after %s", d.Provider, w.PushDevice, round(took)))
	case p.State == "succeeded" && w.PushDevice == "":
		return ok("a notification for nobody was accepted and planned; --push-device sends one")
	case p.State == "succeeded":
		return fail("the publish has ended with "+p.Reason, "the device is not notified now: it was removed or has failed, or its user is present", "Look at it with GET /apps/"+w.App+"/push/deviceRegistrations/"+w.PushDevice+".")
	}
	d := w.delivered(ctx)
	if d.Class == "" {
		return fail("the publish is "+p.State+": "+p.Reason, "the provider of the device is not enabled here, or the app may not send more", "Write the provider of the device into the push block, or raise quotas.")
	}
	return w.notDelivered(d, fmt.Sprintf("the notification is %s", d.Outcome))
}

// pushWaits is about a publish that has not ended in time.
func (w *walker) pushWaits(ctx context.Context, p *pushed, patience time.Duration) Step {
	if d := w.delivered(ctx); d.Class != "" {
		return w.notDelivered(d, fmt.Sprintf("attempt %d has failed, and the notification is tried again", d.Attempt))
	}
	return fail("the publish is accepted, and still "+p.State+" after "+patience.String(), "nobody works the queue of push notifications, much waits before this one, or the provider does not answer",
		"caddy sockudo push shows what waits at which stage, and whether a provider is held back.")
}

// delivery is what became of one notification.
type delivery struct {
	Provider string `json:"provider"`
	Outcome  string `json:"outcome"`
	Attempt  int    `json:"attempt"`
	Class    string `json:"failureClass"`
	Reason   string `json:"reason"`
}

// delivered is what became of the notification of the device, empty if nobody says so.
func (w *walker) delivered(ctx context.Context) (d delivery) {
	a, err := w.call(ctx, http.MethodGet, "/push/publish/"+w.mark+"/deliveries", "")
	var page struct {
		Items []delivery `json:"items"`
	}
	if err == nil && json.Unmarshal([]byte(a.body), &page) == nil && len(page.Items) > 0 {
		d = page.Items[0]
	}
	return d
}

// notDelivered names what a class of failures means (section 2).
func (w *walker) notDelivered(d delivery, what string) Step {
	detail := fmt.Sprintf("%s: %s says %s", what, d.Provider, d.Class)
	if d.Reason != "" {
		detail += ", " + d.Reason
	}
	switch d.Class {
	case "credential_auth":
		return fail(detail, "the provider refuses the credentials of this server", "Give the push block, or the app by POST /apps/"+w.App+"/push/credentials, the credentials of the project of the device's app; one that was revoked has to be replaced.")
	case "device_terminal":
		return fail(detail, "the provider does not know the address of the device: the app was removed from it, or has a newer address, or belongs to another project", "Have the client fetch a new address and register again, and check that the credentials are of the same project.")
	case "network_transport":
		return fail(detail, "this server does not reach the provider", "Let the server connect to the provider's hosts on port 443, through name service and firewall, and check endpoint and ca_file in the push block if it has them.")
	case "provider_transient", "provider_quota", "device_transient":
		return warn(detail, "the provider does not take the notification now; it is tried again", "Wait, and look at the status page of the provider. caddy sockudo push shows what waits.")
	case "caller_payload":
		return fail(detail, "the provider does not take what was sent", "Check the topic or bundle id, and the environment (sandbox or production), of the provider in the push block.")
	}
	return fail(detail, "the notification has not gone out", "The log of Caddy says what the provider has answered, and caddy sockudo push dead what can be sent again.")
}

// pushState adds what the admin API knows, where it can be asked. What it finds broken is
// said even if this one notification went well.
func (w *walker) pushState(ctx context.Context, s Step) Step {
	if w.PushState == nil {
		return s
	}
	detail, err := w.PushState(ctx)
	switch {
	case errors.Is(err, ErrNotConfigured):
	case err != nil && s.Outcome == OK:
		return warn(s.Detail+"; "+err.Error(), "something that push notifications need does not run", "caddy sockudo push shows what waits, and caddy sockudo push dead what has failed; the log of Caddy says what providers answer.")
	case err == nil:
		s.Detail += "; " + detail
	}
	return s
}
