package rest

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

var (
	errNoHistory    = errors.New("history is on for a channel, and the hub has no store for it")
	featureDisabled = kind{"feature_disabled", 422, 0}
)

// historyLog is the log of the channel of the call, and the most that a page of it has.
func (c *call) historyLog() (past history.Log, pageSize int, f *failure) {
	if f := c.checkChannel(c.param); f != nil {
		return past, 0, f
	}
	policy := c.live.HistoryPolicy(c.app, c.param)
	if !policy.Enabled {
		return past, 0, featureDisabled.with(fmt.Sprintf("Durable history is disabled by policy for channel '%s'", c.param))
	}
	past, f = c.logOf(history.Log{Key: history.Key(c.app.ID, c.param), Retention: policy.Retention})
	return past, policy.PageSize, f
}

// logOf adds the store and the time.
func (c *call) logOf(past history.Log) (history.Log, *failure) {
	past.Store, past.Now, past.Shown = c.settings().Drivers.History, c.h.now().UnixMilli(), c.live.Hub.CountShown(c.app.ID)
	if past.Store == nil {
		return past, c.internal("reading a history", errNoHistory)
	}
	return past, nil
}

// history is a page of what was published on a channel (section 4.4).
func (c *call) history() ([]byte, *failure) {
	past, pageSize, f := c.historyLog()
	if f != nil {
		return nil, f
	}
	return c.page(past, pageSize)
}

// historyState tells where the history of a channel stands (section 4.6).
func (c *call) historyState() ([]byte, *failure) {
	past, _, f := c.historyLog()
	if f != nil {
		return nil, f
	}
	return c.stateOf(past)
}

// page reads a page of either history.
func (c *call) page(past history.Log, pageSize int) ([]byte, *failure) {
	q, f := c.historyQuery(pageSize)
	if f != nil {
		return nil, f
	}
	page, err := past.Page(c.r.Context(), q)
	if err != nil {
		return nil, c.unread("reading a page of history", err)
	}
	if c.out, err = page.Append(c.out[:0]); err != nil {
		c.out = nil
		return nil, c.unread("writing a page of history", err)
	}
	return c.out, nil
}

func (c *call) stateOf(past history.Log) ([]byte, *failure) {
	c.out = append(c.out[:0], `{"channel":`...)
	c.out = protocol.AppendString(c.out, c.param)
	if f := c.appendStream(past); f != nil {
		return nil, f
	}
	c.out = append(c.out, '}')
	return c.out, nil
}

// appendStream appends where a history stands, as the member stream.
func (c *call) appendStream(past history.Log) *failure {
	state, err := past.State(c.r.Context())
	if err != nil {
		return c.unread("reading the state of a history", err)
	}
	c.out = append(c.out, `,"stream":`...)
	c.out = state.Append(c.out)
	return nil
}

// unread is the refusal for an error of package history.
func (c *call) unread(what string, err error) *failure {
	if q, ok := errors.AsType[*history.QueryError](err); ok {
		return invalidInput.with(q.Message)
	}
	return c.internal(what, fmt.Errorf("channel %q: %w", c.param, err))
}

// historyQuery reads the parameters of a page. A limit over the page size becomes that.
func (c *call) historyQuery(pageSize int) (q history.Query, f *failure) {
	limit, f := c.unsigned("limit")
	if f != nil {
		return q, f
	}
	q.Limit = pageSize
	if limit != nil {
		q.Limit = int(min(*limit, uint64(max(pageSize, 0)), math.MaxInt32))
	}
	word, _ := c.query.Get("direction")
	var err error
	if q.OldestFirst, err = history.ParseDirection(word); err != nil {
		return q, invalidInput.with(err.Error())
	}
	q.Cursor, _ = c.query.Get("cursor")
	if q.Bounds.StartSerial, f = c.unsigned("start_serial"); f != nil {
		return q, f
	}
	if q.Bounds.EndSerial, f = c.unsigned("end_serial"); f != nil {
		return q, f
	}
	if q.Bounds.StartTime, f = c.moment("start_time_ms", "start"); f != nil {
		return q, f
	}
	q.Bounds.EndTime, f = c.moment("end_time_ms", "end")
	return q, f
}

// unsigned is a parameter that is a whole number, nil if it is absent.
func (c *call) unsigned(name string) (*uint64, *failure) {
	text, ok := c.query.Get(name)
	if !ok {
		return nil, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, invalidInput.with(fmt.Sprintf("%s must be a whole number from 0 to %d: '%s'", name, uint64(math.MaxUint64), shown(text)))
	}
	return &n, nil
}

// moment is a parameter that is a time in Unix milliseconds, by its name or another
// one, nil if it is absent.
func (c *call) moment(name, alias string) (*int64, *failure) {
	text, ok := c.query.Get(name)
	other, also := c.query.Get(alias)
	switch {
	case ok && also:
		return nil, invalidInput.with(fmt.Sprintf("%s and %s are the same parameter: give one of them", name, alias))
	case also:
		name, text = alias, other
	case !ok:
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, invalidInput.with(fmt.Sprintf("%s must be a whole number of milliseconds: '%s'", name, shown(text)))
	}
	return &n, nil
}
