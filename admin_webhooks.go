package sockudo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/webhooks"
)

// webhookTimeout bounds what the queue may take for a call of the admin API.
const webhookTimeout = 30 * time.Second

// errNoWebhooks is the answer where no webhooks are sent.
var errNoWebhooks = errors.New("this hub sends no webhooks: no app of its configuration has any, or they are off")

// withDelivery calls f with what sends the hub's webhooks.
func (h *hub) withDelivery(r *http.Request, f func(ctx context.Context, d *webhooks.Delivery) error) error {
	live, err := h.Live()
	if err != nil {
		return unavailable(err)
	}
	defer live.Release() // which keeps the queue open
	d, _ := live.Settings.Webhooks.Sink.(*webhooks.Delivery)
	if d == nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errNoWebhooks}
	}
	ctx, cancel := context.WithTimeout(r.Context(), webhookTimeout)
	defer cancel()
	err = f(ctx, d)
	if _, told := errors.AsType[caddy.APIError](err); told || err == nil {
		return err
	}
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
	case errors.Is(err, webhooks.ErrNoLetters):
		return caddy.APIError{HTTPStatus: http.StatusNotImplemented, Err: err}
	}
	return unavailable(err)
}

// adminWebhooks says how webhooks are doing.
func adminWebhooks(w http.ResponseWriter, r *http.Request, h *hub) error {
	return h.withDelivery(r, func(ctx context.Context, d *webhooks.Delivery) error {
		report, err := d.Report(ctx)
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, report)
	})
}

// adminDeadWebhooks lists requests that have failed for good.
func adminDeadWebhooks(w http.ResponseWriter, r *http.Request, h *hub) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	return h.withDelivery(r, func(ctx context.Context, d *webhooks.Delivery) error {
		letters, err := d.Letters(ctx, limit)
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, letters)
	})
}

// adminDeadWebhook shows one of them, with its events.
func adminDeadWebhook(w http.ResponseWriter, r *http.Request, h *hub) error {
	return h.withDelivery(r, func(ctx context.Context, d *webhooks.Delivery) error {
		letter, err := d.Letter(ctx, r.PathValue("key"))
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, letter)
	})
}

// adminReplayWebhook sends one of them again.
func adminReplayWebhook(w http.ResponseWriter, r *http.Request, h *hub) error {
	return h.withDelivery(r, func(ctx context.Context, d *webhooks.Delivery) error {
		if err := d.Replay(ctx, r.PathValue("key")); err != nil {
			return err
		}
		return answer(w, http.StatusAccepted, WebhookCount{1})
	})
}

// adminReplayWebhooks sends all of them again.
func adminReplayWebhooks(w http.ResponseWriter, r *http.Request, h *hub) error {
	return h.withDelivery(r, func(ctx context.Context, d *webhooks.Delivery) error {
		n, err := d.ReplayAll(ctx)
		if err != nil {
			return err
		}
		return answer(w, http.StatusAccepted, WebhookCount{n})
	})
}

// adminPurgeWebhooks throws all of them away.
func adminPurgeWebhooks(w http.ResponseWriter, r *http.Request, h *hub) error {
	return h.withDelivery(r, func(ctx context.Context, d *webhooks.Delivery) error {
		n, err := d.Purge(ctx)
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, WebhookCount{n})
	})
}

// WebhookCount is how many dead letters a call has concerned.
type WebhookCount struct {
	// Letters is their number.
	Letters int `json:"letters"`
}

// redacted stands for a value that is not shown. Written back in a change, it
// means the value that is there.
const redacted = "REDACTED"

// hideWebhooks are webhooks as the admin API shows them: headers have no values,
// and URLs no password.
func hideWebhooks(hooks []storage.Webhook) []storage.Webhook {
	shown := make([]storage.Webhook, len(hooks))
	for i, w := range hooks {
		w.URL = hideURL(w.URL)
		if len(w.Headers) > 0 {
			headers := make(map[string]string, len(w.Headers))
			for name := range w.Headers {
				headers[name] = redacted
			}
			w.Headers = headers
		}
		shown[i] = w
	}
	return shown
}

func hideURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return redacted
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), redacted)
	}
	return u.String()
}

// keepHidden puts back what a change has taken from an app as it was shown.
func keepHidden(hooks, there []storage.Webhook) error {
	for i := range hooks {
		w := &hooks[i]
		before := matchHidden(w, i, there)
		if before != nil {
			w.URL = before.URL
		} else if u, err := url.Parse(w.URL); err == nil {
			if password, _ := u.User.Password(); password == redacted {
				return hiddenError(i, "the password of its URL")
			}
		}
		for name, value := range w.Headers {
			if value != redacted {
				continue
			}
			kept, ok := "", false
			if before != nil {
				kept, ok = before.Headers[name]
			}
			if !ok {
				return hiddenError(i, "header "+name)
			}
			w.Headers[name] = kept
		}
	}
	return nil
}

// matchHidden is the webhook that was there at the same place, or nil: the one with
// the same number, or else the first one.
func matchHidden(w *storage.Webhook, i int, there []storage.Webhook) *storage.Webhook {
	same := func(other *storage.Webhook) bool {
		return w.URL != "" && (w.URL == hideURL(other.URL) || w.URL == other.URL) ||
			w.URL == "" && other.URL == "" && w.Lambda != nil && other.Lambda != nil && *w.Lambda == *other.Lambda
	}
	if i < len(there) && same(&there[i]) {
		return &there[i]
	}
	for k := range there {
		if same(&there[k]) {
			return &there[k]
		}
	}
	return nil
}

func hiddenError(i int, what string) error {
	return fmt.Errorf("webhook %d: %s is %s, and nothing is there that this could stand for", i+1, what, redacted)
}
