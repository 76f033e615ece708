package sockudo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/lookup"
)

const (
	// maxAppBody bounds the body that describes an app, in bytes.
	maxAppBody = 1 << 20
	// maxPreviousSecrets bounds the secrets of an app that were replaced and are
	// still good.
	maxPreviousSecrets = 5
)

// AppRecord is an app as the admin API shows it. Secrets are never in it, except
// one that was made by the request that it answers.
type AppRecord struct {
	// ID appears in HTTP paths.
	ID string `json:"id"`
	// Key appears in socket paths and signatures.
	Key string `json:"key"`
	// Secret is the secret that was made for this request, and told this once.
	Secret string `json:"secret,omitempty"`
	// Enabled admits sockets and HTTP calls.
	Enabled bool `json:"enabled"`
	// Policy is everything else, as stores keep it.
	Policy json.RawMessage `json:"policy"`
	// PreviousSecrets counts the secrets that were replaced and are still good.
	PreviousSecrets int `json:"previous_secrets"`
	// Version is what If-Match wants for a change. It is the ETag too.
	Version string `json:"version"`
	// State counts what the app has on this node.
	State realtime.AppState `json:"state"`
}

// AppChange is what a PUT says about an app: a whole app as in the configuration,
// in which what is absent has its default. An absent key or secret stays as it
// is, and is made for a new app.
type AppChange struct {
	AppConfig

	// RotateSecret makes a new secret. Default: off.
	RotateSecret Switch `json:"rotate_secret,omitempty"`

	// SecretOverlap is how long a secret that this change replaces stays good.
	// Default: 0, not at all.
	SecretOverlap Duration `json:"secret_overlap,omitempty"`
}

// adminApp shows one app.
func adminApp(w http.ResponseWriter, r *http.Request, h *hub) error {
	return h.withStore(r.Context(), func(ctx context.Context, apps storage.AppManager) error {
		app, err := apps.AppByID(ctx, r.PathValue("id"))
		if err != nil {
			return appError(err, r)
		}
		return h.answerApp(w, http.StatusOK, app, "")
	})
}

// adminPutApp makes or replaces an app in the store. Its sockets get the change at
// once on this node.
func adminPutApp(w http.ResponseWriter, r *http.Request, h *hub) error {
	change, err := readAppChange(w, r)
	if err != nil {
		return badRequest(err)
	}
	return h.withStore(r.Context(), func(ctx context.Context, apps storage.AppManager) error {
		editor, ok := apps.(storage.AppEditor)
		if !ok {
			return appError(lookup.ErrReadOnly, r)
		}
		there, err := apps.AppByID(ctx, r.PathValue("id"))
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return appError(err, r)
		}
		version, err := expectedVersion(r, there != nil)
		if err != nil {
			return err
		}
		made := change.fill(there)
		app, err := change.record()
		if err != nil {
			return badRequest(err)
		}
		if err := change.keep(app, there, time.Now()); err != nil {
			return badRequest(err)
		}
		if err := storage.CheckApp(app); err != nil {
			return badRequest(err)
		}
		if err := editor.PutApp(ctx, app, version); err != nil {
			return appError(err, r)
		}
		h.ApplyApp(app.ID)
		status := http.StatusOK
		if there == nil {
			status = http.StatusCreated
		}
		return h.answerApp(w, status, app, made)
	})
}

// adminDeleteApp removes an app from the store and closes its sockets.
func adminDeleteApp(w http.ResponseWriter, r *http.Request, h *hub) error {
	return h.withStore(r.Context(), func(ctx context.Context, apps storage.AppManager) error {
		editor, ok := apps.(storage.AppEditor)
		if !ok {
			return appError(lookup.ErrReadOnly, r)
		}
		version := storage.AnyVersion
		if match := r.Header.Get("If-Match"); match != "" {
			version = unquote(match)
		}
		if err := editor.DeleteApp(ctx, r.PathValue("id"), version); err != nil {
			return appError(err, r)
		}
		h.ApplyApp(r.PathValue("id"))
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// withStore calls f with the app manager of the current configuration.
func (h *hub) withStore(ctx context.Context, f func(context.Context, storage.AppManager) error) error {
	live, err := h.Live()
	if err != nil {
		return unavailable(err)
	}
	defer live.Release()
	bounded, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return f(bounded, live.Settings.Drivers.Apps)
}

// readAppChange reads the body of a PUT. The id in it, if any, is that of the path.
func readAppChange(w http.ResponseWriter, r *http.Request) (*AppChange, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAppBody))
	if err != nil {
		return nil, err
	}
	change, id := new(AppChange), r.PathValue("id")
	if len(body) > 0 {
		if err := decodeConfig(body, change); err != nil {
			return nil, err
		}
	}
	if change.ID != "" && change.ID != id {
		return nil, fmt.Errorf("id: %q is not that of the path, %q", change.ID, id)
	}
	change.ID = id
	return change, visit(reflect.ValueOf(change).Elem(), "", func(text reflect.Value, r rule, path string) error {
		return at(path, r.check(text.String(), text.Type()))
	})
}

// expectedVersion is the version that the record must have. To replace a record
// one has to say which.
func expectedVersion(r *http.Request, exists bool) (string, error) {
	match, noneMatch := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	switch {
	case match != "" && noneMatch != "", noneMatch != "" && noneMatch != "*":
		return "", badRequest(errors.New(`write If-Match with a version, or If-None-Match: *`))
	case match != "":
		return unquote(match), nil
	case exists && noneMatch == "":
		return "", caddy.APIError{HTTPStatus: http.StatusPreconditionRequired, Err: fmt.Errorf(
			"app %s exists: say with If-Match which version of it is to be replaced, or * for any", r.PathValue("id"))}
	}
	return storage.NoVersion, nil
}

func unquote(etag string) string {
	return strings.Trim(strings.TrimPrefix(strings.TrimSpace(etag), "W/"), `"`)
}

// fill gives the change the credentials that it does not name: those that the app
// has, or new ones. It returns a secret that was made.
func (c *AppChange) fill(there *storage.App) (made string) {
	if there != nil {
		if c.Key == "" {
			c.Key = there.Key
		}
		if c.Secret == "" && !c.RotateSecret.or(false) {
			c.Secret = there.Secret
		}
	}
	if c.Key == "" {
		c.Key = randomName(10)
	}
	if c.Secret == "" {
		c.Secret = randomName(32)
		return c.Secret
	}
	return ""
}

// randomName is n random bytes in hexadecimal digits, as Pusher's keys are.
func randomName(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// keep takes over from the record what a change does not name: members that this
// version has no use for, what was not shown, and secrets that are still good.
func (c *AppChange) keep(app, there *storage.App, now time.Time) error {
	if there == nil {
		return keepHidden(app.Webhooks, nil)
	}
	if err := keepHidden(app.Webhooks, there.Webhooks); err != nil {
		return err
	}
	app.Stored = there.Stored
	app.PreviousSecrets = slices.DeleteFunc(slices.Clone(there.PreviousSecrets), func(p storage.PreviousSecret) bool {
		return !now.Before(p.Until) || p.Secret == app.Secret
	})
	if overlap := c.SecretOverlap.or(0); overlap > 0 && app.Secret != there.Secret {
		until := now.Add(overlap + time.Second - 1).Truncate(time.Second)
		app.PreviousSecrets = append([]storage.PreviousSecret{{Secret: there.Secret, Until: until}}, app.PreviousSecrets...)
	}
	app.PreviousSecrets = app.PreviousSecrets[:min(len(app.PreviousSecrets), maxPreviousSecrets)]
	return nil
}

// answerApp shows an app, with a secret if that has just been made.
func (h *hub) answerApp(w http.ResponseWriter, status int, app *storage.App, made string) error {
	version, err := storage.AppVersion(app)
	if err != nil {
		return err
	}
	shown := *app
	shown.PreviousSecrets = nil
	shown.Webhooks = hideWebhooks(app.Webhooks)
	policy, err := storage.MarshalPolicy(&shown)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", `"`+version+`"`)
	return answer(w, status, AppRecord{
		ID: app.ID, Key: app.Key, Secret: made, Enabled: app.Enabled, Policy: policy,
		PreviousSecrets: len(app.PreviousSecrets), Version: version, State: h.AppState(app),
	})
}

func badRequest(err error) error {
	return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
}

// appError is the answer to an error of an app manager.
func appError(err error, r *http.Request) error {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return missing("app", r.PathValue("id"))
	case errors.Is(err, storage.ErrKeyTaken), errors.Is(err, lookup.ErrReadOnly), errors.Is(err, lookup.ErrWritten):
		status = http.StatusConflict
	case errors.Is(err, storage.ErrConflict):
		status = http.StatusPreconditionFailed
	}
	return caddy.APIError{HTTPStatus: status, Err: err}
}
