package fcm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	firebase "firebase.google.com/go/v4"
	"firebase.google.com/go/v4/messaging"
	"google.golang.org/api/option"

	"github.com/sockudo/caddy-sockudo/internal/netguard"
	"github.com/sockudo/caddy-sockudo/push"
)

// answer is what has come back for a request: an error, or the rest.
type answer struct {
	err    error
	status int
	header http.Header
	body   []byte
	// cut says that the body has ended too early.
	cut bool
}

// ask makes a request and reads what is useful of the answer.
func ask(client *http.Client, r *http.Request) answer {
	response, err := client.Do(r) //nolint:gosec // to the address of the configuration or the account, by a dialer that knows private ones
	if err != nil {
		return answer{err: err}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, push.MaxAnswer))
	_ = response.Body.Close()
	return answer{status: response.StatusCode, header: response.Header, body: body, cut: err != nil}
}

// unreachable is the result of an attempt without an answer. Where the service is has
// been configured, so an address that must not be is no fault of the device.
func unreachable(ctx context.Context, err error) push.Result {
	r := push.Unreachable(ctx, err)
	if errors.Is(err, netguard.ErrPrivate) {
		r.Outcome, r.Class = push.Retryable, push.NetworkTransport
	}
	return r
}

// exchange is one request that the library is to make, and its answer.
type exchange struct {
	bearer string
	body   []byte
	done   bool
	answer answer
}

// exchangeKey is where the library's context carries the exchange.
type exchangeKey struct{}

// wire is what the library connects with. It sends the body of the exchange, which may
// have members that the library does not know, and it keeps the answer there. What the
// library sees never makes it try again: that is either the answer of a success or a
// plain refusal, since it repeats everything that fails without one.
type wire struct{ client *http.Client }

// RoundTrip makes the request of the exchange, once.
func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, errors.New("a request that nobody has asked for")
	}
	if !x.done {
		x.done, x.answer = true, w.send(r, x)
	}
	status, body := http.StatusBadRequest, []byte("{}")
	if x.answer.success() {
		status, body = http.StatusOK, x.answer.body
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

func (w wire) send(r *http.Request, x *exchange) answer {
	to, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(x.body)) //nolint:gosec // the endpoint is that of the configuration
	if err != nil {
		return answer{err: err}
	}
	to.Header = r.Header.Clone()
	to.Header.Set("Authorization", "Bearer "+x.bearer)
	return ask(w.client, to)
}

// newLibrary makes the library's client for a project at an endpoint. It calls nobody,
// and looks for no credentials of its own because it is given a client.
func newLibrary(client *http.Client, endpoint, project string) (*messaging.Client, error) {
	ctx := context.Background()
	app, err := firebase.NewApp(ctx, &firebase.Config{ProjectID: project},
		option.WithEndpoint(strings.TrimSuffix(endpoint, "/")+"/v1"), option.WithHTTPClient(&http.Client{Transport: wire{client}}))
	if err != nil {
		return nil, err
	}
	return app.Messaging(ctx)
}
