package realtime

import (
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// transitions are what becomes of the channels of one app, for webhooks: occupied
// or vacated, members who come and go, and counts.
//
// Every node knows what is true of a channel, and what webhooks were told of it
// last. Where the two differ something is due, and the one node that owns the
// channel tells it. A node that takes a channel over knows what its former owner
// has told, and tells what is left.
//
// Lock order: channel.mu, then mu.
type transitions struct {
	app *App

	mu   sync.Mutex
	told map[string]*toldChannel
	// due is when a subject is looked at again, for those where something is due.
	due map[subject]time.Time
	// soon and later are the subjects of due in the order of their times; an entry
	// with another time than due has is void.
	soon, later []dueEntry
	// waiting are subjects that another node owns, or nobody yet, and since when.
	waiting map[subject]time.Time
	// flying are subjects of which something is on its way to webhooks, with whether
	// more is to be told.
	flying map[subject]bool
	// asked are subjects that another node was to tell not long ago, and when. It may
	// have told them although nothing was heard of that.
	asked map[subject]time.Time
	// doubted are subjects whose owner has died: whether it had told them, and what,
	// nobody knows, so they are told in any case.
	doubted map[subject]struct{}
	// stamps are when what was told lately was told, see told.go.
	stamps map[subject]int64
}

// toldChannel is what webhooks were told of a channel.
type toldChannel struct {
	occupied bool
	count    int
	members  map[string]struct{}
}

// aspect is the side of a channel that a subject is about.
type aspect uint8

const (
	aspectOccupied aspect = iota
	aspectMember
	aspectCount
)

// subject is what can be told of: a channel, its count, or a user in it.
type subject struct {
	aspect        aspect
	channel, user string
}

type dueEntry struct {
	subject subject
	at      time.Time
}

func newTransitions(a *App) *transitions {
	return &transitions{app: a, told: map[string]*toldChannel{}, due: map[subject]time.Time{}, waiting: map[subject]time.Time{}, flying: map[subject]bool{}, asked: map[subject]time.Time{}, doubted: map[subject]struct{}{}, stamps: map[subject]int64{}}
}

// aspectEvents are what can become of a subject, by its aspect.
var aspectEvents = [...]protocol.WebhookSet{
	aspectOccupied: protocol.WebhookSetOf(protocol.WebhookChannelOccupied, protocol.WebhookChannelVacated),
	aspectMember:   protocol.WebhookSetOf(protocol.WebhookMemberAdded, protocol.WebhookMemberRemoved),
	aspectCount:    protocol.WebhookSetOf(protocol.WebhookSubscriptionCount),
}

// transitionEvents are the events that have an owner, which are those of all aspects.
var transitionEvents = aspectEvents[aspectOccupied] | aspectEvents[aspectMember] | aspectEvents[aspectCount]

// events are the names of what can become of a subject.
func (s subject) events() (rise, fall string) {
	switch s.aspect {
	case aspectMember:
		return protocol.WebhookMemberAdded, protocol.WebhookMemberRemoved
	case aspectCount:
		return protocol.WebhookSubscriptionCount, protocol.WebhookSubscriptionCount
	default:
		return protocol.WebhookChannelOccupied, protocol.WebhookChannelVacated
	}
}

// event is what tells that a subject has become value.
func (s subject) event(value int) protocol.WebhookEvent {
	name, fall := s.events()
	if value == 0 {
		name = fall
	}
	return protocol.WebhookEvent{Name: name, Channel: s.channel, UserID: s.user, Count: value}
}

// mark says that a subject has become value. The caller holds the channel's lock.
func (t *transitions) mark(s subject, value int) {
	if t.app.tracks()&aspectEvents[s.aspect] == 0 {
		return
	}
	delay := t.app.delay(s, value)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pendLocked(s, delay)
}

// pendLocked looks at a subject after a delay, and not before.
func (t *transitions) pendLocked(s subject, delay time.Duration) {
	delete(t.waiting, s)
	now := time.Now()
	e := dueEntry{s, now.Add(delay)}
	t.due[s] = e.at
	if delay <= 0 {
		t.soon = append(t.soon, e)
	} else {
		i := len(t.later)
		t.later = append(t.later, e)
		for ; i > 0 && t.later[i-1].at.After(e.at); i-- { // a setting has become shorter
			t.later[i], t.later[i-1] = t.later[i-1], t.later[i]
		}
	}
	t.app.hub.announcer.wakeAt(e.at, t.app)
}

// take takes the subjects whose time has come, at most n, and reports when
// the next one's comes.
func (t *transitions) take(now time.Time, n int, all bool) (subjects []subject, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, queue := range []*[]dueEntry{&t.soon, &t.later} {
		taken := 0
		for _, e := range *queue {
			if len(subjects) >= n || !all && e.at.After(now) {
				break
			}
			taken++
			if at, ok := t.due[e.subject]; ok && at.Equal(e.at) {
				delete(t.due, e.subject)
				subjects = append(subjects, e.subject)
			}
		}
		*queue = (*queue)[taken:]
		if len(*queue) == 0 {
			*queue = nil
		} else if at := (*queue)[0].at; next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return subjects, next
}

// waitFor keeps a subject until its owner tells, or this node is the owner.
func (t *transitions) waitFor(s subject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked[s] = time.Now()
	if _, again := t.due[s]; !again {
		t.waiting[s] = time.Now()
	}
}

// review looks at everything again that another node was to tell.
func (t *transitions) review() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.waiting {
		t.pendLocked(s, 0)
	}
}

// doubt is called before what a node had is taken as gone that may have owned
// channels. It returns the subjects that it may have told.
func (t *transitions) doubt() (doubted []subject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, subjects := range []iter.Seq[subject]{maps.Keys(t.waiting), maps.Keys(t.due), maps.Keys(t.asked)} {
		for s := range subjects {
			if _, twice := t.doubted[s]; !twice {
				doubted = append(doubted, s)
			}
			t.doubtLocked(s)
		}
	}
	return doubted
}

// doubtLocked makes sure that a subject is told, by whoever is to tell it.
func (t *transitions) doubtLocked(s subject) {
	t.doubted[s] = struct{}{}
	if _, pending := t.due[s]; !pending {
		t.waiting[s] = time.Now()
	}
}

// complain returns what nobody has told for long, and waits for it anew. Its owner
// may not know what was told before, or that anything has changed.
func (t *transitions) complain(now time.Time) (subjects []subject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, since := range t.waiting {
		if now.Sub(since) > complainAfter {
			t.waiting[s] = now
			subjects = append(subjects, s)
		}
	}
	return subjects
}

// learnDoubt takes that another node does not know what was told of a subject.
func (t *transitions) learnDoubt(s subject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, twice := t.doubted[s]; twice {
		return
	}
	t.doubted[s] = struct{}{}
	if _, pending := t.due[s]; !pending {
		t.pendLocked(s, t.app.hub.settings().Webhooks.Debounce) // it may be about to come back
	}
}

// answer forgets subjects that were asked for before a time.
func (t *transitions) answer(before time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, at := range t.asked {
		if at.Before(before) {
			delete(t.asked, s)
		}
	}
}

// isTold reports whether nothing is to be told of a subject that is value.
func (t *transitions) isTold(s subject, value int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, doubted := t.doubted[s]
	return value == t.lastToldLocked(s) && !doubted
}

// lastToldLocked is what was told of a subject.
func (t *transitions) lastToldLocked(s subject) int {
	ch := t.told[s.channel]
	if ch == nil {
		return 0
	}
	switch s.aspect {
	case aspectMember:
		_, ok := ch.members[s.user]
		return number(ok)
	case aspectCount:
		return ch.count
	default:
		return number(ch.occupied)
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// setTold says that value was told of a subject.
func (t *transitions) setTold(s subject, value int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setToldLocked(s, value)
}

func (t *transitions) setToldLocked(s subject, value int) {
	delete(t.doubted, s)
	delete(t.asked, s)
	ch := t.told[s.channel]
	if ch == nil {
		if value == 0 {
			return
		}
		ch = &toldChannel{}
		t.told[s.channel] = ch
	}
	switch {
	case s.aspect == aspectOccupied:
		ch.occupied = value != 0
	case s.aspect == aspectCount:
		ch.count = value
	case value == 0:
		delete(ch.members, s.user)
	default:
		if ch.members == nil {
			ch.members = map[string]struct{}{}
		}
		ch.members[s.user] = struct{}{}
	}
	if !ch.occupied && ch.count == 0 && len(ch.members) == 0 {
		delete(t.told, s.channel)
	}
}

// fly takes as told that a subject is value, which is then on its way. While
// something of the same subject is, it waits for that.
func (t *transitions) fly(s subject, value int) (telling, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, doubted := t.doubted[s]
	what := telling{s, value, t.lastToldLocked(s), t.nowLocked(s), doubted}
	if _, twice := t.flying[s]; twice {
		t.flying[s] = true
		return what, false
	}
	if value == what.before && !doubted {
		return what, false // what was on its way has come back just now
	}
	t.flying[s] = false
	t.setToldLocked(s, value)
	return what, true
}

// land ends that. What was not kept is told again later. It returns what was told,
// if that is known.
func (t *transitions) land(what telling, kept bool) (word lastWord, sure bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := what.subject
	again := t.flying[s]
	delete(t.flying, s)
	switch {
	case kept && t.stamps[s] < what.at: // whatever was heard of others meanwhile is older
		t.setToldLocked(s, what.value)
		t.rememberLocked(s, what.at)
	case kept:
	case t.lastToldLocked(s) == what.value:
		t.setToldLocked(s, what.before)
		if what.doubted {
			t.doubted[s] = struct{}{}
		}
	}
	switch _, pending := t.due[s]; {
	case pending:
	case !kept:
		t.pendLocked(s, announceAgain)
	case again:
		t.pendLocked(s, 0)
	}
	_, doubted := t.doubted[s]
	return lastWord{t.lastToldLocked(s), max(t.stamps[s], longAgo)}, !doubted
}

// valueOf is what is true of a subject in the whole cluster.
func (a *App) valueOf(s subject) (value int) {
	a.withValue(s, func(v int) { value = v })
	return value
}

func (ch *channel) valueLocked(s subject) int {
	total := ch.count + ch.elsewhereCount
	switch s.aspect {
	case aspectMember:
		return number(ch.presence != nil && ch.presence.members[s.user] != nil)
	case aspectCount:
		return total
	default:
		return number(total > 0)
	}
}

// note marks what the caller has changed of a channel: its count. It holds the
// channel's lock.
func (ch *channel) note() {
	total := ch.count + ch.elsewhereCount
	if total == ch.noted || !raises(ch.info) {
		return
	}
	was := ch.noted
	ch.noted = total
	t := ch.app.transitions
	if (was == 0) != (total == 0) {
		t.mark(subject{aspect: aspectOccupied, channel: ch.info.Name}, number(total > 0))
	}
	if ch.presence == nil {
		t.mark(subject{aspect: aspectCount, channel: ch.info.Name}, total)
	}
}

// noteMember marks that a user has come or gone. The caller holds the channel's lock.
func (ch *channel) noteMember(user string, present bool) {
	if raises(ch.info) {
		ch.app.transitions.mark(subject{aspectMember, ch.info.Name, user}, number(present))
	}
}

// follow takes that webhooks ask for other events than before.
func (t *transitions) follow(before, wanted protocol.WebhookSet) {
	if wanted&transitionEvents == 0 {
		t.forget()
		return
	}
	if added := wanted &^ before; added&transitionEvents != 0 && t.app.hub.settings().Webhooks.Sink != nil {
		t.adopt(added)
	}
}

// followWebhooks takes that webhooks are told from now on, or no more.
func (h *Hub) followWebhooks(on bool) {
	for _, a := range h.liveApps() {
		if on {
			a.transitions.follow(0, a.record().webhooks)
		} else {
			a.transitions.forget()
		}
	}
}

// adopt takes what is true now as told, for events that webhooks have not asked for
// before: a webhook that is added hears of changes from then on.
func (t *transitions) adopt(asked protocol.WebhookSet) {
	t.each(func(s subject, value int) {
		if asked&aspectEvents[s.aspect] != 0 {
			t.setToldLocked(s, value)
		}
	})
}

// lookAtAll looks at everything that is true.
func (t *transitions) lookAtAll() {
	t.each(func(s subject, value int) {
		if value != t.lastToldLocked(s) {
			t.pendLocked(s, 0)
		}
	})
}

// each visits everything that can be told of the channels that are occupied, with
// the lock.
func (t *transitions) each(visit func(s subject, value int)) {
	for i := range t.app.shards {
		s := &t.app.shards[i]
		s.mu.RLock()
		channels := make([]*channel, 0, len(s.channels))
		for _, ch := range s.channels {
			channels = append(channels, ch)
		}
		s.mu.RUnlock()
		for _, ch := range channels {
			if raises(ch.info) {
				t.eachOf(ch, visit)
			}
		}
	}
}

func (t *transitions) eachOf(ch *channel, visit func(s subject, value int)) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	subjects := []subject{{aspect: aspectOccupied, channel: ch.info.Name}}
	if ch.presence == nil {
		subjects = append(subjects, subject{aspect: aspectCount, channel: ch.info.Name})
	} else {
		for _, m := range ch.presence.order {
			subjects = append(subjects, subject{aspectMember, ch.info.Name, m.UserID})
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range subjects {
		visit(s, ch.valueLocked(s))
	}
}

// forget drops everything: no webhook asks for it any more.
func (t *transitions) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.told)
	clear(t.due)
	clear(t.waiting)
	clear(t.doubted)
	clear(t.asked)
	clear(t.stamps)
	t.soon, t.later = nil, nil
}
