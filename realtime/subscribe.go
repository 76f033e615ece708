package realtime

import (
	"context"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// second is the window of limits per second.
const second = time.Second

// driverTimeout bounds a driver call made for one inbound message.
const driverTimeout = 2 * time.Second

// subscribe handles a subscribe event, in the order of section 3.3.
func (c *Conn) subscribe(m protocol.Message) *protocol.Error {
	req, e := protocol.ParseSubscribe(m.Data)
	if e != nil {
		return e
	}
	info, e := c.checkChannel(req)
	if e == nil {
		e = c.authorize(info, req)
	}
	var mem *protocol.Member
	if e == nil && info.Kind == protocol.Presence {
		mem, e = c.memberOf(req)
	}
	if e == nil {
		e = c.enter(info, mem)
	}
	if e != nil {
		c.app.meter.failed(e)
		c.transport.Send(protocol.ErrorFrame(e))
		c.transport.Send(protocol.SubscriptionError(req.Channel, e))
	}
	return nil
}

// checkChannel checks the name, and what V1 cannot have.
func (c *Conn) checkChannel(req protocol.Subscribe) (protocol.Channel, *protocol.Error) {
	info := protocol.ParseChannel(req.Channel)
	switch {
	case strings.HasPrefix(req.Channel, protocol.MetaPrefix):
		return info, protocol.ErrMetaV1
	case info.User == "" && strings.Contains(req.Channel, "*"):
		return info, protocol.ErrWildcardV1
	}
	if err := c.hub.settings().underLimit(c.app.record().rules).Check(info); err != nil {
		return info, protocol.BadChannel(err.Error())
	}
	if req.Rewind {
		return info, protocol.ErrRewindV1
	}
	return info, nil
}

// authorize checks the signature of a signed channel and the user of a user's channel.
func (c *Conn) authorize(info protocol.Channel, req protocol.Subscribe) *protocol.Error {
	if info.User != "" {
		if u := c.currentUser(); u == nil || u.id != info.User {
			return protocol.ErrUserChannel
		}
		return nil
	}
	if !info.Signed() {
		return nil
	}
	if !req.HasAuth {
		return protocol.ErrSignatureRequired
	}
	if !c.app.record().verify(req.Auth, func(key, secret string) string {
		return protocol.SignChannel(key, secret, c.id, req.Channel, req.ChannelData)
	}) {
		return protocol.ErrSignatureInvalid
	}
	return nil
}

// verify compares auth with what the app's credentials sign. A secret that was
// replaced is good for a while.
func (p *policy) verify(auth string, sign func(key, secret string) string) bool {
	for _, secret := range p.Secrets(time.Now()) {
		if protocol.Equal(auth, sign(p.Key, secret)) {
			return true
		}
	}
	return false
}

// memberOf is who joins a presence channel: the channel_data, or else the
// signed-in user.
func (c *Conn) memberOf(req protocol.Subscribe) (*protocol.Member, *protocol.Error) {
	if !req.HasChannelData {
		m := c.signedInMember()
		if m == nil {
			return nil, protocol.BadFormat("Missing channel_data for presence channel")
		}
		return c.checkMember(m)
	}
	m, e := protocol.ParseMember(req.ChannelData)
	if e != nil {
		return nil, e
	}
	return c.checkMember(&m)
}

// signedInMember is the connection's user as a member, or nil.
func (c *Conn) signedInMember() *protocol.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.user == nil {
		return nil
	}
	return &protocol.Member{UserID: c.user.id, Info: c.userInfo}
}

// checkMember holds a member's info to the limit.
func (c *Conn) checkMember(m *protocol.Member) (*protocol.Member, *protocol.Error) {
	if limit := c.limits().presenceMemberSize; limit > 0 && len(m.Info) > limit {
		return nil, protocol.BadChannel("user_info is larger than the limit")
	}
	return m, nil
}

// enter joins the channel, or answers once more if the connection is in it.
func (c *Conn) enter(info protocol.Channel, m *protocol.Member) *protocol.Error {
	c.mu.Lock()
	sub := c.subs.get(info.Name)
	c.mu.Unlock()
	if limit := c.hub.settings().Socket.MaxChannels; sub == nil && limit > 0 && int(c.channels.Load()) >= limit {
		return protocol.ErrTooManyChannels
	}
	ch := c.app.pin(info)
	defer ch.unpin()
	c.hub.cluster.want(ch)
	cached, seen := c.cachedEvent(ch)
	if sub != nil {
		sub.channel.mu.Lock()
		c.welcome(sub.channel, cached, seen)
		sub.channel.mu.Unlock()
		return nil
	}
	sub, e := ch.join(c, m, func() { c.welcome(ch, cached, seen) })
	if e != nil {
		return e
	}
	c.mu.Lock()
	gone := c.closed
	if !gone {
		c.subs.add(sub)
		c.authorized = c.authorized || info.Signed()
	}
	c.mu.Unlock()
	if gone {
		sub.leave() // the server has closed the connection meanwhile
	}
	return nil
}

// welcome sends the answer to a subscription, and on cache channels the cached
// event or the lack of one. The caller holds the channel's lock.
func (c *Conn) welcome(ch *channel, cached protocol.Frame, seen uint64) {
	if ch.presence != nil {
		c.transport.Send(ch.presence.succeeded(ch.info.Name))
	} else {
		c.transport.Send(protocol.SubscriptionSucceeded(ch.info.Name))
	}
	if !ch.info.Cache {
		return
	}
	if ch.lastSeq > seen {
		cached = ch.last // published while the cache was asked
	}
	if cached == nil {
		cached = protocol.CacheMiss(ch.info.Name)
		c.tellCacheMiss(ch.info.Name)
	}
	c.transport.Send(cached)
}

// cachedEvent asks the cache for the last event of a cache channel. seen counts
// the events that were delivered before the question.
func (c *Conn) cachedEvent(ch *channel) (cached protocol.Frame, seen uint64) {
	if !ch.info.Cache {
		return nil, 0
	}
	ch.mu.Lock()
	seen = ch.lastSeq
	ch.mu.Unlock()
	live, err := c.hub.Live()
	if err != nil {
		return nil, seen
	}
	defer live.Release()
	ctx, cancel := context.WithTimeout(context.Background(), driverTimeout)
	defer cancel()
	text, err := live.Settings.Drivers.Cache.Get(ctx, CacheKey(c.app.id, ch.info.Name))
	switch {
	case err == nil:
		return protocol.TextFrame(text), seen
	case !isNotFound(err):
		live.Settings.Log.Warn("reading a cached event", zap.String("app", c.app.id), zap.Error(err))
	}
	return nil, seen
}

// CacheKey is where the cache keeps the last event of a cache channel.
func CacheKey(app, channel string) string {
	return "app:" + app + ":channel:" + channel + ":cache_miss"
}

// unsubscribe handles an unsubscribe event. There is no answer.
func (c *Conn) unsubscribe(m protocol.Message) *protocol.Error {
	name, e := protocol.ParseUnsubscribe(m.Data)
	if e != nil {
		return e
	}
	c.mu.Lock()
	sub := c.subs.remove(name)
	c.mu.Unlock()
	if sub != nil {
		sub.leave()
	}
	return nil
}

// subscription is the connection's place in a channel, or nil.
func (c *Conn) subscription(channel string) *subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subs.get(channel)
}
