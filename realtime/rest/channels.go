package rest

import (
	"errors"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// channels lists the occupied channels (section 3.1).
func (c *call) channels() ([]byte, *failure) {
	prefix, _ := c.query.Get("filter_by_prefix")
	list, asked := c.query.Get("info")
	info := parseInfo(list)
	states, err := c.live.Channels(c.r.Context(), c.app, prefix)
	if err != nil {
		return nil, c.internal("listing channels", err)
	}
	c.out = append(c.out[:0], `{"channels":{`...)
	first := true
	for _, state := range states {
		if info.userCount && !state.Presence && !strings.HasPrefix(prefix, "presence-") {
			return nil, invalidInput.with("user_count is only available for presence channels. Use filter_by_prefix=presence-")
		}
		if asked && !info.subscriptionCount && !(info.userCount && state.Presence) {
			continue // nothing to tell about it
		}
		if !first {
			c.out = append(c.out, ',')
		}
		first = false
		c.out = protocol.AppendString(c.out, state.Name)
		c.out = append(c.out, ':')
		start := len(c.out)
		c.out = appendCounts(c.out, state, info)
		if len(c.out) > start {
			c.out[start] = '{' // instead of the first comma
		} else {
			c.out = append(c.out, '{')
		}
		c.out = append(c.out, '}')
	}
	c.out = append(c.out, `}}`...)
	return c.out, nil
}

// channel tells about one channel, occupied or not (section 3.2).
func (c *call) channel() ([]byte, *failure) {
	if f := c.checkChannel(c.param); f != nil {
		return nil, f
	}
	list, _ := c.query.Get("info")
	info := parseInfo(list)
	kind := protocol.ParseChannel(c.param)
	if info.userCount && kind.Kind != protocol.Presence {
		return nil, invalidInput.with("user_count is only available for presence channels")
	}
	state, err := c.live.Channel(c.r.Context(), c.app, c.param)
	if err != nil {
		return nil, c.internal("reading a channel", err)
	}
	c.out = append(c.out[:0], `{"occupied":`...)
	c.out = strconv.AppendBool(c.out, state.Occupied())
	c.out = appendCounts(c.out, state, info)
	if info.cache && kind.Cache {
		if f := c.appendCached(); f != nil {
			return nil, f
		}
	}
	c.out = append(c.out, '}')
	return c.out, nil
}

// appendCached appends the last event of a cache channel and how long it will be
// kept, if there is one.
func (c *call) appendCached() *failure {
	ctx, cache, key := c.r.Context(), c.settings().Drivers.Cache, realtime.CacheKey(c.app.ID, c.param)
	text, err := cache.Get(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return c.internal("reading the event of a cache channel", err)
	}
	ttl, err := cache.TTL(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil // expired in between
	}
	if err != nil {
		return c.internal("reading the event of a cache channel", err)
	}
	c.out = append(c.out, `,"cache":{"data":`...)
	c.out = protocol.AppendString(c.out, text)
	c.out = append(c.out, `,"ttl":`...)
	c.out = strconv.AppendInt(c.out, int64(seconds(ttl)), 10)
	c.out = append(c.out, '}')
	return nil
}

// members lists the users of a presence channel (section 3.3).
func (c *call) members() ([]byte, *failure) {
	if f := c.checkChannel(c.param); f != nil {
		return nil, f
	}
	if protocol.ParseChannel(c.param).Kind != protocol.Presence {
		return nil, errNotPresence
	}
	ids, err := c.live.Members(c.r.Context(), c.app, c.param)
	if err != nil {
		return nil, c.internal("listing the users of a channel", err)
	}
	c.out = append(c.out[:0], `{"users":[`...)
	for i, id := range ids {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, `{"id":`...)
		c.out = protocol.AppendString(c.out, id)
		c.out = append(c.out, '}')
	}
	c.out = append(c.out, `]}`...)
	return c.out, nil
}

// connections counts the app's open sockets.
func (c *call) connections() ([]byte, *failure) {
	c.out = append(c.out[:0], `{"connections":`...)
	c.out = strconv.AppendInt(c.out, int64(c.live.Hub.AppState(c.app).Connections), 10)
	c.out = append(c.out, '}')
	return c.out, nil
}
