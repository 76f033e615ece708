package surrealdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// staleMark is what a transaction throws when the log is not the one any more that
// the change was planned from.
const staleMark = "sockudo: the log has changed"

// errStale says that nothing was written, because others have changed the log. It is
// no ErrConflict, which would say that the entry itself is refused.
var errStale = errors.New("other nodes change the log all the time")

// maxPause bounds the wait between two attempts.
const maxPause = 100 * time.Millisecond

// appendAll adds appends to a log, in one transaction, and sets what has become of
// each. Nobody else from here changes the log.
func (h *History) appendAll(key storage.LogKey, id string, items []*item) {
	ctx, done, err := h.begin(h.link.open)
	if err == nil {
		defer done()
		err = h.tryAll(ctx, key, id, items)
	}
	if err = h.fail(ctx, err); err != nil {
		for _, i := range items {
			i.Entry, i.Stream, i.Err = storage.LogEntry{}, "", err
		}
	}
}

// tryAll plans and writes until what was planned could be written. The first plan is
// made from what is remembered of the log, and believes that nothing is there already.
func (h *History) tryAll(ctx context.Context, key storage.LogKey, id string, items []*item) error {
	p := addition{branch: branch{tables: h.names, id: id}, key: key}
	var known bool
	if p.before, known = h.remembered(id); known {
		known = !slices.ContainsFunc(items, func(i *item) bool { return i.After != nil })
	}
	var was headState // as it was read before
	var last error
	for n := 0; ; n++ {
		if !known || n > 0 {
			if err := h.study(ctx, &p, items); err != nil {
				return err
			}
			if n > 1 && isStale(last) && p.before.same(was) {
				return errNoRight // the server says nothing, and changes nothing
			}
			was = p.before
		}
		p.make(items)
		if len(p.added) == 0 {
			h.keepHead(id, p.before)
			return nil
		}
		last = h.carryOut(ctx, &p)
		switch {
		case last == nil:
			h.remember(id, p.after)
			return nil
		case isThere(last) && n > maxRaces:
			return fmt.Errorf("the log has records that it does not know of: %w", last)
		case !isStale(last) && !isThere(last) && !isRace(last):
			return last
		case !pauseAfter(ctx, n):
			return errStale
		}
	}
}

// keepHead remembers a log that was only looked at.
func (h *History) keepHead(id string, s headState) {
	if s.version > 0 {
		h.remember(id, s)
	}
}

func isStale(err error) bool {
	return says(err, func(m string) bool { return strings.HasSuffix(m, staleMark) })
}

// pauseAfter waits a while behind an attempt, the longer the more there were. It
// reports whether there may be another one.
func pauseAfter(ctx context.Context, attempt int) bool {
	if attempt == 0 {
		return ctx.Err() == nil
	}
	return wait.For(ctx, rand.N(min(time.Duration(attempt)*4*time.Millisecond, maxPause)))
}

// study reads all that a plan is made from, the log first: what is read later is right
// if the log has not changed when the plan is carried out.
func (h *History) study(ctx context.Context, p *addition, items []*item) error {
	s, _, err := h.readHead(ctx, p.id)
	if err != nil {
		return err
	}
	p.before, p.stream, p.there, p.newest = s, s.Stream, nil, nil
	if s.version == 0 || s.empty() {
		return nil
	}
	once, subjects := map[string]bool{}, map[string]bool{}
	for _, i := range items {
		if i.Once != "" {
			once[i.Once] = true
		}
		if i.After != nil && i.Subject != "" {
			subjects[i.Subject] = true
		}
	}
	if p.newest, err = h.newest(ctx, p.branch, slices.Collect(maps.Keys(subjects))); err != nil {
		return err
	}
	p.there, err = h.already(ctx, p.branch, slices.Collect(maps.Keys(once)))
	return err
}

// carryOut writes what is planned, if the log is still the one of the plan.
func (h *History) carryOut(ctx context.Context, p *addition) error {
	vars := headVars(&p.after)
	vars["id"], vars["entries"] = p.log(p.id), p.entryRecords()
	var text strings.Builder
	if p.before.version == 0 {
		vars["app"], vars["channel"], vars["state"] = textOrBytes(p.key.App), textOrBytes(p.key.Channel), storedState(storage.LogState{})
		text.WriteString(created)
	} else {
		guard(vars, &p.before)
		text.WriteString(guarded)
	}
	text.WriteString(orStale + " INSERT INTO `" + p.entries() + "` $entries RETURN NONE;")
	if onces := p.onceRecords(); len(onces) > 0 {
		vars["onces"] = onces
		text.WriteString(" INSERT INTO `" + p.onces() + "` $onces RETURN NONE;")
	}
	if subjects, newest := p.subjectRecords(); len(subjects) > 0 {
		vars["subjects"], vars["newest"] = subjects, newest
		text.WriteString(" INSERT INTO `" + p.subjects() + "` $subjects RETURN NONE;" +
			" INSERT INTO `" + p.subjects() + "` $newest ON DUPLICATE KEY UPDATE serial = $input.serial RETURN NONE;")
	}
	text.WriteString(" RETURN true }")
	return h.link.query(ctx, false, text.String(), vars, nil)
}

// created makes a log, guarded changes one if it is still as it was, and orStale ends
// the transaction if that was not done. A block is one transaction.
const (
	created = "{ LET $done = (CREATE $id SET app = $app, channel = $channel, state = $state, old = [], " + setHead + " RETURN VALUE version)"
	guarded = "{ LET $done = (UPDATE $id SET " + setHead + " WHERE version = $was AND stream = $of RETURN VALUE version)"
	orStale = "; IF array::len($done) == 0 { THROW '" + staleMark + "' };"
)

func guard(vars map[string]any, before *headState) {
	vars["was"], vars["of"] = before.version, textOrBytes(before.Stream)
}
