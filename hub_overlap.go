package sockudo

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime"
)

const (
	// lookAtOverlap is how often an overlap looks whether the other nodes have moved.
	lookAtOverlap = 250 * time.Millisecond
	// maxOverlap ends it although some have not.
	maxOverlap = 10 * time.Minute
)

// overlap keeps an adapter that the hub has left for another one until all other
// nodes use that too. It ends with the hub at the latest, and gives the lease back.
func (t *tenure) overlap(o *realtime.Overlap, l *lease) {
	defer t.hub.Recovered("the overlap of two adapters")
	logger := t.log.With(zap.String("hub", t.hub.Name()), zap.String("adapter", t.drivers[kindAdapter]))
	logger.Info("the adapter that was replaced stays in use until all nodes have the new one")
	end := time.NewTimer(maxOverlap)
	defer end.Stop()
	look := time.NewTicker(lookAtOverlap)
	defer look.Stop()
	for moved := false; !moved; {
		select {
		case <-look.C:
			moved = o.Moved()
		case <-t.hub.ended:
			moved = true
		case <-end.C:
			logger.Warn("the adapter that was replaced is left although some nodes were not heard through the new one", zap.Strings("nodes", o.Waiting()))
			moved = true
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	t.report("leaving the adapter", o.End(ctx))
	t.report("closing a driver", l.release())
	logger.Info("the adapter that was replaced is not in use any more")
}

// endLate ends an overlap that nobody has waited for.
func endLate(overlaps <-chan *realtime.Overlap) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	select {
	case overlap := <-overlaps:
		if overlap != nil {
			_ = overlap.End(ctx)
		}
	case <-ctx.Done():
	}
}
