package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

const (
	// renewTimeout bounds one question that renews slots.
	renewTimeout = 2 * time.Second
	// renewRetry is the pause after one that failed.
	renewRetry = time.Second
)

// renewLoop renews what this process holds until ctx ends.
func (l *RateLimiter) renewLoop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for failing := false; ctx.Err() == nil; {
		batch, lease, pause := l.held.take(time.Now())
		if len(batch) == 0 {
			timer.Reset(pause)
			select {
			case <-ctx.Done():
			case <-l.held.wake:
			case <-timer.C:
			}
			continue
		}
		renewed, err := l.renewBatch(ctx, batch, lease)
		if ctx.Err() != nil {
			return
		}
		if (err != nil) != failing {
			failing = err != nil
			l.tellRenewals(err)
		}
		if renewed == 0 {
			wait.For(ctx, min(renewRetry, lease/renewals))
		}
	}
}

// renewBatch renews slots and puts their keys back into the line. What was given back
// in the meantime may have been renewed after that, and is given back once more.
func (l *RateLimiter) renewBatch(ctx context.Context, batch []renewal, lease time.Duration) (keys int, err error) {
	renewed, failed, err := l.renew(ctx, batch, lease)
	now := time.Now()
	gone := l.held.settle(renewed, now.Add(lease/renewals))
	l.held.settle(failed, now.Add(min(renewRetry, lease/renewals)))
	if len(gone) > 0 {
		l.forget(ctx, gone)
	}
	return len(renewed), err
}

func (l *RateLimiter) tellRenewals(err error) {
	if err == nil {
		l.client.log.Info("slots of open connections are renewed again")
		return
	}
	l.client.log.Warn("slots of open connections cannot be renewed, and are not counted when they expire", zap.Error(err))
}

// renew renews slots, and tells for which it could not.
func (l *RateLimiter) renew(ctx context.Context, batch []renewal, lease time.Duration) (renewed, failed []renewal, err error) {
	defer func() {
		if p := recover(); p != nil {
			renewed, failed, err = nil, batch, fmt.Errorf("recovered from a panic: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	if cluster, ok := l.client.UniversalClient.(*redis.ClusterClient); ok {
		return l.renewInCluster(ctx, cluster, batch, lease)
	}
	keys := make([]string, len(batch))
	for i, r := range batch {
		keys[i] = l.slots + r.key.key
	}
	if _, err := l.client.run(ctx, renewSlots, keys, renewalArgs(lease, batch...)...); err != nil {
		return nil, batch, l.client.fail(ctx, err)
	}
	return batch, nil, nil
}

func renewalArgs(lease time.Duration, batch ...renewal) []any {
	args := []any{lease.Milliseconds()}
	for _, r := range batch {
		args = append(args, len(r.holders))
		for _, holder := range r.holders {
			args = append(args, holder)
		}
	}
	return args
}

// nodeBatch are the slots that one node of a cluster has.
type nodeBatch struct {
	node  *redis.Client
	batch []renewal
	err   error
}

// renewInCluster asks all masters at once, each for its keys. One that has just
// failed is left alone for a while, so that it does not hold up the others.
func (l *RateLimiter) renewInCluster(ctx context.Context, cluster *redis.ClusterClient, batch []renewal, lease time.Duration) (renewed, failed []renewal, err error) {
	nodes := map[string]*nodeBatch{}
	for _, r := range batch {
		node, err := cluster.MasterForKey(ctx, l.slots+r.key.key)
		if err != nil {
			return nil, batch, l.client.fail(ctx, err)
		}
		n := nodes[node.Options().Addr]
		if n == nil {
			n = &nodeBatch{node: node}
			nodes[node.Options().Addr] = n
		}
		n.batch = append(n.batch, r)
	}
	var all sync.WaitGroup
	for addr, n := range nodes {
		if time.Now().Before(l.spared[addr]) {
			n.err = errSpared
			continue
		}
		all.Go(func() { n.err = l.renewOnNode(ctx, n, lease) })
	}
	all.Wait()
	for addr, n := range nodes {
		if n.err == nil {
			delete(l.spared, addr)
			renewed = append(renewed, n.batch...)
			continue
		}
		if failed = append(failed, n.batch...); !errors.Is(n.err, errSpared) {
			l.spared[addr] = time.Now().Add(lease / renewals)
			cluster.ReloadState(ctx) // it may have other slots by now
		}
		err = errors.Join(err, fmt.Errorf("%s: %w", addr, n.err))
	}
	return renewed, failed, err
}

var errSpared = errors.New("it has failed a moment ago")

// renewOnNode renews slots with one question. A node that does not know the script
// gets it with the first of them.
func (l *RateLimiter) renewOnNode(ctx context.Context, n *nodeBatch, lease time.Duration) error {
	err := l.renewPipelined(ctx, n, lease)
	if !redis.HasErrorPrefix(err, "NOSCRIPT") {
		return err
	}
	first := n.batch[0]
	if err := n.node.Eval(ctx, renewSlots.text, []string{l.slots + first.key.key}, renewalArgs(lease, first)...).Err(); err != nil {
		return err
	}
	return l.renewPipelined(ctx, n, lease)
}

func (l *RateLimiter) renewPipelined(ctx context.Context, n *nodeBatch, lease time.Duration) error {
	_, err := n.node.Pipelined(ctx, func(p redis.Pipeliner) error { // it gives the first error
		for _, r := range n.batch {
			p.EvalSha(ctx, renewSlots.hash, []string{l.slots + r.key.key}, renewalArgs(lease, r)...)
		}
		return nil
	})
	return err
}
