package sockudo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxTails bounds how many listen to one hub at a time.
	maxTails = 32
	// tailRoom is what waits for one of them, in bytes. What comes on top is counted.
	tailRoom = 4 << 20
	// tailAlive is the silence after which one is told that there is nothing.
	tailAlive = 15 * time.Second
)

var (
	// errTooManyTails is the answer to one more.
	errTooManyTails = fmt.Errorf("%d listen to this hub already, which is the most at one time", maxTails)
	// errHubEnded is why a tail ends that nobody has ended.
	errHubEnded = errors.New("the hub has ended")
)

// tailTo takes what a tail hears, in the form that its route has. An error of any of its
// functions ends the tail. None of them may wait without a bound.
type tailTo struct {
	// Happening writes one thing that has happened.
	Happening func(realtime.Happening) error
	// Missed writes how many there was no room for.
	Missed func(n uint64) error
	// Alive is called when nothing has happened for a while, and once at the begin, when
	// everything that happens from now on is heard.
	Alive func() error
	// Flush is called when nothing more is waiting.
	Flush func() error
}

// streamHappenings writes what happens in a hub on this node until ctx ends, which is no error, until
// the hub ends, or until the writer fails. It never holds up the hub, and nothing that stops the hub
// waits for it.
func streamHappenings(ctx context.Context, h *hub, filter realtime.TapFilter, to tailTo) error {
	if h.tails.Add(1) > maxTails {
		h.tails.Add(-1)
		return errTooManyTails
	}
	defer h.tails.Add(-1)
	tap := h.Tap(filter, tailRoom)
	defer tap.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-h.ended: // which comes also where the end of the hub takes too long to be told to taps
			cancel(errHubEnded)
		case <-ctx.Done():
		}
	}()
	if err := errors.Join(to.Alive(), to.Flush()); err != nil {
		return err
	}
	for {
		waiting, stop := context.WithTimeout(ctx, tailAlive)
		all, missed, err := tap.Next(waiting)
		stop()
		switch {
		case errors.Is(err, realtime.ErrTapClosed), errors.Is(context.Cause(ctx), errHubEnded):
			return errHubEnded
		case ctx.Err() != nil:
			return nil
		case err != nil: // a while without anything
			err = to.Alive()
		default:
			err = to.all(all, missed)
		}
		if err := errors.Join(err, to.Flush()); err != nil {
			return err
		}
	}
}

// all writes what was waiting. What there was no room for came after it.
func (to tailTo) all(all []realtime.Happening, missed uint64) error {
	for _, one := range all {
		if err := to.Happening(one); err != nil {
			return err
		}
	}
	if missed > 0 {
		return to.Missed(missed)
	}
	return nil
}

// tailFilter reads what a tail wants to hear from the parameters of a request: app, channel, socket,
// user, kinds with commas between them, and data, which may be off.
func tailFilter(r *http.Request) (realtime.TapFilter, error) {
	f := realtime.TapFilter{
		App: r.FormValue("app"), Channel: r.FormValue("channel"), SocketID: r.FormValue("socket"), UserID: r.FormValue("user"),
	}
	if i := strings.IndexByte(f.Channel, '*'); i >= 0 && i < len(f.Channel)-1 {
		return f, badRequest(fmt.Errorf("channel %q: an asterisk stands at the end only", f.Channel))
	}
	for kind := range strings.SplitSeq(r.FormValue("kinds"), ",") {
		if kind = strings.TrimSpace(kind); kind == "" {
			continue
		}
		if !slices.Contains(realtime.Kinds, realtime.Kind(kind)) {
			return f, badRequest(fmt.Errorf("kinds: %q is none of them: %s", kind, kindNames()))
		}
		f.Kinds = append(f.Kinds, realtime.Kind(kind))
	}
	if text := r.FormValue("data"); text != "" {
		data, err := strconv.ParseBool(text)
		if err != nil {
			return f, badRequest(fmt.Errorf("data %q is neither true nor false", text))
		}
		f.NoData = !data
	}
	return f, nil
}

// kindNames are all kinds of happenings, as they are written.
func kindNames() string {
	names := make([]string, len(realtime.Kinds))
	for i, kind := range realtime.Kinds {
		names[i] = string(kind)
	}
	return strings.Join(names, ", ")
}

// checkTailApp refuses a tail of an app that does not exist: it would be silent for ever.
func (h *hub) checkTailApp(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	return h.withStore(ctx, func(ctx context.Context, apps storage.AppManager) error {
		_, err := apps.AppByID(ctx, id)
		if errors.Is(err, storage.ErrNotFound) {
			return missing("app", id)
		}
		if err != nil {
			return unavailable(err)
		}
		return nil
	})
}

// tailError is what a request for a tail is answered that could not begin.
func tailError(err error) error {
	if errors.Is(err, errTooManyTails) {
		return caddy.APIError{HTTPStatus: http.StatusTooManyRequests, Err: err}
	}
	return unavailable(err)
}
