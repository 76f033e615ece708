package console

import (
	"context"
	"errors"
)

// Why sessions end, as the page is told.
var (
	errEndExpired  = errors.New("expired")
	errEndOff      = errors.New("off")
	errEndRevoked  = errors.New("revoked")
	errEndReload   = errors.New("reload")
	errEndReplaced = errors.New("replaced")
	errEndHub      = errors.New("closed")
)

// session is an open page.
type session struct {
	end context.CancelCauseFunc
}

// begin admits a page, if there is room for it. One that connects again takes its own place.
func (c *Console) begin(ctx context.Context, id string, most int) (context.Context, *session, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.sessions[id]; before != nil {
		before.end(errEndReplaced)
	} else if len(c.sessions) >= most {
		return nil, nil, false
	}
	ctx, end := context.WithCancelCause(ctx)
	s := &session{end}
	c.sessions[id] = s
	return ctx, s, true
}

func (c *Console) finish(id string, s *session) {
	s.end(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions[id] == s {
		delete(c.sessions, id)
	}
}

func (c *Console) endSessions(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sessions {
		s.end(why)
	}
}

// Sessions is the number of pages that are open.
func (c *Console) Sessions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions)
}
