package sockudo

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/webhooks"
)

// webhookStop bounds what a configuration that goes away waits for requests under
// way. Those that are cut off are sent again by the next one.
const webhookStop = 3 * time.Second

// openWebhooks makes what sends webhooks, if the definition has any. It sends from
// the moment on when the configuration is current.
func (t *tenure) openWebhooks(d *definition) error {
	sink := &d.settings.Webhooks.Sink
	if d.webhooks == nil {
		if d.webhooksUnsent {
			*sink = &unsent{log: t.log}
		}
		return nil
	}
	s := *d.webhooks
	s.Apps, s.Queue = d.settings.Drivers.Apps, t.counted(d)
	s.Log = t.log.With(zap.String("hub", t.hub.Name()))
	if _, ok := s.Queue.(storage.DeadLetters); !ok && !d.lossyQueue {
		return fmt.Errorf("webhooks: the queue %s keeps no requests that have failed for good; use another one, or write webhooks { allow_lossy_queue on }", d.drivers[kindQueue].driver)
	}
	t.delivery = webhooks.New(t.hub.board, s)
	*sink = t.delivery
	return nil
}

// startWebhooks begins to send.
func (t *tenure) startWebhooks() {
	if t.delivery == nil {
		return
	}
	if err := t.delivery.Start(); err != nil {
		t.log.Error("webhooks are queued and not sent", zap.String("hub", t.hub.Name()), zap.Error(err))
	}
}

// stopWebhooks puts what waits into the queue and ends the workers. The queue of a
// hub that ends is emptied before, if it would lose what it holds.
func (t *tenure) stopWebhooks() error {
	if t.delivery == nil {
		return nil
	}
	// Its own time, whatever leaving the hub has taken.
	ctx, cancel := context.WithTimeout(context.Background(), webhookStop)
	defer cancel()
	if q, ok := t.queue.(storage.Drainer); ok && t.hubLease.last() && t.leases[kindQueue].last() {
		if err := t.delivery.Flush(ctx); err == nil {
			t.report("sending the last webhooks", q.Drain(ctx))
		}
	}
	return await(ctx, "stopping webhooks", func() error { return t.delivery.Stop(ctx) })
}

// unsent is where events go of apps in a store that have webhooks, when nothing in
// the configuration asks for them.
type unsent struct {
	log  *zap.Logger
	told toldApps
}

// Tell warns, once for each app.
func (u *unsent) Tell(app string, _ []protocol.WebhookEvent, settled func(kept bool)) {
	if u.told.first(app) {
		u.log.Warn("an app in the store has webhooks, and nothing is sent to them: write webhooks { enabled on }, or off to be told no more", zap.String("app", app))
	}
	if settled != nil {
		settled(true)
	}
}
