package sockudo

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// tailWrite bounds one write to somebody who listens. Who does not read for so long is let go.
const tailWrite = 30 * time.Second

// TailLine is one line of a tail: something that has happened, or one of the other members alone.
type TailLine struct {
	*realtime.Happening

	// Missed is how many happenings there was no room for: whoever listens reads too slowly.
	Missed uint64 `json:"missed,omitempty"`
	// Alive is set in the first line, and in one after each 15 seconds of silence.
	Alive bool `json:"alive,omitempty"`
	// Ended is in the last line, if the server ends the tail, and says why.
	Ended string `json:"ended,omitempty"`
}

// Why the server ends a tail.
const (
	endedByReload = "the admin endpoint is replaced: connect again"
	endedByHub    = "the hub has ended"
)

// adminTail writes what happens in a hub, a line of JSON each, for as long as the client reads.
func adminTail(w http.ResponseWriter, r *http.Request, h *hub) error {
	filter, err := tailFilter(r)
	if err != nil {
		return err
	}
	if err := h.checkTailApp(r.Context(), filter.App); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	replaced := adminReplaced(r)
	go func() {
		select {
		case <-replaced:
			cancel()
		case <-ctx.Done():
		}
	}()
	control, lines, begun := http.NewResponseController(w), json.NewEncoder(w), false
	lines.SetEscapeHTML(false)
	write := func(line TailLine) error {
		if !begun { // an error before is an answer of its own
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Cache-Control", "no-store")
			begun = true
		}
		if err := control.SetWriteDeadline(time.Now().Add(tailWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		return lines.Encode(line)
	}
	err = streamHappenings(ctx, h, filter, tailTo{
		Happening: func(what realtime.Happening) error { return write(TailLine{Happening: &what}) },
		Missed:    func(n uint64) error { return write(TailLine{Missed: n}) },
		Alive:     func() error { return write(TailLine{Alive: true}) },
		Flush:     control.Flush,
	})
	switch {
	case !begun:
		return tailError(err)
	case errors.Is(err, errHubEnded):
		_ = write(TailLine{Ended: endedByHub}) // who has gone needs no farewell
	case r.Context().Err() == nil && ctx.Err() != nil:
		_ = write(TailLine{Ended: endedByReload})
	}
	return nil
}

// replacements are channels that close with the admin server of a configuration, by server.
var replacements struct {
	sync.Mutex
	closed map[*http.Server]chan struct{}
}

// adminReplaced closes when the admin server of a request is shut down, which each change of the
// configuration does. Caddy waits ten seconds for open requests then, and reports those that stay.
func adminReplaced(r *http.Request) <-chan struct{} {
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if server == nil {
		return nil
	}
	replacements.Lock()
	defer replacements.Unlock()
	if closed := replacements.closed[server]; closed != nil {
		return closed
	}
	closed := make(chan struct{})
	if replacements.closed == nil {
		replacements.closed = map[*http.Server]chan struct{}{}
	}
	replacements.closed[server] = closed
	server.RegisterOnShutdown(func() {
		replacements.Lock()
		defer replacements.Unlock()
		delete(replacements.closed, server)
		close(closed)
	})
	return closed
}
