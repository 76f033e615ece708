package surrealdb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// loginTimeout bounds connecting, and signing in.
	loginTimeout = 8 * time.Second
	// callTimeout bounds one call, with connecting anew if that is needed.
	callTimeout = 10 * time.Second
	// minBackoff and maxBackoff bound the time until somebody tries to connect again
	// where it has failed. Calls before that fail at once.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 2 * time.Second
	// maxSessions is in how many sessions a call is tried that all expire too early.
	maxSessions = 4
)

// link holds a connection that is signed in, and makes another one when it is lost,
// or its session has expired. It connects when somebody calls.
type link struct {
	o        Options
	endpoint *url.URL
	secure   *tls.Config
	open     context.Context // ends with close
	stop     context.CancelFunc
	loops    sync.WaitGroup

	mu       sync.Mutex
	now      *socket  // the last one that was made
	attempt  *attempt // to make the next one
	failures int      // attempts in a row
	failed   error    // the last one
	again    time.Time
}

// attempt is one try to connect and sign in. The fields are set when it is done.
type attempt struct {
	done   chan struct{}
	socket *socket
	err    error
}

func newLink(o Options) (*link, error) {
	l := &link{o: o}
	var err error
	if l.endpoint, err = o.endpoint(); err != nil {
		return nil, err
	}
	if l.secure, err = o.TLS.Config(); err != nil {
		return nil, err
	}
	l.open, l.stop = context.WithCancel(context.Background())
	return l, nil
}

// close ends the connection and the calls that are under way, and waits until
// nothing runs any more.
func (l *link) close() {
	l.stop()
	l.mu.Lock()
	now := l.now
	l.mu.Unlock()
	if now != nil {
		now.end(context.Canceled)
	}
	l.loops.Wait()
}

// connection is one that can be used, made by whoever asks for it first.
func (l *link) connection(ctx context.Context) (*socket, error) {
	l.mu.Lock()
	if l.now != nil && !l.now.ended() {
		defer l.mu.Unlock()
		return l.now, nil
	}
	a := l.attempt
	switch {
	case l.open.Err() != nil:
		defer l.mu.Unlock()
		return nil, l.open.Err()
	case a == nil && time.Now().Before(l.again):
		defer l.mu.Unlock()
		return nil, l.failed
	case a == nil:
		a = &attempt{done: make(chan struct{})}
		l.attempt = a
		l.loops.Go(func() { l.try(a) })
	}
	l.mu.Unlock()
	select {
	case <-a.done:
		return a.socket, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// try makes an attempt. It goes on when the caller has left: others wait too.
func (l *link) try(a *attempt) {
	ctx, cancel := context.WithTimeout(l.open, loginTimeout)
	defer cancel()
	a.socket, a.err = l.enter(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(a.done)
	l.attempt = nil
	switch {
	case a.err == nil && l.open.Err() != nil:
		a.socket.end(context.Canceled)
	case a.err == nil:
		l.now, l.failures, l.failed = a.socket, 0, nil
		return
	}
	l.failed = a.err
	pause := min(minBackoff<<min(l.failures, 10), maxBackoff)
	l.failures++
	l.again = time.Now().Add(pause/2 + rand.N(pause/2))
}

// enter connects, signs in and chooses the database.
func (l *link) enter(ctx context.Context) (*socket, error) {
	s, err := dial(ctx, l.endpoint, l.secure, &l.loops)
	if err == nil {
		if _, err = l.say(ctx, s, "signin", l.o.login()); err != nil {
			if e, ok := errors.AsType[*serverError](err); ok { // which may show what it was given
				e.Message = strings.ReplaceAll(e.Message, l.o.Password, "…")
			}
			err = fmt.Errorf("signing in as %s: %w", l.user(), err)
		} else if err = l.choose(ctx, s); err != nil {
			err = fmt.Errorf("choosing the database: %w", err)
		}
		if err != nil {
			s.end(err)
		}
	}
	switch {
	case err == nil:
		return s, nil
	case l.open.Err() == nil && (ctx.Err() != nil || isTimeout(err)):
		return nil, fmt.Errorf("no answer within %v", loginTimeout)
	}
	return nil, err
}

// choose chooses the database, which the server makes if there is none.
func (l *link) choose(ctx context.Context, s *socket) error {
	return raced(ctx, func() error {
		_, err := l.say(ctx, s, "use", l.o.Namespace, l.o.Database)
		return err
	})
}

// user names who signs in, and where that one is defined.
func (l *link) user() string {
	if l.o.AuthLevel == levelRoot {
		return fmt.Sprintf("root user %q", l.o.Username)
	}
	return fmt.Sprintf("user %q of the %s", l.o.Username, l.o.AuthLevel)
}

func (l *link) say(ctx context.Context, s *socket, method string, params ...any) (raw, error) {
	data, err := s.ask(ctx, method, params...)
	if err != nil {
		return nil, err
	}
	return answerTo(data)
}

// query asks for one statement and reads its result. harmless says that it may run
// twice: then it is sent again when the connection was lost before the answer.
func (l *link) query(ctx context.Context, harmless bool, text string, vars map[string]any, to any) error {
	for n := 1; ; n++ {
		s, err := l.connection(ctx)
		if err != nil {
			return err
		}
		result, err := l.say(ctx, s, "query", text, vars)
		if err == nil {
			err = answerOf(result, to)
		}
		gone, isLost := errors.AsType[*lostError](err)
		switch {
		case isLost && l.open.Err() != nil:
			return l.open.Err()
		case isLost && n == 1 && (harmless || !gone.sent):
		case isLost && gone.sent && !harmless:
			return fmt.Errorf("the change may have been made or not: %w", err)
		case isExpired(err) && n < maxSessions: // nothing was done; a new session is needed
			s.retire()
		default:
			return err
		}
	}
}
