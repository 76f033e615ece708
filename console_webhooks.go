package sockudo

import (
	"context"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/console"
	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/webhooks"
)

// WebhookView is how webhooks are doing, with what was sent last.
type WebhookView struct {
	// Report is that of the admin API. A link for one app gets no more of it than the endpoints of
	// the app: queues are those of all.
	Report webhooks.Report `json:"report"`
	// Attempts are the newest of this node, newest first.
	Attempts []webhooks.Attempt `json:"attempts"`
}

// consoleWebhooks says how webhooks are doing.
func consoleWebhooks(w http.ResponseWriter, r *http.Request, h *hub, who console.Claims) error {
	return h.withDelivery(r, func(ctx context.Context, d *webhooks.Delivery) error {
		report, err := d.Report(ctx)
		if err != nil {
			return err
		}
		if who.App != "" {
			report = webhooks.Report{Endpoints: slices.DeleteFunc(report.Endpoints, func(e webhooks.EndpointReport) bool { return e.App != who.App })}
		}
		return answer(w, http.StatusOK, WebhookView{report, h.board.Recent(who.App)})
	})
}

// consoleDeadWebhooks lists requests that have failed for good. The limit counts before
// those of other apps are left out.
func consoleDeadWebhooks(w http.ResponseWriter, r *http.Request, h *hub, who console.Claims) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	return h.withDelivery(r, func(ctx context.Context, d *webhooks.Delivery) error {
		letters, err := d.Letters(ctx, limit)
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, slices.DeleteFunc(letters, func(l webhooks.Letter) bool { return who.App != "" && l.App != who.App }))
	})
}

// withLetter calls f with a dead letter that the link shows.
func (h *hub) withLetter(r *http.Request, who console.Claims, f func(ctx context.Context, d *webhooks.Delivery, l webhooks.Letter) error) error {
	return h.withDelivery(r, func(ctx context.Context, d *webhooks.Delivery) error {
		letter, err := d.Letter(ctx, r.PathValue("key"))
		if err != nil {
			return err
		}
		if who.App != "" && letter.App != who.App {
			return missing("dead letter", letter.Key)
		}
		return f(ctx, d, letter)
	})
}

func consoleDeadWebhook(w http.ResponseWriter, r *http.Request, h *hub, who console.Claims) error {
	return h.withLetter(r, who, func(_ context.Context, _ *webhooks.Delivery, l webhooks.Letter) error {
		return answer(w, http.StatusOK, l)
	})
}

// consoleLanes says how providers of push notifications are doing.
func consoleLanes(w http.ResponseWriter, r *http.Request, h *hub, who console.Claims) error {
	return h.withPush(r, func(context.Context, *push.Pipeline) error {
		return answer(w, http.StatusOK, h.notices.Lanes(who.App))
	})
}

// consoleReplayWebhook sends a dead letter again.
func consoleReplayWebhook(w http.ResponseWriter, r *http.Request, h *hub, who console.Claims) error {
	return h.withLetter(r, who, func(ctx context.Context, d *webhooks.Delivery, l webhooks.Letter) error {
		if err := d.Replay(ctx, l.Key); err != nil {
			return err
		}
		h.logConsole(r, "a dead letter is sent again by the console", who.ID, zap.String("app", l.App), zap.String("letter", l.Key))
		return answer(w, http.StatusAccepted, WebhookCount{1})
	})
}
