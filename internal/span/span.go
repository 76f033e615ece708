// Package span adds steps to the trace of a request that is traced: that of whoever put
// a span into its context. For all others it does nothing, and needs no memory.
package span

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// scope is who makes the spans.
const scope = "github.com/sockudo/caddy-sockudo"

// The keys of attributes.
const (
	Hub       = "sockudo.hub"
	App       = "sockudo.app"
	Channel   = "sockudo.channel"
	Kind      = "sockudo.channel_kind"
	Publish   = "sockudo.push_publish_id"
	MessageID = "sockudo.message_id"
	Node      = "sockudo.node"
	Socket    = "sockudo.socket_id"
)

// Attribute is what is said of a span. Data of events, and who they are of, are none of
// its business.
type Attribute struct{ Key, Value string }

// Span is a step of a trace. The zero value is that of a request that is not traced.
type Span struct{ span trace.Span }

// Start begins a step within the span that ctx has. Without one that is recorded, ctx
// comes back as it is.
func Start(ctx context.Context, name string, attributes ...Attribute) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	list := make([]attribute.KeyValue, 0, len(attributes))
	for _, a := range attributes {
		if a.Value != "" {
			list = append(list, attribute.String(a.Key, a.Value))
		}
	}
	ctx, s := parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithAttributes(list...))
	return ctx, Span{s}
}

// Set says something more.
func (s Span) Set(key, value string) {
	if s.span != nil && value != "" {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// End ends the step, which has failed if there is an error.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}
