//go:build linux

package loadgen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// publishing is a set of lanes at work, one goroutine each.
type publishing struct {
	target   Target
	lanes    []*lane
	failures []error // by lane; the first ends it
	turn     atomic.Int64
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// work is what one lane does over and over: wait for its turn and publish. It
// returns the context's error when it should end.
type work func(ctx context.Context, l *lane) error

func newPublishing(target Target, lanes int, channels []string, f form) *publishing {
	p := &publishing{target: target, cancel: func() {}, failures: make([]error, lanes)}
	for i := range lanes {
		p.lanes = append(p.lanes, newLane(target, i, channels, f))
	}
	return p
}

// start lets every lane work until stop is called, the context ends or the
// lane fails.
func (p *publishing) start(ctx context.Context, do work) {
	ctx, p.cancel = context.WithCancel(ctx)
	for i, l := range p.lanes {
		p.running.Go(func() {
			var err error
			for err == nil && ctx.Err() == nil {
				err = do(ctx, l)
			}
			if !errors.Is(err, context.Canceled) {
				p.failures[i] = err
			}
			l.close()
		})
	}
}

// stop ends all lanes and waits for the answers under way.
func (p *publishing) stop() {
	p.cancel()
	p.running.Wait()
}

// closedLoop publishes to each channel in turn whenever the window has a slot.
func (p *publishing) closedLoop(w *window) work {
	return func(ctx context.Context, l *lane) error {
		select {
		case slot := <-w.free:
			channel := int(p.turn.Add(1)-1) % len(l.channels)
			return l.publish(ctx, channel, slot, time.Now())
		case <-ctx.Done():
			return context.Canceled
		}
	}
}

// openLoop publishes by the clock, whatever the server does: lane by lane in
// turn, so that a late answer holds up its own lane only. The stamps carry the
// time a publish was due, not when it could be sent.
func (p *publishing) openLoop(rate float64) work {
	start, lanes := time.Now(), int64(len(p.lanes))
	turns := make([]int64, lanes) // publishes made, by lane
	return func(ctx context.Context, l *lane) error {
		number := turns[l.index]*lanes + int64(l.index)
		due := start.Add(time.Duration(float64(number) / rate * float64(time.Second)))
		rest(ctx, time.Until(due))
		if ctx.Err() != nil {
			return context.Canceled
		}
		turns[l.index]++
		return l.publish(ctx, int(number)%len(l.channels), noSlot, due)
	}
}

// accepted is the number of messages that the server answered 200 for.
func (p *publishing) accepted() (n int64) {
	for _, l := range p.lanes {
		for _, published := range l.published {
			n += int64(published)
		}
	}
	return n
}

// addFaults adds the lanes that failed.
func (p *publishing) addFaults(f *Faults) {
	for i, err := range p.failures {
		if err == nil {
			continue
		}
		f.Refused++
		if f.First == "" {
			f.First = fmt.Sprintf("lane %d: %v", i, err)
		}
	}
}
