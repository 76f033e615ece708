package history

import (
	"cmp"
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// AnnotationCache keeps what the annotations of channels sum up to, so that a log is
// read once and then only what is new in it. It is bounded in bytes: the channels that
// were not asked for the longest go first. It may be used by several goroutines.
type AnnotationCache struct {
	mu       sync.Mutex
	max      int
	bytes    int
	channels map[storage.LogKey]*annotatedChannel
	order    list.List // of *annotatedChannel, the last used in front

	// Rebuilt is told whenever the whole log of a channel had to be read, and how long that has
	// taken. It is set before the cache is used; nil is for nobody.
	Rebuilt func(key storage.LogKey, took time.Duration)
}

// annotatedChannel is one channel of the cache. The projection belongs to whom the turn
// does, everything else to whom the cache's mutex does.
type annotatedChannel struct {
	key     storage.LogKey
	turn    chan struct{}
	place   *list.Element
	users   int
	charged int

	projection projection
}

const channelCost = 512

// NewAnnotationCache makes a cache of about so many bytes. Zero is 64 MiB.
func NewAnnotationCache(maxBytes int) *AnnotationCache {
	return &AnnotationCache{max: cmp.Or(maxBytes, 64<<20), channels: map[storage.LogKey]*annotatedChannel{}}
}

// Summaries are all of a channel, for a new subscriber.
func (c *AnnotationCache) Summaries(ctx context.Context, a Annotations) (all []Summary, err error) {
	err = c.use(ctx, a, func(p *projection) (err error) {
		all, err = p.all(ctx, a)
		return err
	})
	return all, err
}

// Summary is that of one type on one message.
func (c *AnnotationCache) Summary(ctx context.Context, a Annotations, message, annotationType string) (s Summary, err error) {
	err = c.Change(ctx, a, message, annotationType, func(one Summary) error {
		s = one
		return nil
	})
	return s, err
}

// Change hands over the summary of one type on one message after a change. It does so
// for one change of a channel after the other, so that nobody is told an old summary
// after a new one.
func (c *AnnotationCache) Change(ctx context.Context, a Annotations, message, annotationType string, tell func(Summary) error) error {
	return c.use(ctx, a, func(p *projection) error {
		s, err := p.one(ctx, a, message, annotationType)
		if err != nil {
			return err
		}
		return tell(s)
	})
}

// use brings the projection of a channel to where its log is and does something with
// it. Meanwhile nobody else has it.
func (c *AnnotationCache) use(ctx context.Context, a Annotations, do func(*projection) error) error {
	one := c.hold(a.Key())
	defer c.release(one)
	select {
	case one.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() {
		c.charge(one, one.projection.cost)
		<-one.turn
	}()
	begun, before := time.Now(), one.projection.rebuilds
	if err := one.projection.follow(ctx, a); err != nil {
		return err
	}
	if c.Rebuilt != nil && one.projection.rebuilds > before {
		c.Rebuilt(one.key, time.Since(begun))
	}
	return do(&one.projection)
}

func (c *AnnotationCache) hold(key storage.LogKey) *annotatedChannel {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.channels[key]
	if one == nil {
		one = &annotatedChannel{key: key, turn: make(chan struct{}, 1), projection: newProjection("", 0, 1)}
		one.place = c.order.PushFront(one)
		one.charged = channelCost + len(key.App) + len(key.Channel)
		c.channels[key] = one
		c.bytes += one.charged
	}
	c.order.MoveToFront(one.place)
	one.users++
	return one
}

// charge counts what the projection of a channel takes now.
func (c *AnnotationCache) charge(one *annotatedChannel, cost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	charged := channelCost + len(one.key.App) + len(one.key.Channel) + cost
	c.bytes += charged - one.charged
	one.charged = charged
}

// release makes room. Channels that are in use stay: two projections of one channel
// would not wait for each other.
func (c *AnnotationCache) release(one *annotatedChannel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one.users--
	for place := c.order.Back(); place != nil && c.bytes > c.max; {
		last := place.Value.(*annotatedChannel)
		place = place.Prev()
		if last.users == 0 {
			c.order.Remove(last.place)
			delete(c.channels, last.key)
			c.bytes -= last.charged
		}
	}
}
