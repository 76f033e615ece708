package realtime

import (
	"context"

	"github.com/sockudo/caddy-sockudo/internal/span"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// tracePublish begins the step of a publish in the trace of its request, if there is
// one. The channel of a user is not named, nor is anything that the event carries.
func (l Live) tracePublish(ctx context.Context, app *storage.App, e Event, info protocol.Channel) (context.Context, span.Span) {
	channel, kind := e.Channel, info.Kind.String()
	if info.User != "" {
		channel, kind = "", "user"
	}
	return span.Start(ctx, "sockudo.publish",
		span.Attribute{Key: span.Hub, Value: l.Hub.name},
		span.Attribute{Key: span.App, Value: app.ID},
		span.Attribute{Key: span.Channel, Value: channel},
		span.Attribute{Key: span.Kind, Value: kind},
	)
}

// AppID is the id of the app of the connection.
func (c *Conn) AppID() string { return c.app.id }
