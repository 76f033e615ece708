package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// maxEnvelope is the size in bytes of the data of one packet. Servers end the
// connection of who lets 32 MiB wait, or 8 MiB for a minute.
const maxEnvelope = 8 << 20

// link is a relay.Link over one server, or over one node of a cluster in which every
// node gets everything.
type link struct {
	pair  *pair
	names names
}

// Send publishes packets in one go, and returns when the server has them.
func (l *link) Send(ctx context.Context, packets []relay.Packet) error {
	list := make([]string, len(packets))
	for i := range packets {
		list[i] = l.names.of(packets[i].Topic)
	}
	_, _, err := l.pair.publish(ctx, list, packets)
	return err
}

// Flush has nothing to wait for.
func (l *link) Flush(context.Context) error { return context.Cause(l.pair.ctx) }

// Subscribe returns when the server has answered.
func (l *link) Subscribe(ctx context.Context, topics []protocol.Topic) error {
	ctx, cancel := context.WithTimeout(ctx, l.pair.timeout)
	defer cancel()
	return l.pair.subscribe(ctx, l.names.all(topics))
}

// Unsubscribe lets go of topics.
func (l *link) Unsubscribe(ctx context.Context, topics []protocol.Topic) error {
	return l.pair.unsubscribe(ctx, l.names.all(topics))
}

// MaxSize is what goes through.
func (*link) MaxSize() int { return maxEnvelope }

// Close ends both connections.
func (l *link) Close() error { return l.pair.close() }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, redis.ErrClosed) {
		return nil
	}
	return err
}

// isMaster asks a server whether it is a master outside of a cluster: what is
// published on a replica does not reach the others. One that does not know the
// question, or does not let us ask, is believed to be.
func isMaster(ctx context.Context, pipe redis.Pipeliner) func() error {
	command := pipe.Do(ctx, "hello")
	return func() error {
		hello, err := command.Slice()
		if _, answered := errors.AsType[redis.Error](err); answered {
			return nil
		}
		if err != nil {
			return err
		}
		words := wordsOf(hello)
		if err := checkMode(words["mode"]); err != nil {
			return err
		}
		if role := words["role"]; role == "replica" || role == "slave" {
			return errors.New("this server is a replica: what is published on it reaches nobody at its master")
		}
		return nil
	}
}

// isJoined asks a node of a cluster whether it is cut off from most of the masters:
// it would take what is published, and nobody would hear of it. A cluster in which a
// part of the slots has no master still carries everything.
func isJoined(ctx context.Context, pipe redis.Pipeliner) func() error {
	command := pipe.ClusterInfo(ctx)
	return func() error {
		text, err := command.Result()
		if redis.HasErrorPrefix(err, "NOPERM") {
			return nil
		}
		if err != nil {
			return err
		}
		if clusterWord(text, "cluster_state") == "fail" && clusterWord(text, "cluster_slots_pfail") != "0" {
			return errors.New("this node is cut off from most of its cluster")
		}
		return nil
	}
}

// clusterWord is a value in the answer to CLUSTER INFO.
func clusterWord(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// movedSlot is the slot of which a server says that it is another one's.
func movedSlot(err error) (slot int, ok bool) {
	moved, is := errors.AsType[redis.Error](err)
	if !is {
		return 0, false
	}
	var address string
	n, _ := fmt.Sscanf(moved.Error(), "MOVED %d %s", &slot, &address)
	return slot, n == 2 && slot >= 0 && slot < slotCount
}
