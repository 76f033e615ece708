package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// WebhookState is how the webhooks of an app are doing.
type WebhookState struct {
	// Delivered counts requests that receivers have accepted, Failed attempts that have
	// failed, and Dead requests that have failed for good.
	Delivered, Failed, Dead uint64
	// Waiting counts requests that are still to be sent.
	Waiting int
	// LastFailure is the reason of the last failure, with its place, or "".
	LastFailure string
}

const webhookPoll = 100 * time.Millisecond

// askWebhooks remembers how webhooks were before the first event.
func (w *walker) askWebhooks(ctx context.Context) {
	if w.Webhooks == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	if state, err := w.Webhooks(ctx); err == nil {
		w.webhooks, w.asked = state, true
	}
}

// webhook waits for what the steps before have made webhooks of: a channel that was
// occupied, at least.
func (w *walker) webhook(ctx context.Context) Step {
	switch {
	case w.receiver != nil:
		return w.received(ctx)
	case w.Webhooks == nil:
		return skip("--webhook was not asked for")
	case w.failed["auth"]:
		return skip("needs the step auth")
	}
	for {
		state, err := w.Webhooks(ctx)
		switch {
		case errors.Is(err, ErrNotConfigured):
			return skip("the server sends no webhooks")
		case err != nil:
			return fail(err.Error(), "the admin API does not say how webhooks are doing", "Run the command where the admin API is, or name it with --address.")
		case !w.asked:
			return skip("it is not known how webhooks were before")
		case state.Failed > w.webhooks.Failed || state.Dead > w.webhooks.Dead:
			return fail(state.LastFailure, "a receiver does not accept webhooks", "Start the receiver, and check its address, its certificate and its answer, which must be 2xx. A receiver at a private address needs allow_private. What has failed for good is sent again by caddy sockudo webhooks replay.")
		case state.Delivered > w.webhooks.Delivered:
			return ok(fmt.Sprintf("a receiver has accepted %d", state.Delivered-w.webhooks.Delivered))
		}
		if !wait.For(ctx, webhookPoll) {
			return warn(fmt.Sprintf("nothing was sent in %s; %d wait", w.Timeout, state.Waiting), "the app has no webhook for channel_occupied, or its filter leaves out "+w.private()+", or the queue does not run", "Check the webhook block of the app, and caddy sockudo webhooks.")
		}
	}
}

// receiver waits for webhooks itself.
type receiver struct {
	server *http.Server
	hooks  chan hook
	done   chan struct{}
}

// hook is a request with webhooks.
type hook struct{ signed, ours bool }

// maxHook bounds the body of a webhook, in bytes.
const maxHook = 10 << 20

func newReceiver(address, key, secret string) (*receiver, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	r := &receiver{hooks: make(chan hook, 16), done: make(chan struct{})}
	r.server = &http.Server{ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(io.LimitReader(q.Body, maxHook))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		one := hook{
			signed: protocol.Equal(q.Header.Get("X-Pusher-Signature"), protocol.Sign(secret, string(body))),
			ours:   q.Header.Get("X-Pusher-Key") == key,
		}
		select {
		case r.hooks <- one:
		default:
		}
	})}
	go func() {
		defer close(r.done)
		_ = r.server.Serve(listener)
	}()
	return r, nil
}

func (r *receiver) close() {
	_ = r.server.Close()
	<-r.done
}

// received waits for a webhook at the address that is listened on.
func (w *walker) received(ctx context.Context) Step {
	if w.failed["publish"] || w.failed["auth"] {
		return skip("needs the steps auth and publish")
	}
	for {
		select {
		case one := <-w.receiver.hooks:
			switch {
			case !one.ours:
				continue // of another app
			case !one.signed:
				return fail("a webhook has come, and its signature is not good", "something between changes bodies, or the secret was replaced", "Let the proxy in front of the receiver pass bodies on as they are, and give the receiver the newest secret.")
			}
			return ok("a signed webhook has come to " + w.WebhookListen)
		case <-ctx.Done():
			return fail("no webhook has come to "+w.WebhookListen+" in "+w.Timeout.String(), "the server does not reach this address, or the app has no webhook there for channel_occupied", "Write webhook URL into the app with the address under which the server reaches this machine; a private one needs allow_private.")
		}
	}
}
