package push

import (
	"context"

	"github.com/sockudo/caddy-sockudo/internal/span"
)

// traced accepts a publish as a step of the trace of its request, if there is one. Who
// is to be notified, and of what, is not part of it.
func (p *Pipeline) traced(ctx context.Context, app string, r *Request, o AcceptOptions) (*Acceptance, error) {
	ctx, step := span.Start(ctx, "sockudo.push.accept", span.Attribute{Key: span.App, Value: app})
	a, err := p.accept(ctx, app, r, o)
	if a != nil {
		step.Set(span.Publish, a.PublishID)
	}
	step.End(err)
	return a, err
}
