package sockudo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// signedCall is a call of the HTTP API of an app, as a backend of it would make it.
func signedCall(ctx context.Context, app *storage.App, endpoint string, body []byte, now time.Time) (*http.Request, error) {
	path := "/apps/" + url.PathEscape(app.ID) + "/" + endpoint
	query := protocol.SignRequest(app.Key, app.Secret, http.MethodPost, path, nil, body, now)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, path+"?"+query, bytes.NewReader(body)) //nolint:gosec // it is served here, and goes nowhere
	if err != nil {
		return nil, err
	}
	r.RequestURI = r.URL.RequestURI()
	r.Header.Set("Content-Type", "application/json")
	return r, nil
}

// apiAnswer keeps what the HTTP API answers.
type apiAnswer struct {
	header http.Header
	status int
	body   []byte
}

// Header is for the API, and goes nowhere.
func (a *apiAnswer) Header() http.Header { return a.header }

// WriteHeader keeps the status.
func (a *apiAnswer) WriteHeader(status int) { a.status = status }

// Write keeps a part of the body.
func (a *apiAnswer) Write(b []byte) (int, error) {
	a.body = append(a.body, b...)
	return len(b), nil
}

// refusal is why the API has answered with an error.
func (a *apiAnswer) refusal() error {
	var told struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(a.body, &told) == nil && told.Error != "" {
		return errors.New(told.Error)
	}
	return fmt.Errorf("the HTTP API answers %d: %s", a.status, bytes.TrimSpace(a.body))
}
