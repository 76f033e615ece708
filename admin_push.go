package sockudo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/storage"
)

// pushTimeout bounds what the store and the queue may take for a call of the admin API.
const pushTimeout = 30 * time.Second

// errNoPush is the answer where no notifications are sent.
var errNoPush = errors.New("this hub sends no push notifications: write push on")

// PushReport is how the push notifications of a hub are doing.
type PushReport struct {
	// Stages are what waits: publishes to be planned, and batches to be sent by each provider
	// that is switched on.
	Stages []PushStage `json:"stages"`
}

// PushStage is what is in one queue.
type PushStage struct {
	// Stage is publish_log, or delivery_jobs_ and the name of a provider.
	Stage string `json:"stage"`
	// Ready is the number of jobs that can run at once.
	Ready int `json:"ready"`
	// Delayed is the number of those that run later.
	Delayed int `json:"delayed"`
	// Active is the number of those that run now.
	Active int `json:"active"`
	// Bytes is what they have in them.
	Bytes int64 `json:"bytes"`
}

// PushLetters are dead letters of an app.
type PushLetters struct {
	// Letters are in the order of time.
	Letters []push.DeadLetterView `json:"letters"`
	// Next is for ?after=, and empty when there are no more.
	Next string `json:"next,omitempty"`
}

// PushReplay is a dead letter that is sent again.
type PushReplay struct {
	// Batch is the name of what it is sent in.
	Batch string `json:"batch"`
}

// withPush calls f with what sends the hub's notifications.
func (h *hub) withPush(r *http.Request, f func(ctx context.Context, p *push.Pipeline) error) error {
	live, err := h.Live()
	if err != nil {
		return unavailable(err)
	}
	defer live.Release() // which keeps the store open
	n, _ := live.Settings.Push.(*notifications)
	if n == nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errNoPush}
	}
	ctx, cancel := context.WithTimeout(r.Context(), pushTimeout)
	defer cancel()
	err = f(ctx, n.pipeline)
	if _, told := errors.AsType[caddy.APIError](err); told || err == nil {
		return err
	}
	if errors.Is(err, storage.ErrNotFound) {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
	}
	if refusal, ok := errors.AsType[*push.Refusal](err); ok {
		return caddy.APIError{HTTPStatus: refusal.Status, Err: err}
	}
	return unavailable(err)
}

// withPushOf is withPush for an app, which the request names.
func (h *hub) withPushOf(r *http.Request, f func(ctx context.Context, p *push.Pipeline, app string) error) error {
	app := r.FormValue("app")
	if app == "" {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: errors.New("app is missing: name it as ?app=ID")}
	}
	return h.withPush(r, func(ctx context.Context, p *push.Pipeline) error { return f(ctx, p, app) })
}

// adminPush says how notifications are doing.
func adminPush(w http.ResponseWriter, r *http.Request, h *hub) error {
	return h.withPush(r, func(ctx context.Context, p *push.Pipeline) error {
		depth, err := p.Depth(ctx)
		if err != nil {
			return err
		}
		report := PushReport{Stages: []PushStage{}}
		for _, name := range sortedKeys(depth) {
			s := depth[name]
			report.Stages = append(report.Stages, PushStage{name, s.Ready, s.Delayed, s.Active, s.Bytes})
		}
		return answer(w, http.StatusOK, report)
	})
}

// adminPublish shows the state of one publish.
func adminPublish(w http.ResponseWriter, r *http.Request, h *hub) error {
	return h.withPushOf(r, func(ctx context.Context, p *push.Pipeline, app string) error {
		status, err := p.Status(ctx, app, r.PathValue("id"))
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, status)
	})
}

// adminDeadPush lists notifications that have failed for good, page by page.
func adminDeadPush(w http.ResponseWriter, r *http.Request, h *hub) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	filter := push.DeadLetterFilter{}
	if word := r.FormValue("provider"); word != "" {
		if filter.Provider, err = push.ParseKind(word); err != nil || filter.Provider == push.Realtime {
			return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf("provider %q is not one of fcm, apns, webpush, hms, wns", word)}
		}
	}
	return h.withPushOf(r, func(ctx context.Context, p *push.Pipeline, app string) error {
		letters, next, err := p.DeadLetters(ctx, app, filter, r.FormValue("after"), limit)
		if err != nil {
			return err
		}
		if letters == nil {
			letters = []push.DeadLetterView{}
		}
		return answer(w, http.StatusOK, PushLetters{letters, next})
	})
}

// adminReplayPush sends one of them again.
func adminReplayPush(w http.ResponseWriter, r *http.Request, h *hub) error {
	return h.withPushOf(r, func(ctx context.Context, p *push.Pipeline, app string) error {
		batch, err := p.Replay(ctx, app, r.PathValue("id"))
		if err != nil {
			return err
		}
		return answer(w, http.StatusAccepted, PushReplay{batch})
	})
}
