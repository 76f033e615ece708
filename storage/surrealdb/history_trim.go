package surrealdb

import (
	"context"
	"fmt"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxTrim and minTrim are how many entries a step removes: the fewer, the more often
	// others have been faster. maxTrimBytes bounds them, where they are large.
	maxTrim      = 250
	minTrim      = 10
	maxTrimBytes = 64 << 20
)

// change is one attempt to change a log, from how it is. More says that there may be
// more to do behind it.
type change func(ctx context.Context, s headState, old []oldRecord, attempt int) (more bool, err error)

// changed changes a log until there is nothing more to do. Attempts of which others
// were in the way are repeated, for callTimeout at most.
func (h *History) changed(ctx context.Context, id string, try change) error {
	var was *headState // of an attempt that nothing has come of
	progress := time.Now()
	for attempt := 0; ; {
		s, more, err := h.tryChange(ctx, id, was, attempt, try)
		switch {
		case isStale(err), isRace(err), isThere(err):
			if was = nil; isStale(err) {
				was = &s
			}
			attempt++
			if !pauseAfter(ctx, attempt) || time.Since(progress) > callTimeout {
				return h.fail(ctx, errStale)
			}
		case err != nil || !more:
			return err
		default:
			was, attempt, progress = nil, 0, time.Now()
		}
	}
}

func (h *History) tryChange(ctx context.Context, id string, was *headState, attempt int, try change) (s headState, more bool, err error) {
	ctx, done, err := h.begin(ctx)
	if err != nil {
		return s, false, err
	}
	defer done()
	letGo, err := h.hold(ctx, id)
	if err != nil {
		return s, false, h.fail(ctx, err)
	}
	defer letGo()
	s, old, err := h.readHead(ctx, id)
	if err == nil && was != nil && s.same(*was) {
		err = errNoRight
	}
	if err == nil {
		more, err = try(ctx, s, old, attempt)
	}
	if isStale(err) || isRace(err) || isThere(err) {
		return s, more, err
	}
	return s, more, h.fail(ctx, err)
}

// Trim implements storage.History. It also removes what is left of what the log was
// before a reset.
func (h *History) Trim(ctx context.Context, key storage.LogKey, stream string, before uint64) error {
	id := logID(key)
	var left []oldRecord
	err := h.changed(ctx, id, func(ctx context.Context, s headState, old []oldRecord, attempt int) (more bool, err error) {
		left = old
		if s.version == 0 || s.Stream != stream || s.First >= before || s.empty() {
			return false, nil
		}
		return true, h.trimStep(ctx, id, s, before, attempt)
	})
	if err != nil {
		return err
	}
	return h.sweep(ctx, id, left)
}

// trimStep removes some of the oldest entries of a log.
func (h *History) trimStep(ctx context.Context, id string, s headState, before uint64, attempt int) error {
	b := branch{tables: h.names, id: id, stream: s.Stream}
	step := max(minTrim, maxTrim>>min(attempt, 8))
	if s.largest > 0 {
		step = max(1, min(step, maxTrimBytes/s.largest))
	}
	w := window{s.First, min(before-1, s.Serial, s.First+uint64(step)-1)}
	going, err := h.bare(ctx, b, window{w.first, min(w.last+1, s.Serial)})
	if err != nil {
		return err
	}
	after := s
	after.First, after.firstAt, after.version = w.last+1, 0, s.version+1
	if n := len(going); n > 0 && going[n-1].Serial > w.last {
		after.firstAt, going = going[n-1].At, going[:n-1]
	} else if !after.empty() {
		return fmt.Errorf("entry %d of log %s: %w", after.First, id, errMoved)
	}
	_, _ = h.remembered(id)
	vars := headVars(&after)
	vars["id"] = h.names.log(id)
	guard(vars, &s)
	if err = h.link.query(ctx, true, guarded+orStale+removal(vars, b, w, going)+" RETURN true }", vars, nil); err == nil {
		h.remember(id, after)
	}
	return err
}

// bare reads entries without their payloads.
func (h *History) bare(ctx context.Context, b branch, w window) ([]storage.LogEntry, error) {
	var records []entryRecord
	err := h.ask(ctx, "SELECT "+entryColumns+" FROM $span", map[string]any{"span": from(b.entry(w.first), b.entry(w.last))}, &records)
	return entries(records), err
}

// removal are the statements that remove entries, and what says that they are there.
func removal(vars map[string]any, b branch, w window, going []storage.LogEntry) string {
	text := " DELETE $span RETURN NONE;"
	vars["span"] = from(b.entry(w.first), b.entry(w.last))
	var gone, newest []any
	subjects := map[string]bool{}
	for _, e := range going {
		if e.Once != "" {
			gone = append(gone, b.once(e.Once))
		}
		if e.Subject != "" {
			gone = append(gone, b.about(e.Subject, e.Serial))
		}
		if e.Subject != "" && !subjects[e.Subject] {
			subjects[e.Subject], newest = true, append(newest, b.about(e.Subject, 0))
		}
	}
	if len(gone) > 0 {
		vars["gone"] = gone
		text += " DELETE $gone RETURN NONE;"
	}
	if len(newest) > 0 {
		vars["newest"], vars["last"] = newest, w.last
		text += " DELETE $newest WHERE serial <= $last RETURN NONE;"
	}
	return text
}

// Reset implements storage.History. The new log is there at once, with a note of the
// old one, and then the old entries go. If that is broken off, the next Trim or Reset
// goes on with it.
func (h *History) Reset(ctx context.Context, key storage.LogKey, fresh string) error {
	id := logID(key)
	var left []oldRecord
	err := h.changed(ctx, id, func(ctx context.Context, s headState, old []oldRecord, _ int) (more bool, err error) {
		if left = old; s.Stream == fresh {
			return false, nil
		}
		return true, h.begun(ctx, key, id, fresh, s)
	})
	if err != nil {
		return err
	}
	return h.sweep(ctx, id, left)
}

// begun makes a log begin anew, or at all.
func (h *History) begun(ctx context.Context, key storage.LogKey, id, fresh string, s headState) error {
	_, _ = h.remembered(id)
	after := headState{LogHead: storage.LogHead{Stream: fresh, First: 1}, version: s.version + 1}
	vars := headVars(&after)
	vars["id"], vars["state"] = h.names.log(id), storedState(storage.LogState{})
	if s.version == 0 {
		vars["app"], vars["channel"] = textOrBytes(key.App), textOrBytes(key.Channel)
		return h.link.query(ctx, true, created+orStale+" RETURN true }", vars, nil)
	}
	guard(vars, &s)
	vars["old"] = map[string]any{"stream": textOrBytes(s.Stream), "first": s.First, "serial": s.Serial}
	text := "{ LET $done = (UPDATE $id SET " + setHead + ", state = $state, old += $old WHERE version = $was AND stream = $of RETURN VALUE version)" + orStale + " RETURN true }"
	return h.link.query(ctx, true, text, vars, nil)
}

// sweep removes what logs have left behind that were reset, and then the notes of
// them.
func (h *History) sweep(ctx context.Context, id string, old []oldRecord) error {
	for _, o := range old {
		b := branch{tables: h.names, id: id, stream: string(o.Stream)}
		for first := max(1, o.First); first <= o.Serial; first += maxTrim {
			if err := h.sweepStep(ctx, b, window{first, min(o.Serial, first+maxTrim-1)}); err != nil {
				return err
			}
		}
		err := h.changed(ctx, id, func(ctx context.Context, _ headState, _ []oldRecord, _ int) (bool, error) {
			vars := map[string]any{"id": h.names.log(id), "stream": textOrBytes(b.stream)}
			return false, h.link.query(ctx, true, "UPDATE $id SET old = old[WHERE stream != $stream] RETURN NONE", vars, nil)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *History) sweepStep(ctx context.Context, b branch, w window) error {
	ctx, done, err := h.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	err = raced(ctx, func() error {
		going, err := h.bare(ctx, b, w)
		if err != nil || len(going) == 0 {
			return err
		}
		vars := map[string]any{}
		return h.link.query(ctx, true, "{"+removal(vars, b, w, going)+" RETURN true }", vars, nil)
	})
	return h.fail(ctx, err)
}

// Mark implements storage.History.
func (h *History) Mark(ctx context.Context, key storage.LogKey, stream string, state storage.LogState) error {
	id := logID(key)
	return h.changed(ctx, id, func(ctx context.Context, s headState, _ []oldRecord, _ int) (bool, error) {
		if s.version == 0 || s.Stream != stream || state.Since <= s.State.Since {
			return false, nil
		}
		vars := map[string]any{"id": h.names.log(id), "stream": textOrBytes(stream), "since": state.Since, "state": storedState(state)}
		return false, h.link.query(ctx, true, marked+orStale+" RETURN true }", vars, nil)
	})
}

const marked = "{ LET $done = (UPDATE $id SET state = $state WHERE stream = $stream AND state.since < $since RETURN VALUE version)"
