package realtime

import (
	"context"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// pastKey says what a rewind reads: so many of the newest rows of a history, up to a
// serial.
type pastKey struct {
	stream    string
	count, at uint64
}

// past is a rewind that is being read, for all who ask for the same meanwhile. When a
// thousand clients come back at once, the store is not asked a thousand times.
type past struct {
	key  pastKey
	read chan struct{} // closed when the fields below are set
	rows []*message
	done protocol.RewindComplete
	err  error
}

// join finds the past that another subscription is having read, or files one that this
// subscription is to read. It is nil for a rewind that is one of its own: that of a
// filter, and that of a moment in time, which is never the same. The caller holds mu.
func (r *rewinding) join(stream string, asked *protocol.Rewind) (p *past, reading bool) {
	if asked.Count == 0 || r.tune != nil && r.tune.filter != nil {
		return nil, false
	}
	key := pastKey{stream, asked.Count, r.at}
	if p, reading = r.stream.pasts[key]; reading {
		return p, true
	}
	if r.stream.pasts == nil {
		r.stream.pasts = map[pastKey]*past{}
	}
	p = &past{key: key, read: make(chan struct{}), err: context.Canceled} // should it panic
	r.stream.pasts[key] = p
	return p, false
}

// take waits for a past that is being read.
func (p *past) take(ctx context.Context, r *rewinding) error {
	select {
	case <-p.read:
		r.rows, r.done = p.rows, p.done
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// share has a past read by f, and gives it to those who wait for it.
func (r *rewinding) share(p *past, f func() error) error {
	if p == nil {
		return f()
	}
	defer func() {
		r.channel.mu.Lock()
		delete(r.stream.pasts, p.key)
		r.channel.mu.Unlock()
		close(p.read)
	}()
	p.err = f()
	p.rows, p.done = r.rows, r.done
	return p.err
}
