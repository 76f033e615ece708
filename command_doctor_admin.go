package sockudo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/internal/doctor"
	"github.com/sockudo/caddy-sockudo/realtime/rest"
	"github.com/sockudo/caddy-sockudo/webhooks"
)

// doctorAsks reads an answer of the admin API about the hub of a command. It is
// ErrNotConfigured where the hub has no such thing.
func doctorAsks[T any](ctx context.Context, cmd *cobra.Command, path string) (v T, err error) {
	hub := flagOf(cmd, "hub")
	body, err := bounded(ctx, func() ([]byte, error) {
		return ask(cmd, http.MethodGet, "/sockudo/hubs/"+url.PathEscape(hub)+path)
	})
	switch {
	case exitCode(err) == exitMissing && !strings.Contains(err.Error(), "there is no hub"):
		return v, doctor.ErrNotConfigured
	case err != nil:
		return v, err
	}
	return v, json.Unmarshal(body, &v)
}

// webhookSource asks how the webhooks of the app are doing.
func webhookSource(cmd *cobra.Command) (func(context.Context) (doctor.WebhookState, error), error) {
	app := flagOf(cmd, "app")
	if app == "" {
		return nil, errors.New("--webhook needs --app, whose webhooks are meant")
	}
	return func(ctx context.Context) (s doctor.WebhookState, err error) {
		report, err := doctorAsks[webhooks.Report](ctx, cmd, "/webhooks")
		if err != nil {
			return s, err
		}
		s.Waiting = report.Ready + report.Delayed + report.Active
		for _, e := range report.Endpoints {
			if e.App != app {
				continue
			}
			s.Delivered, s.Failed, s.Dead = s.Delivered+e.Delivered, s.Failed+e.Failed, s.Dead+e.Dead
			if e.LastFailure != "" {
				s.LastFailure = e.Place + ": " + e.LastFailure
			}
		}
		return s, nil
	}, nil
}

// pushSource asks how push notifications are doing: whether they are accepted, what
// waits, and what has failed for good.
func pushSource(cmd *cobra.Command) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		report, err := doctorAsks[PushReport](ctx, cmd, "/push")
		if exitCode(err) == exitUnreachable { // the walk itself has shown more
			return "", doctor.ErrNotConfigured
		}
		if err != nil {
			return "", err
		}
		waiting := 0
		for _, stage := range report.Stages {
			waiting += stage.Ready + stage.Delayed + stage.Active
		}
		// A hub that is not ready answers with an error, and the report in it.
		ready, err := doctorAsks[rest.Report](ctx, cmd, "/health/ready")
		if err != nil {
			return "", err
		}
		if d, known := ready.Dependencies["push"]; known && !d.OK {
			return "", errors.New("push: " + d.Error)
		}
		detail := fmt.Sprintf("push notifications are accepted, and %d wait", waiting)
		if app := flagOf(cmd, "app"); app != "" {
			dead, err := doctorAsks[PushLetters](ctx, cmd, "/push/dead?limit=1&app="+url.QueryEscape(app))
			if err != nil {
				return "", err
			}
			if len(dead.Letters) > 0 {
				detail += "; there are dead letters: caddy sockudo push dead --app " + app
			}
		}
		return detail, nil
	}
}
