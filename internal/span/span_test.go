package span_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/span"
)

// What is not traced costs no memory, and keeps its context.
func TestUntraced(t *testing.T) {
	ctx, err := context.WithValue(t.Context(), t, t), errors.New("failed")
	app := t.Name()
	if n := testing.AllocsPerRun(100, func() {
		within, step := span.Start(ctx, "step", span.Attribute{Key: span.App, Value: app}, span.Attribute{Key: span.Hub, Value: app})
		step.Set(span.Channel, app)
		step.End(err)
		if within != ctx {
			t.Error("the context is another one")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
