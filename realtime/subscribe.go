package realtime

import (
	"context"
	"slices"
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
	info := protocol.ParseChannel(req.Channel)
	var tune *tuning
	if c.v2 != nil {
		tune, e = c.tuningOf(req)
	}
	if e == nil {
		e = c.checkChannel(info, req)
	}
	if e == nil {
		e = c.authorize(info, req)
	}
	var mem *protocol.Member
	if e == nil && info.Kind == protocol.Presence {
		mem, e = c.memberOf(req)
	}
	if e == nil {
		e = c.enter(info, mem, tune, req.Rewind)
	}
	if e != nil {
		c.app.meter.failed(e)
		c.send(protocol.ErrorMessage(e))
		c.send(protocol.SubscriptionError(req.Channel, e))
	}
	return nil
}

// checkChannel checks the name, and what the connection's version can have.
func (c *Conn) checkChannel(info protocol.Channel, req protocol.Subscribe) *protocol.Error {
	rules := c.hub.settings().underLimit(c.app.record().rules)
	about, meta := strings.CutPrefix(req.Channel, protocol.MetaPrefix)
	pattern := info.User == "" && strings.Contains(req.Channel, "*")
	var err error
	switch {
	case meta && c.v2 == nil:
		return protocol.ErrMetaV1
	case meta:
		err = rules.Check(protocol.ParseChannel(about))
	case pattern && c.v2 == nil:
		return protocol.ErrWildcardV1
	case pattern:
		err = rules.CheckPattern(req.Channel)
	default:
		err = rules.Check(info)
	}
	switch {
	case err != nil:
		return protocol.BadChannel(err.Error())
	case req.Rewind != nil && c.v2 == nil:
		return protocol.ErrRewindV1
	case c.v2 == nil || req.Rewind == nil && !req.Annotations:
		return nil
	}
	s := c.hub.settings()
	p := s.historyPolicy(c.app.record().App, info)
	switch {
	case req.Rewind != nil && (!p.Enabled || !p.Rewind || s.Drivers.History == nil):
		return protocol.ErrRewindOff(req.Channel)
	case req.Annotations && (!p.Annotations || s.Drivers.History == nil):
		return protocol.BadChannel("Annotations are disabled for channel '" + req.Channel + "'")
	}
	return nil
}

// authorize checks what a subscription needs: the user of a user's channel, the
// rights of a V2 client, and the signature of a signed channel. What a meta channel
// tells needs the rights of the channel that it tells about.
func (c *Conn) authorize(info protocol.Channel, req protocol.Subscribe) *protocol.Error {
	if about, meta := strings.CutPrefix(info.Name, protocol.MetaPrefix); meta {
		info = protocol.ParseChannel(about)
	}
	if info.User != "" {
		if u := c.currentUser(); u == nil || u.id != info.User {
			return protocol.ErrUserChannel
		}
	}
	if info.Signed() && !req.HasAuth {
		return protocol.ErrSignatureRequired
	}
	if c.v2 != nil {
		if e := c.checkRights(info); e != nil {
			return e
		}
		if req.Rewind != nil && !c.may(protocol.OpHistory, info.Name) || req.Annotations && !c.may(protocol.OpAnnotationSubscribe, info.Name) {
			return protocol.ErrNoCapability
		}
	}
	if !info.Signed() {
		return nil
	}
	for _, name := range [...]string{info.Name, req.Channel} {
		if c.app.record().verify(req.Auth, func(key, secret string) string {
			return protocol.SignChannel(key, secret, c.id, name, req.ChannelData)
		}) {
			return nil
		}
	}
	return protocol.ErrSignatureInvalid
}

// checkRights checks what V2 asks for beyond signatures: the flags of the namespace,
// capabilities, and the user list of the name.
func (c *Conn) checkRights(info protocol.Channel) *protocol.Error {
	if n := c.app.record().Namespaces[info.NamespaceName()]; n != nil {
		if n.NoSubscribe || n.NoPresence && info.Kind == protocol.Presence {
			return protocol.ErrNamespaceFlag
		}
	}
	switch rights := c.rights(); {
	case patternOf(info) != nil:
		if !rights.AllowsPattern(protocol.OpSubscribe, info.Name) {
			return protocol.ErrNoCapability
		}
	case info.User != "": // it was checked who the user is
	case !rights.Allows(protocol.OpSubscribe, info.Name),
		info.Kind == protocol.Presence && !rights.Allows(protocol.OpPresence, info.Name):
		return protocol.ErrNoCapability
	}
	return c.checkUserList(info)
}

func (c *Conn) checkUserList(info protocol.Channel) *protocol.Error {
	users := info.UserList()
	if users == nil {
		return nil
	}
	if u := c.currentUser(); u == nil || !slices.Contains(users, u.id) {
		return protocol.ErrUserList
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
func (c *Conn) enter(info protocol.Channel, m *protocol.Member, tune *tuning, rewind *protocol.Rewind) *protocol.Error {
	c.mu.Lock()
	sub := c.subs.get(info.Name)
	c.mu.Unlock()
	if limit := c.hub.settings().Socket.MaxChannels; sub == nil && limit > 0 && int(c.channels.Load()) >= limit {
		return protocol.ErrTooManyChannels
	}
	ch := c.app.pin(info)
	defer ch.unpin()
	c.hub.cluster.want(ch)
	ch.seek()
	cached, seen := c.cachedEvent(ch)
	rewound, e := c.rewind(ch, rewind, tune)
	if e != nil {
		return e
	}
	defer rewound.release()
	resumed := c.resuming(ch)
	defer resumed.release()
	send := c.replier(info.Name)
	welcome := func(sub *subscription) {
		c.welcome(ch, sub, cached, seen, send)
		c.resumed(ch, resumed, sub, send)
		c.rewound(ch, rewound, send)
	}
	if sub != nil {
		sub.tune.Store(tune)
		ch.mu.Lock()
		welcome(sub)
		ch.mu.Unlock()
		c.confirmDelta(info.Name, tune, send)
		c.sumUp(ch)
		return nil
	}
	sub, e = ch.join(c, m, tune, welcome)
	if e != nil {
		return e
	}
	c.mu.Lock()
	gone := c.closed
	if !gone {
		c.subs.add(sub)
		c.authorized = c.authorized || info.Signed()
		if ch.pattern != nil {
			c.v2.patterns = append(c.v2.patterns, sub)
		}
	}
	c.mu.Unlock()
	if gone {
		sub.leave() // the server has closed the connection meanwhile
		return nil
	}
	c.confirmDelta(info.Name, tune, send)
	c.sumUp(ch)
	if ch.pattern != nil {
		if parked := c.unpark(ch); len(parked) > 0 {
			c.resumeAll(parked, &answer{})
		}
	}
	return nil
}

// replier sends what answers a subscription to a channel. Where the connection gets
// the channel's events already, the answer follows those that are on their way: it
// has a position, and the client takes all before it for what it has got.
func (c *Conn) replier(name string) func(protocol.Frame) {
	if c.v2 == nil || len(c.covering(name)) == 0 {
		return c.transport.Send
	}
	return func(f protocol.Frame) {
		c.inOrder(func(c *Conn) { c.transport.Send(f) })
	}
}

// welcome sends the answer to a subscription, and on cache channels the cached
// event or the lack of one. The caller holds the channel's lock.
func (c *Conn) welcome(ch *channel, sub *subscription, cached []byte, seen uint64, send func(protocol.Frame)) {
	var o *protocol.Outbound
	if ch.presence != nil {
		o = ch.presence.succeeded(ch.info.Name)
	} else {
		o = protocol.SubscriptionSucceeded(ch.info.Name)
	}
	if s := ch.stream; c.v2 != nil && s != nil {
		o.StreamID, o.Serial = s.id, s.head
		if s.counter == countHistory {
			row := s.row
			sub.attach = &row
			o.Attached(row)
		}
	}
	send(c.frame(o))
	if !ch.info.Cache {
		return
	}
	switch {
	case ch.lastSeq > seen: // published while the cache was asked
		last := &ch.last.out
		send(c.frame(protocol.EventMessage(last.Event, last.Channel, last.Data, "")))
	case cached == nil:
		send(c.frame(protocol.CacheMiss(ch.info.Name)))
		c.tellCacheMiss(ch.info.Name)
	case c.v2 == nil:
		send(protocol.TextFrame(cached))
	default:
		if m, e := protocol.ParseMessage(protocol.FormatJSON, cached); e == nil {
			send(c.frame(protocol.EventMessage(m.Event, m.Channel, m.Data, "")))
		}
	}
}

// cachedEvent asks the cache for the last event of a cache channel. seen counts
// the events that were delivered before the question.
func (c *Conn) cachedEvent(ch *channel) (cached []byte, seen uint64) {
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
		return text, seen
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
	if c.v2 != nil {
		c.v2.patterns = slices.DeleteFunc(c.v2.patterns, func(other *subscription) bool { return other == sub })
		delete(c.v2.parked, name)
	}
	c.mu.Unlock()
	if sub != nil {
		sub.leave()
		c.forgetDelta(name)
	}
	return nil
}

// subscription is the connection's place in a channel, or nil.
func (c *Conn) subscription(channel string) *subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subs.get(channel)
}
