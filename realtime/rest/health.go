package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Status is the health of a hub in one word.
type Status string

// The words that /up answers with.
const (
	StatusOK       Status = "OK"
	StatusDegraded Status = "DEGRADED"
	StatusError    Status = "ERROR"
	StatusDraining Status = "DRAINING"
	StatusNotFound Status = "NOT_FOUND"
)

func (s Status) code() int {
	switch s {
	case StatusOK, StatusDegraded:
		return http.StatusOK
	case StatusNotFound:
		return http.StatusNotFound
	default:
		return http.StatusServiceUnavailable
	}
}

// Report is the health of a hub, by dependency.
type Report struct {
	// Status sums it up: ERROR when a critical dependency fails, DEGRADED when
	// another one does, DRAINING while the hub refuses connections.
	Status Status `json:"status"`
	// Dependencies are app_manager, adapter, cache, queue, rate_limiter and history, as
	// far as the hub has them and needs them.
	Dependencies map[string]Dependency `json:"dependencies"`
}

// Dependency is the outcome of one check.
type Dependency struct {
	OK bool `json:"ok"`
	// Critical dependencies make /up answer 503.
	Critical bool `json:"critical"`
	// Error is for operators and never leaves through the HTTP API.
	Error string `json:"error,omitempty"`
	// DurationMS is how long the check took, in milliseconds.
	DurationMS float64 `json:"duration_ms"`
}

// Health checks what a hub depends on, in parallel, each check bounded by the
// health timeout of the current settings.
func Health(ctx context.Context, hub *realtime.Hub) Report {
	return new(probes).report(ctx, hub, "")
}

var (
	errNoApps      = errors.New("no app is configured")
	errAppDisabled = errors.New("the app is disabled")
)

// dependency is something that is checked. run is nil for what the hub does not
// have.
type dependency struct {
	name     string
	critical bool
	run      func(context.Context, *realtime.Settings) error
}

// dependencies are the checks for /up, or for /up/{app} when app is not empty.
func dependencies(s *realtime.Settings, app string) []dependency {
	d := &s.Drivers
	list := []dependency{{"app_manager", true, func(ctx context.Context, s *realtime.Settings) error {
		return checkApps(ctx, s.Drivers.Apps, app)
	}}}
	if d.Adapter != nil {
		list = append(list, dependency{"adapter", true, func(ctx context.Context, s *realtime.Settings) error {
			return checkDriver(ctx, s.Drivers.Adapter)
		}})
	}
	if d.Cache != nil {
		list = append(list, dependency{"cache", true, func(ctx context.Context, s *realtime.Settings) error {
			return checkDriver(ctx, s.Drivers.Cache)
		}})
	}
	if d.Queue != nil {
		list = append(list, dependency{"queue", false, func(ctx context.Context, s *realtime.Settings) error {
			return checkDriver(ctx, s.Drivers.Queue)
		}})
	}
	if _, remote := d.RateLimiter.(storage.Checker); remote && s.Rate.On() {
		// Unless it lets everything through meanwhile, nobody gets in without it.
		list = append(list, dependency{"rate_limiter", !s.Rate.FailOpen, func(ctx context.Context, s *realtime.Settings) error {
			return checkDriver(ctx, s.Drivers.RateLimiter)
		}})
	}
	if d.History != nil {
		// Unless events are delivered all the same, none is accepted without it.
		list = append(list, dependency{"history", !s.History.Deliver, func(ctx context.Context, s *realtime.Settings) error {
			return checkDriver(ctx, s.Drivers.History)
		}})
	}
	if _, known := s.Push.(storage.Checker); known {
		// Events without a notification go out without it.
		list = append(list, dependency{"push", false, func(ctx context.Context, s *realtime.Settings) error {
			return checkDriver(ctx, s.Push)
		}})
	}
	return list
}

func checkDriver(ctx context.Context, driver any) error {
	if checker, ok := driver.(storage.Checker); ok {
		return checker.Check(ctx)
	}
	return nil
}

// checkApps looks for the app, or for any app. The store is checked by itself
// too, since app records may be cached.
func checkApps(ctx context.Context, apps storage.AppManager, id string) error {
	if err := checkDriver(ctx, apps); err != nil {
		return err
	}
	if id == "" {
		some, err := hasApps(ctx, apps)
		if err == nil && !some {
			return errNoApps
		}
		return err
	}
	app, err := apps.AppByID(ctx, id)
	if err != nil {
		return fmt.Errorf("app %q: %w", id, err)
	}
	if !app.Enabled {
		return errAppDisabled
	}
	return nil
}

// hasApps reports whether there is any app. A store that need not list them all
// for that says so.
func hasApps(ctx context.Context, apps storage.AppManager) (bool, error) {
	if short, ok := apps.(interface {
		HasApps(ctx context.Context) (bool, error)
	}); ok {
		return short.HasApps(ctx)
	}
	list, err := apps.Apps(ctx)
	return len(list) > 0, err
}

// summary is the status of a report whose app check ended with appErr.
func (r *Report) summary(appErr error) Status {
	if errors.Is(appErr, storage.ErrNotFound) {
		return StatusNotFound
	}
	status := StatusOK
	for _, d := range r.Dependencies {
		switch {
		case !d.OK && d.Critical:
			return StatusError
		case !d.OK:
			status = StatusDegraded
		}
	}
	return status
}

// up answers /up and /up/{app}. While draining nothing is checked: the answer is
// no, and whoever asks should go away quickly.
func (h *Handler) up(w http.ResponseWriter, r *http.Request, path string) {
	status := StatusDraining
	if !h.hub.Draining() {
		app, err := unescapeSegment(appOfUp(path))
		if err != nil {
			writeNotFound(w)
			return
		}
		status = h.probes.report(r.Context(), h.hub, app).Status
	}
	w.Header().Set("X-Health-Check", string(status))
	w.Header().Set("Cache-Control", "no-store")
	writeText(w, status.code(), string(status))
}
