package realtime

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// maxProjections bounds what is kept of the annotations of all channels, in bytes.
const maxProjections = 64 << 20

// AnnotationPolicy is what holds for the annotations of a channel.
func (l Live) AnnotationPolicy(app *storage.App, channel string) history.AnnotationPolicy {
	p := l.HistoryPolicy(app, channel)
	s := l.Settings
	most := s.Limits.EventPayload
	if own := app.Limits.MaxEventPayloadInKB; own > 0 {
		most = own << 10
	}
	return history.AnnotationPolicy{
		Versions: s.Versions.Enabled, Enabled: s.Annotations, Allowed: p.Annotations, History: p.Enabled, PageSize: s.Versions.PageSize,
		Annotations: history.Annotations{
			Store: s.Drivers.History, App: app.ID, Channel: channel, Age: s.Versions.Retention, Now: l.historyLog(storage.LogKey{}, p.Retention).Now, MaxFrame: most,
		},
		Cache: l.Hub.annotations,
	}
}

// HasMessage reports whether a channel has a message.
func (l Live) HasMessage(ctx context.Context, app *storage.App, channel, serial string) (bool, error) {
	_, _, err := l.Message(ctx, app, channel, serial)
	if errors.Is(err, ErrNoMessage) {
		return false, nil
	}
	return err == nil, err
}

// Annotated tells everybody about an annotation: subscribers what it comes to, those
// who want all of them about itself, and webhooks.
func (l Live) Annotated(ctx context.Context, app *storage.App, channel string, s history.Summary, a protocol.Annotation, deleted string) error {
	event := protocol.WebhookEvent{
		Name: protocol.WebhookAnnotated, Channel: channel, MessageSerial: a.MessageSerial, AnnotationSerial: a.Serial, AnnotationType: a.Type, DeletedSerial: deleted,
	}
	if deleted == "" {
		l.Hub.metrics.history.annotated.WithLabelValues(channel, app.ID, a.Type, protocol.ParseChannel(channel).Kind.String()).Inc()
	} else {
		event.Name = protocol.WebhookUnannotated
		l.Hub.metrics.history.unannotated.WithLabelValues(channel, app.ID, a.Type, protocol.ParseChannel(channel).Kind.String()).Inc()
	}
	if s.Clipped {
		l.Hub.metrics.history.clipped.WithLabelValues(channel, app.ID, a.Type, protocol.ParseChannel(channel).Kind.String()).Inc()
	}
	l.tellIfAsked(app, event)
	serial, _ := history.ParseAnnotationSerial(a.Serial)
	return l.broadcast(ctx, &protocol.Envelope{
		Kind: protocol.KindAnnotation, App: app.ID, Channel: channel, Serial: serial,
		Data: protocol.SummaryMessage(channel, s.Message, s.Type, s.JSON).Data, Extras: a.AppendJSON(nil),
	})
}

// annotated tells the subscribers of a channel here.
func (a *App) annotated(e *protocol.Envelope) {
	ch := a.channel(e.Channel)
	if ch == nil {
		return
	}
	summary := protocol.SummaryFrame(e.Channel, e.Data)
	one := protocol.AnnotationMessage(e.Channel, e.Extras)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.annotated = max(ch.annotated, e.Serial)
	ch.send(replyV2(summary), nil)
	a.hub.metrics.history.sumups.WithLabelValues(ch.info.Name, a.id, ch.info.Kind.String()).Inc()
	m := replyV2(one)
	for _, p := range ch.parts {
		p.mu.Lock()
		for _, sub := range p.subs {
			if sub == nil {
				continue
			}
			if t := sub.tune.Load(); t != nil && t.annotations {
				p.worker.sendTo(direct{conn: sub.conn, message: m})
			}
		}
		p.mu.Unlock()
	}
}

// sumUp tells a new subscriber what the annotations of the channel come to.
func (c *Conn) sumUp(ch *channel) {
	s := c.hub.settings()
	if c.v2 == nil || !s.Annotations || s.Drivers.History == nil || !s.historyPolicy(c.app.record().App, ch.info).Annotations {
		return
	}
	c.hub.background(func(ctx context.Context) {
		live, err := c.hub.Live()
		if err != nil {
			return
		}
		defer live.Release()
		if live.Settings.Drivers.History == nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		for range sumUpTries {
			p := live.AnnotationPolicy(c.app.record().App, ch.info.Name)
			all, err := p.Cache.Summaries(ctx, p.Annotations)
			if err != nil {
				live.Settings.Log.Warn("summing up annotations", zap.String("app", c.app.id), zap.String("channel", ch.info.Name), zap.Error(err))
				return
			}
			if c.sendSums(ch, all) {
				return
			}
		}
	})
}

// sumUpTries is how often summaries are read again because something newer has been
// told meanwhile.
const sumUpTries = 5

// sendSums sends summaries, unless the subscriber has got a newer one: who gets two of
// one message takes the last for the newest.
func (c *Conn) sendSums(ch *channel, all []history.Summary) (sent bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, sum := range all {
		if serial, _ := history.ParseAnnotationSerial(sum.Serial); serial < ch.annotated {
			return false
		}
	}
	if len(all) == 0 || c.subscription(ch.info.Name) == nil {
		return true
	}
	c.inOrder(func(c *Conn) {
		for _, sum := range all {
			c.send(protocol.SummaryMessage(ch.info.Name, sum.Message, sum.Type, sum.JSON))
		}
	})
	return true
}
