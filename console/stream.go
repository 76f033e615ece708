package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
)

const (
	// room bounds what waits for one page, in bytes.
	room = 1 << 20
	// writeTimeout ends a stream that its page does not read.
	writeTimeout = 10 * time.Second
	// maxPage is the length of the longest name of a page.
	maxPage = 64
)

// Line is one of a stream. One of its fields is set.
type Line struct {
	// Happened are things in the order of each channel and connection.
	Happened []realtime.Happening `json:"happened,omitempty"`
	// Missed counts what there was no room for.
	Missed uint64 `json:"missed,omitempty"`
	// Pulse comes every second.
	Pulse *Pulse `json:"pulse,omitempty"`
	// End says why this is the last line: expired, off, revoked, closed, or replaced by another stream of
	// the page; and after reload the page connects again.
	End string `json:"end,omitempty"`
}

// serveStream tells a page what happens, line by line, until the link expires.
func (c *Console) serveStream(w http.ResponseWriter, r *http.Request, who Claims) {
	settings := c.On()
	filter, err := filterOf(r, who)
	page := r.FormValue("page")
	switch {
	case settings == nil:
		refuse(w, http.StatusNotFound, "The console is off.")
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
		return
	case page == "" || len(page) > maxPage:
		refuse(w, http.StatusBadRequest, "page must name the page in 1 to 64 bytes.")
		return
	}
	ctx, stop := context.WithDeadlineCause(r.Context(), who.expires(), errEndExpired)
	defer stop()
	id := who.ID + " " + page
	ctx, s, ok := c.begin(ctx, id, settings.MaxSessions)
	if !ok {
		refuse(w, http.StatusTooManyRequests, fmt.Sprintf("%d consoles are open, and no more may be: see max_sessions.", settings.MaxSessions))
		return
	}
	defer c.finish(id, s)
	if _, err := c.verify(bearer(r), time.Now()); err != nil || c.On() == nil { // meanwhile
		s.end(errEndRevoked)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Accel-Buffering", "no")
	t := &stream{console: c, app: filter.App, write: lineWriter(w)}
	t.run(ctx, s, c.hub.Tap(filter, room), untilOf(r.Context()))
}

// filterOf is what the page wants to hear, within what the link allows.
func filterOf(r *http.Request, who Claims) (f realtime.TapFilter, err error) {
	f = realtime.TapFilter{
		App: r.FormValue("app"), Channel: r.FormValue("channel"), SocketID: r.FormValue("socket"), UserID: r.FormValue("user"),
		NoData: r.FormValue("data") == "off",
	}
	if who.App != "" {
		f.App = who.App
	}
	if star := strings.IndexByte(f.Channel, '*'); star >= 0 && star < len(f.Channel)-1 {
		return f, errors.New("channel: an asterisk stands at the end only")
	}
	for _, text := range r.Form["kind"] {
		kind := realtime.Kind(text)
		if !slices.Contains(realtime.Kinds, kind) {
			return f, fmt.Errorf("kind %q is unknown", text)
		}
		f.Kinds = append(f.Kinds, kind)
	}
	return f, nil
}

// lineWriter writes lines at once, each within writeTimeout.
func lineWriter(w http.ResponseWriter) func(Line) error {
	control := http.NewResponseController(w)
	return func(l Line) error {
		text, err := json.Marshal(l)
		if err != nil {
			return err
		}
		// Not every writer has deadlines; the server's own hold then.
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := w.Write(append(text, '\n')); err != nil {
			return err
		}
		return control.Flush()
	}
}

// stream is what one page gets.
type stream struct {
	console *Console
	app     string
	write   func(Line) error
	last    reading
}

// run writes until ctx ends, or until is closed. Then it says why, if somebody listens.
func (t *stream) run(ctx context.Context, s *session, tap *realtime.Tap, until <-chan struct{}) {
	lines := make(chan Line)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		listen(ctx, s, tap, lines)
	}()
	defer func() {
		s.end(nil)
		tap.Close()
		<-heard
	}()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	err := t.beat()
	for err == nil {
		select {
		case <-ctx.Done():
			if why := context.Cause(ctx); !errors.Is(why, context.Canceled) {
				_ = t.write(Line{End: why.Error()}) // it is over in any case
			}
			return
		case <-until:
			s.end(errEndReload)
			until = nil
		case l := <-lines:
			err = t.write(l)
		case <-ticker.C:
			err = t.beat()
		}
	}
}

// listen hands on what a tap hears.
func listen(ctx context.Context, s *session, tap *realtime.Tap, lines chan<- Line) {
	for {
		happened, missed, err := tap.Next(ctx)
		if errors.Is(err, realtime.ErrTapClosed) {
			s.end(errEndHub)
			return
		}
		if err != nil {
			return
		}
		select {
		case lines <- Line{Happened: happened, Missed: missed}:
		case <-ctx.Done():
			return
		}
	}
}

func (t *stream) beat() error {
	now := t.console.pulses.read(t.console.hub, t.app)
	if t.last.at.IsZero() {
		t.last = now
	}
	p := now.since(t.last)
	t.last = now
	return t.write(Line{Pulse: &p})
}
