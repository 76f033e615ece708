package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// movePause is the time between two attempts to find who is responsible for a
// channel.
const movePause = 20 * time.Millisecond

// shards is a relay.Link over all masters of a cluster. Each channel belongs to the
// one that is responsible for its slot. When a slot moves, its channels follow; when
// a master is lost, the whole link is.
type shards struct {
	dialer  *dialer
	in      *relay.Inlet
	timeout time.Duration

	ctx   context.Context // ends with the link
	stop  context.CancelFunc
	loops sync.WaitGroup
	wake  chan struct{} // signalled with homeless

	opening sync.Mutex // one pair is opened at a time, but for those of the beginning

	mu     sync.Mutex
	over   bool
	owners [slotCount]uint16 // indexes of addresses
	// addresses are those of masters, in the order in which they were heard of. The
	// first one stands for nobody.
	addresses []string
	pairs     map[string]*pair
	channels  map[string]*pair  // where each was asked for
	homeless  map[string]*asked // those that wait to be asked for elsewhere
}

// dialShards makes a link to all masters that a node tells of.
func (d *dialer) dialShards(ctx context.Context, in *relay.Inlet, address string) (relay.Link, error) {
	slots, err := d.askTopology(ctx, address)
	if err != nil {
		return nil, err
	}
	s := &shards{
		dialer: d, in: in, timeout: time.Duration(d.timeout.Load()), wake: make(chan struct{}, 1), addresses: []string{""},
		pairs: map[string]*pair{}, channels: map[string]*pair{}, homeless: map[string]*asked{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	for _, part := range slots {
		if len(part.Nodes) == 0 || part.Start < 0 || part.End >= slotCount {
			continue
		}
		for slot := part.Start; slot <= part.End; slot++ {
			s.own(slot, part.Nodes[0].Addr)
		}
	}
	var opened sync.WaitGroup
	failures := make([]error, len(s.addresses))
	for i, address := range s.addresses[1:] {
		opened.Go(func() { _, failures[i] = s.open(ctx, address) })
	}
	opened.Wait()
	if err := errors.Join(failures...); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.loops.Go(s.move)
	return d.admit(ctx, s)
}

// askTopology asks a node for the masters, if it says that all is well.
func (d *dialer) askTopology(ctx context.Context, address string) ([]redis.ClusterSlot, error) {
	client, w := d.client(address)
	defer func() {
		w.close()
		_ = client.Close()
	}()
	defer context.AfterFunc(ctx, w.close)()
	info, err := client.ClusterInfo(ctx).Result()
	switch {
	case err != nil && !redis.HasErrorPrefix(err, "NOPERM"):
		return nil, err
	case err == nil && clusterWord(info, "cluster_state") != "ok":
		return nil, fmt.Errorf("the state of the cluster is %q", clusterWord(info, "cluster_state"))
	}
	return d.topology(ctx, client, address)
}

// own notes who is responsible for a slot.
func (s *shards) own(slot int, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.addresses, address)
	if i < 0 {
		i = len(s.addresses)
		s.addresses = append(s.addresses, address)
	}
	s.owners[slot] = uint16(i) // a cluster has 1000 nodes at most
}

// owner is who is responsible for a channel.
func (s *shards) owner(channel string) (string, error) {
	slot := slotOf(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	address := s.addresses[s.owners[slot]]
	if address == "" {
		return "", fmt.Errorf("the cluster has nobody for slot %d", slot)
	}
	return address, nil
}

// open connects to a master.
func (s *shards) open(ctx context.Context, address string) (*pair, error) {
	l, err := s.dialer.openPair(ctx, address, pairOptions{
		sharded: true, received: s.in.Received, lost: s.in.Lost, ended: s.ended, moved: s.moved,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	s.mu.Lock()
	over := s.over
	if !over {
		s.pairs[address] = l
	}
	s.mu.Unlock()
	if over {
		return nil, errors.Join(errLinkOver, l.close())
	}
	return l, nil
}

// pairOf is the pair for a channel.
func (s *shards) pairOf(ctx context.Context, channel string) (*pair, error) {
	address, err := s.owner(channel)
	if err != nil {
		return nil, err
	}
	known := func() *pair {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.pairs[address]
	}
	if l := known(); l != nil {
		return l, nil
	}
	s.opening.Lock()
	defer s.opening.Unlock()
	if l := known(); l != nil {
		return l, nil
	}
	return s.open(ctx, address)
}

// Send publishes each packet where its topic belongs. What belongs elsewhere by now
// goes there, in order.
func (s *shards) Send(ctx context.Context, packets []relay.Packet) error {
	names := make([]string, len(packets))
	for i := range packets {
		names[i] = s.dialer.names.of(packets[i].Topic)
	}
	for end := time.Now().Add(s.timeout); ; {
		moved, cause, err := s.sendOnce(ctx, names, packets)
		switch {
		case err != nil:
			return err
		case len(moved) == 0:
			return nil
		case time.Now().After(end):
			return cause
		}
		if !wait.For(ctx, movePause) {
			return ctx.Err()
		}
		restNames, rest := make([]string, len(moved)), make([]relay.Packet, len(moved))
		for k, i := range moved {
			restNames[k], rest[k] = names[i], packets[i]
		}
		names, packets = restNames, rest
	}
}

// part is what goes to one pair.
type part struct {
	indexes []int
	names   []string
	packets []relay.Packet
	moved   []int
	cause   error
	err     error
}

func (s *shards) sendOnce(ctx context.Context, names []string, packets []relay.Packet) (moved []int, cause error, err error) {
	parts := map[*pair]*part{}
	for i := range packets {
		l, err := s.pairOf(ctx, names[i])
		if err != nil {
			return nil, nil, err
		}
		p := parts[l]
		if p == nil {
			p = new(part)
			parts[l] = p
		}
		p.indexes, p.names, p.packets = append(p.indexes, i), append(p.names, names[i]), append(p.packets, packets[i])
	}
	var sent sync.WaitGroup
	for l, p := range parts {
		send := func() { p.moved, p.cause, p.err = l.publish(ctx, p.names, p.packets) }
		if len(parts) == 1 {
			send()
		} else {
			sent.Go(send)
		}
	}
	sent.Wait()
	for _, p := range parts {
		err = errors.Join(err, p.err)
		for _, k := range p.moved {
			moved, cause = append(moved, p.indexes[k]), p.cause
		}
	}
	slices.Sort(moved)
	return moved, cause, err
}

// Flush has nothing to wait for.
func (s *shards) Flush(context.Context) error { return s.ctx.Err() }

// MaxSize is what goes through.
func (*shards) MaxSize() int { return maxEnvelope }

// Subscribe returns when all masters have answered.
func (s *shards) Subscribe(ctx context.Context, topics []protocol.Topic) error {
	if len(topics) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	done := make(chan struct{})
	a := newAsked(len(topics), func() { close(done) })
	all := make(map[string]*asked, len(topics))
	for _, channel := range s.dialer.names.all(topics) {
		all[channel] = a
	}
	if err := s.ask(ctx, all); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return errLinkOver
	}
}

// ask asks those who are responsible for channels.
func (s *shards) ask(ctx context.Context, channels map[string]*asked) error {
	parts := map[*pair]map[string]*asked{}
	for channel, a := range channels {
		l, err := s.pairOf(ctx, channel)
		if err != nil {
			return err
		}
		if parts[l] == nil {
			parts[l] = map[string]*asked{}
		}
		parts[l][channel] = a
		s.mu.Lock()
		s.channels[channel] = l
		s.mu.Unlock()
	}
	for l, part := range parts {
		if err := l.ask(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// Unsubscribe lets go of topics, wherever they are.
func (s *shards) Unsubscribe(ctx context.Context, topics []protocol.Topic) error {
	parts := map[*pair][]string{}
	s.mu.Lock()
	for _, channel := range s.dialer.names.all(topics) {
		if l := s.channels[channel]; l != nil {
			parts[l] = append(parts[l], channel)
		}
		delete(s.channels, channel)
		delete(s.homeless, channel)
	}
	s.mu.Unlock()
	for l, part := range parts {
		if err := l.unsubscribe(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// Close ends all connections.
func (s *shards) Close() error {
	s.stop()
	s.mu.Lock()
	s.over = true
	var pairs []*pair
	for _, l := range s.pairs {
		pairs = append(pairs, l)
	}
	s.mu.Unlock()
	var failures []error
	for _, l := range pairs {
		failures = append(failures, l.close())
	}
	s.loops.Wait()
	return errors.Join(failures...)
}
