package webhooks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// endpoint is a webhook of an app, ready for use.
type endpoint struct {
	*storage.Webhook
	// name tells the endpoints of an app apart without showing what they are. It
	// follows from the target, the events and the filter.
	name string
	// target is the same for endpoints that post to the same place.
	target string
	// definition is another one whenever anything of the webhook changes.
	definition string
	events     protocol.WebhookSet
	filter     filter
	// broken is why the endpoint cannot be used.
	broken error
}

// endpointsOf are the webhooks of an app, in its order.
func endpointsOf(app *storage.App) []*endpoint {
	all := make([]*endpoint, 0, len(app.Webhooks))
	seen := map[string]int{}
	for i := range app.Webhooks {
		w := &app.Webhooks[i]
		e := &endpoint{Webhook: w, events: protocol.WebhookSetOf(w.EventTypes...)}
		e.filter, e.broken = newFilter(&w.Filter)
		if w.URL == "" && w.Lambda == nil {
			e.broken = errors.New("it has neither an URL nor a function")
		}
		what := struct {
			URL    string
			Lambda *storage.Lambda
		}{w.URL, w.Lambda}
		if what.URL != "" {
			what.Lambda = nil // the URL wins
		}
		e.target = digest(app.ID, what)
		e.definition = digest(app.ID, w)
		e.name = digest(app.ID, what, w.EventTypes, w.Filter)
		// Two that are alike in all of this are told apart by their order.
		if seen[e.name]++; seen[e.name] > 1 {
			e.name = digest(e.name, seen[e.name])
		}
		all = append(all, e)
	}
	return all
}

// digest is a short name of what some values are.
func digest(values ...any) string {
	text, _ := json.Marshal(values) //nolint:errchkjson // the values are plain
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// wants reports whether an event of a channel is for the endpoint.
func (e *endpoint) wants(event protocol.WebhookSet, channel string) bool {
	return e.broken == nil && e.events&event != 0 && e.filter.match(channel)
}

// place is where the endpoint is, as far as it may be shown: paths and queries of
// URLs often hold a token.
func (e *endpoint) place() string {
	if e.URL == "" && e.Lambda != nil {
		return "lambda " + e.Lambda.FunctionName + " in " + e.Lambda.Region
	}
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" {
		return "an URL that cannot be read"
	}
	return u.Scheme + "://" + u.Host + "/…"
}

// roster are the endpoints of an app's record.
type roster struct {
	app       *storage.App
	endpoints []*endpoint
}

// find is the endpoint of a job: the one with its name, or else one that posts to
// the same place. It is nil when there is none any more.
func (r *roster) find(name, target string) *endpoint {
	var near *endpoint
	for _, e := range r.endpoints {
		switch {
		case e.name == name:
			return e
		case e.target == target && near == nil:
			near = e
		}
	}
	return near
}
