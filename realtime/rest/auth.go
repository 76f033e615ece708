package rest

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// authenticate runs the checks of section 1.5 and sets app, query and body. The
// body is read after the key is known to be one: strangers cannot make the
// server hold bodies.
func (c *call) authenticate(appID string) *failure {
	present := c.r.URL.RawQuery != "" || c.r.URL.ForceQuery
	query, err := protocol.ParseSignedQuery(c.r.URL.RawQuery, present)
	if err != nil {
		return invalidInput.with(err.Error())
	}
	app, f := c.appOf(query.Key)
	if f != nil {
		return f
	}
	if id, err := unescapeSegment(appID); err != nil || id != app.ID {
		return errWrongApp
	}
	if c.r.Method == http.MethodPost {
		if f := c.readBody(); f != nil {
			return f
		}
	}
	if err := c.verifyApp(query, app); err != nil {
		return authFailed.with(err.Error())
	}
	c.app, c.query = app, query
	return nil
}

// appOf finds the app of a key. A key that may exist is never told to be wrong.
func (c *call) appOf(key string) (*storage.App, *failure) {
	if key == "" {
		return nil, errUnknownKey
	}
	app, err := c.settings().Drivers.Apps.AppByKey(c.r.Context(), key)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, errUnknownKey
	case err != nil:
		c.settings().Log.Error("looking up an app by its key", zap.Error(err))
		return nil, errStoreDown
	}
	return app, nil
}

// verifyApp checks the signature with the app's secret, or with one that was
// replaced and is still good.
func (c *call) verifyApp(query *protocol.SignedQuery, app *storage.App) error {
	var first error
	for _, secret := range app.Secrets(c.h.now()) {
		err := c.verify(query, secret)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, protocol.ErrSignature) {
			break
		}
	}
	return first
}

// verify checks the signature over the path as the client sent it and, where the
// API is mounted under a prefix that was stripped, over what is left of it.
func (c *call) verify(query *protocol.SignedQuery, secret string) error {
	now := c.h.now()
	sent := trimSlash(sentPath(c.r.RequestURI))
	routed := trimSlash(c.r.URL.EscapedPath())
	err := query.Verify(secret, c.r.Method, sent, c.body, now)
	if errors.Is(err, protocol.ErrSignature) && routed != sent {
		return query.Verify(secret, c.r.Method, routed, c.body, now)
	}
	return err
}

// sentPath is the path of a request line, which may hold a whole URL.
func sentPath(uri string) string {
	path, _, _ := strings.Cut(uri, "?")
	if strings.HasPrefix(path, "/") {
		return path
	}
	if _, rest, ok := strings.Cut(path, "://"); ok {
		if slash := strings.IndexByte(rest, '/'); slash >= 0 {
			return rest[slash:]
		}
	}
	return path
}

// unescapeSegment decodes one segment of a path.
func unescapeSegment(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	return url.PathUnescape(s)
}
