package realtime

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

const (
	// maxReadings is the number of questions about history of one connection that run at
	// one time.
	maxReadings = 2
	// historyPage is the most rows of one answer, and what counts without a limit is
	// defaultPage.
	historyPage, defaultPage = 1000, 100
)

// channelHistory handles a channel_history event (section 6.8). The answer comes when
// the history has been read; meanwhile the connection goes on.
func (c *Conn) channelHistory(m protocol.Message) *protocol.Error {
	if c.v2 == nil {
		return protocol.BadVersion("channel_history is only supported on protocol V2")
	}
	asked, e := protocol.ParseChannelHistory(m.Data)
	if e != nil {
		return e
	}
	name, info := asked.Channel, protocol.ParseChannel(asked.Channel)
	sub := c.subscription(name)
	s := c.hub.settings()
	p := s.historyPolicy(c.app.record().App, info)
	switch {
	case sub == nil:
		return protocol.BadClientEvent("Socket " + c.id + " is not subscribed to channel " + name)
	case !c.may(protocol.OpHistory, name):
		return protocol.ErrNoCapability
	case !p.Enabled || s.Drivers.History == nil:
		return protocol.ErrHistoryOff(name)
	}
	if e := c.checkUserList(info); e != nil {
		return e
	}
	q, e := sub.historyQuery(asked, p)
	if e != nil {
		return e
	}
	q.DropTags = !c.app.record().keepsTags(name, s)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.v2.readings >= maxReadings {
		return protocol.ErrReadings
	}
	c.v2.readings++
	c.hub.background(func(ctx context.Context) {
		o, e := c.readHistory(ctx, name, q)
		c.mu.Lock()
		c.v2.readings--
		c.mu.Unlock()
		if e != nil {
			c.app.meter.failed(e)
			o = protocol.ErrorMessage(e)
		}
		c.send(o)
	})
	return nil
}

// historyQuery is what is asked of the history, within the bounds of the settings.
func (sub *subscription) historyQuery(asked protocol.ChannelHistory, p HistoryPolicy) (q history.Query, e *protocol.Error) {
	if asked.Direction != "" {
		var err error
		if q.OldestFirst, err = history.ParseDirection(asked.Direction); err != nil {
			return q, protocol.BadFormat(err.Error())
		}
	}
	limit := uint64(defaultPage)
	if asked.Limit != nil {
		limit = *asked.Limit
	}
	if limit == 0 {
		return q, protocol.BadFormat("History limit must be greater than 0")
	}
	q.Limit = int(min(limit, uint64(p.PageSize), historyPage))
	q.Cursor = asked.Cursor
	q.Bounds = history.Bounds{StartSerial: asked.StartSerial, EndSerial: asked.EndSerial, StartTime: asked.StartTime, EndTime: asked.EndTime}
	q.Socket, q.UntilAttach = true, asked.UntilAttach
	sub.channel.mu.Lock()
	defer sub.channel.mu.Unlock()
	q.Attach = sub.attach
	return q, nil
}

func (c *Conn) readHistory(ctx context.Context, name string, q history.Query) (*protocol.Outbound, *protocol.Error) {
	live, err := c.hub.Live()
	if err != nil {
		return nil, protocol.ErrHistoryDown(name)
	}
	defer live.Release()
	p := live.HistoryPolicy(c.app.record().App, name)
	if !p.Enabled || live.Settings.Drivers.History == nil {
		return nil, protocol.ErrHistoryOff(name)
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	past := live.historyLog(history.Key(c.app.id, name), p.Retention)
	past.Shown = c.hub.CountShown(c.app.id)
	page, err := past.Page(ctx, q)
	var text []byte
	if err == nil {
		text, err = page.Append(nil)
	}
	if wrong, ok := errors.AsType[*history.QueryError](err); ok {
		return nil, protocol.BadFormat(wrong.Message)
	}
	if err != nil {
		live.Settings.Log.Warn("reading a history", zap.String("app", c.app.id), zap.String("channel", name), zap.Error(err))
		return nil, protocol.ErrHistoryDown(name)
	}
	return protocol.HistoryPage(name, text), nil
}
