package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxPiece is how many bytes of payloads one script takes, besides one entry, and
	// maxPieceEntries how many entries: the server does nothing else while it runs.
	maxPiece        = 4 << 20
	maxPieceEntries = 500
	// maxFlight is how many bytes are on their way at once, besides one piece, and
	// maxFlightPieces how many scripts.
	maxFlight       = 16 << 20
	maxFlightPieces = 256
)

// piece is what one script adds to one log.
type piece struct {
	name    string
	appends []*storage.LogAppend
	size    int
}

// Append adds entries, those of one log in one step unless they are large, and those of
// several logs on their way together.
func (h *History) Append(ctx context.Context, appends []*storage.LogAppend) {
	size := 0
	for _, a := range appends {
		size += len(a.Payload)
	}
	timeout := callTimeout + time.Duration(size/maxFlight)*time.Second
	var flown bool
	err := h.client.within(ctx, timeout, func(bounded context.Context) error {
		flown = true
		lost := map[string]error{} // logs of which a piece has failed
		for _, round := range rounds(appends) {
			for len(round) > 0 {
				n, size := 0, 0
				for n < len(round) && n < maxFlightPieces && size < maxFlight {
					size += round[n].size
					n++
				}
				h.fly(ctx, bounded, round[:n], lost)
				round = round[n:]
			}
		}
		return nil
	})
	if !flown {
		for _, a := range appends {
			a.Err = err
		}
	}
}

// rounds groups entries by logs. A log has one piece in each round at most, so that its
// pieces follow one another. What cannot be added has its error afterwards.
func rounds(appends []*storage.LogAppend) (list [][]*piece) {
	current := map[string]*piece{}
	pieces := map[string]int{} // of each log, up to the current
	for _, a := range appends {
		if a.Err = checkAppend(a); a.Err != nil {
			continue
		}
		name := logName(a.Key)
		p := current[name]
		if p == nil || p.size >= maxPiece || len(p.appends) >= maxPieceEntries || p.size > 0 && p.size+len(a.Payload) > maxPiece {
			p = &piece{name: name}
			current[name] = p
			if pieces[name] == len(list) {
				list = append(list, nil)
			}
			list[pieces[name]] = append(list[pieces[name]], p)
			pieces[name]++
		}
		p.appends = append(p.appends, a)
		p.size += len(a.Payload)
	}
	return list
}

// checkAppend refuses what is no entry, or counts higher than scripts do.
func checkAppend(a *storage.LogAppend) error {
	switch {
	case a.At > maxNumber:
		return fmt.Errorf("log: at %d is not in Unix milliseconds", a.At)
	case a.Keep < 0:
		return fmt.Errorf("log: keep %v must not be negative", a.Keep)
	}
	return a.Check()
}

// fly adds pieces of different logs. bounded is the context of the calls, and ctx that
// of the caller.
func (h *History) fly(ctx, bounded context.Context, pieces []*piece, lost map[string]error) {
	var calls []call
	var flying []*piece
	for _, p := range pieces {
		if err := lost[p.name]; err != nil { // the one before it must not be missing
			p.fail(err)
			continue
		}
		calls = append(calls, call{keys: h.keys(p.name), args: p.args()})
		flying = append(flying, p)
	}
	if len(calls) == 0 {
		return
	}
	h.client.runAll(bounded, appendLog, calls)
	for i, p := range flying {
		c := &calls[i]
		word, rest, err := "", []any(nil), c.err
		if err == nil {
			word, rest, err = answered(c.reply)
		}
		if err == nil && word == "moved" {
			if err = h.settle(bounded, bucketOf(p.name)); err == nil {
				_, rest, err = h.ask(bounded, appendLog, p.name, c.args)
			}
		}
		if err == nil {
			err = p.read(rest)
		}
		if err != nil {
			err = h.client.fail(ctx, err)
			lost[p.name] = err
			p.fail(err)
		}
	}
}

func (p *piece) fail(err error) {
	for _, a := range p.appends {
		a.Err = err
	}
}

// args are those of appendLog.
func (p *piece) args() []any {
	args := make([]any, 0, 1+8*len(p.appends))
	args = append(args, p.name)
	for _, a := range p.appends {
		row, after := "0", ""
		if a.Row {
			row = "1"
		}
		if a.After != nil {
			after = strconv.FormatUint(*a.After, 10)
		}
		keep := a.Keep.Milliseconds()
		if a.Keep > 0 {
			keep = max(keep, 1)
		}
		args = append(args, a.Fresh, max(a.At, 0), row, a.Subject, a.Once, after, a.Payload, keep)
	}
	return args
}

// read reads what became of each entry.
func (p *piece) read(rest []any) error {
	if len(rest) != 1+3*len(p.appends) {
		return fmt.Errorf("the script answers with %d elements for %d entries", len(rest), len(p.appends))
	}
	stream, _ := rest[0].(string)
	for i, a := range p.appends {
		what, _ := rest[1+3*i].(string)
		serial, err := number(rest[2+3*i])
		if err != nil {
			return err
		}
		switch what {
		case "added", "exists":
			text, _ := rest[3+3*i].(string)
			if a.Entry, err = readEntry(serial, text); err != nil {
				return err
			}
			if a.Stream = stream; what == "exists" {
				a.Err = storage.ErrExists
			}
		case "conflict":
			a.Err = fmt.Errorf("the newest entry is %d: %w", serial, storage.ErrConflict)
		case "lost":
			a.Err = fmt.Errorf("log of %q of app %q: %w", a.Key.Channel, a.Key.App, ErrFailedOver)
		default:
			return fmt.Errorf("the script answers %.100v", rest[1+3*i])
		}
	}
	return nil
}
