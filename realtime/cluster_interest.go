package realtime

import (
	"context"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// wantBatch is how many topics are asked for at once.
const wantBatch = 512

// want asks the adapters for a channel before somebody joins it. The caller has
// pinned it. An adapter that does not answer in time holds nobody up: what it
// brings later it brings.
func (c *cluster) want(ch *channel) {
	epoch := c.epoch.Load()
	if epoch == 0 || ch.wanted.Load() == epoch {
		return
	}
	c.wantTopic(protocol.Topic{App: ch.app.id, Channel: ch.info.Name})
	ch.wanted.Store(epoch)
}

func (c *cluster) wantTopic(topic protocol.Topic) {
	ctx, cancel := context.WithTimeout(context.Background(), driverTimeout)
	defer cancel()
	for _, adapter := range c.adapters() {
		if err := adapter.Want(ctx, topic); err != nil {
			c.hub.log().Warn("asking the adapter for a channel", zap.String("app", topic.App), zap.Error(err))
		}
	}
}

// unwant ends that, for a channel without subscribers here. The caller holds the
// channel's lock, so nobody asks for it again before.
func (c *cluster) unwant(ch *channel) {
	if ch.wanted.Swap(0) == 0 {
		return
	}
	c.unwantTopic(protocol.Topic{App: ch.app.id, Channel: ch.info.Name})
}

func (c *cluster) unwantTopic(topic protocol.Topic) {
	for _, adapter := range c.adapters() {
		adapter.Unwant(topic)
	}
}

// wantAll asks an adapter for all that is wanted here. Whoever joins a channel
// meanwhile asks too.
func (c *cluster) wantAll(adapter storage.Clustered) {
	ctx, cancel := context.WithTimeout(context.Background(), driverTimeout)
	defer cancel()
	for _, a := range c.hub.liveApps() {
		var topics []protocol.Topic
		for _, name := range a.occupiedHere() {
			topics = append(topics, protocol.Topic{App: a.id, Channel: name})
		}
		for _, id := range a.onlineHere() {
			topics = append(topics, protocol.UserTopic(a.id, id))
		}
		for len(topics) > 0 {
			n := min(len(topics), wantBatch)
			if err := adapter.Want(ctx, topics[:n]...); err != nil {
				c.hub.log().Warn("asking the adapter for channels", zap.String("app", a.id), zap.Error(err))
			}
			topics = topics[n:]
		}
	}
}
