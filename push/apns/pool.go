package apns

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// settling is how long a connection without an answer keeps others from being opened.
	settling = 250 * time.Millisecond
	// tick is how often those who wait are looked after if nothing happens.
	tick = 100 * time.Millisecond
	// dialPause is the time between connections of which one has come to nothing.
	dialPause = time.Second
	// dialTimeout bounds making a connection.
	dialTimeout = 10 * time.Second
)

// pool has the connections to one host. net/http's own opens one for each request that
// finds the others full, which are hundreds at a time, and closes most of them at once.
// Here they are opened one after another, and whoever finds no room waits for whatever
// comes first.
type pool struct {
	dial func(ctx context.Context) (*http.ClientConn, error)
	most int

	mu      sync.Mutex
	links   []*link
	queue   []chan grant
	closed  bool
	dialing bool
	ticking bool
	// notBefore is when the next connection may be made.
	notBefore time.Time
}

// link is a connection. The pool's lock guards what it has.
type link struct {
	*http.ClientConn
	since time.Time
	// used is how many requests are on it. A reservation of ClientConn would not do: net/http
	// waits for reservations to end before it sends, and they wait for it, once the server
	// admits fewer requests than have been reserved.
	used     int
	answered bool
	left     bool // nothing is to be sent on it any more
}

// room is how many more requests it takes. Before the first answer that is one: what the
// server admits is not known until then, and APNs admits one on a connection that has not
// been authenticated.
func (l *link) room() int {
	switch {
	case l.left || l.Err() != nil:
		return 0
	case !l.answered:
		return min(l.Available(), 1) - l.used
	}
	return l.Available() + l.InFlight() - l.used
}

// grant is a connection with room for one request, or why there is none.
type grant struct {
	link *link
	err  error
}

// take waits for room for one request. Whoever gets it calls done later.
func (p *pool) take(ctx context.Context) (*link, error) {
	mine := make(chan grant, 1)
	p.mu.Lock()
	p.queue = append(p.queue, mine)
	p.turn()
	p.mu.Unlock()
	select {
	case g := <-mine:
		return g.link, g.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.queue, mine); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	} else if g := <-mine; g.link != nil { // it has come too late
		g.link.used--
		p.turn()
	}
	return nil, ctx.Err()
}

// ending is what a request says about its connection.
type ending struct {
	answered bool // it is good
	leaving  bool // nothing is to be sent on it any more
}

// done is for a request that is over.
func (p *pool) done(l *link, e ending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.used--
	l.answered = l.answered || e.answered
	l.left = l.left || e.leaving
	p.turn()
}

// close lets go of connections as soon as nobody needs them.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.turn()
}

// turn gives room to those who wait, and sees to it that there is more. The pool is
// locked, as it is for all below.
func (p *pool) turn() {
	p.tidy()
	for len(p.queue) > 0 {
		i := slices.IndexFunc(p.links, func(l *link) bool { return l.room() > 0 })
		if i < 0 {
			p.grow()
			return
		}
		p.links[i].used++
		p.queue[0] <- grant{link: p.links[i]}
		p.queue = p.queue[1:]
	}
	p.queue = nil // with the room that it has left behind
	p.tidy()
}

// tidy drops connections that are over.
func (p *pool) tidy() {
	p.links = slices.DeleteFunc(p.links, func(l *link) bool {
		unneeded := p.closed && len(p.queue) == 0
		if l.used > 0 || l.Err() == nil && l.room() > 0 && !unneeded {
			return false
		}
		if !l.answered && !p.closed {
			p.notBefore = time.Now().Add(dialPause)
		}
		go l.Close()
		return true
	})
}

// grow makes a connection if it is time for one, and otherwise sees to it that this is
// looked at again.
func (p *pool) grow() {
	now := time.Now()
	if !p.dialing && len(p.links) < p.most && !p.settling(now) && !now.Before(p.notBefore) {
		p.dialing = true
		go p.connect()
	}
	if !p.ticking {
		p.ticking = true
		time.AfterFunc(tick, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ticking = false
			p.turn()
		})
	}
}

// settling reports whether the newest connection is about to take more requests.
func (p *pool) settling(now time.Time) bool {
	if len(p.links) == 0 {
		return false
	}
	l := p.links[len(p.links)-1]
	return !l.answered && !l.left && l.Err() == nil && now.Sub(l.since) < settling
}

// connect makes a connection.
func (p *pool) connect() {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	conn, err := p.dial(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing = false
	switch {
	case err == nil:
		p.links = append(p.links, &link{ClientConn: conn, since: time.Now()})
	case len(p.links) > 0: // those who wait may still find room
		p.notBefore = time.Now().Add(dialPause)
	default:
		for _, waiter := range p.queue {
			waiter <- grant{err: err}
		}
		p.queue = nil
	}
	p.turn()
}
