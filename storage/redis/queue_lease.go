package redis

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

const (
	// lookEvery is how often the queue looks for jobs that it has heard nothing of.
	lookEvery = 5 * time.Second
	// forgetEvery is after how many looks old ids are forgotten, beside those that a
	// Push forgets.
	forgetEvery = 12
)

// keepLeases renews the leases of running jobs until ctx ends.
func (q *Queue) keepLeases(ctx context.Context) {
	for failed := false; ; {
		pause := q.optionsNow().Renew
		if failed {
			pause = min(pause, retryClaim)
		}
		if !wait.For(ctx, pause) {
			return
		}
		err := q.renew(ctx)
		if err != nil && ctx.Err() == nil && !failed {
			q.log.Error("renewing the leases of running jobs", zap.Error(err))
		}
		failed = err != nil
	}
}

// renew renews all leases. A run whose lease is lost ends by its context: the job is
// another's by now.
func (q *Queue) renew(ctx context.Context) error {
	q.mu.Lock()
	lease := q.options.Lease
	var queues []string
	args := []any{lease.Milliseconds()}
	jobs := map[string]*claimedJob{}
	places := map[string]int{}
	for j := range q.running {
		if places[j.Queue] == 0 {
			queues = append(queues, j.Queue)
			places[j.Queue] = len(queues)
		}
		args = append(args, places[j.Queue], j.seq, j.token)
		jobs[j.seq+j.token] = j
	}
	q.mu.Unlock()
	if len(jobs) == 0 {
		return nil
	}
	reply, err := q.run(ctx, renewJobs, queues, args...)
	if err != nil {
		return err
	}
	lost, _ := reply.([]any)
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, name := range lost {
		j := jobs[text(name)]
		if j == nil {
			continue
		}
		if _, runs := q.running[j]; !runs || j.lost {
			continue // it has ended meanwhile
		}
		j.lost = true
		j.lose()
		q.log.Warn("the lease of a running job is lost", zap.String("queue", j.Queue), zap.String("job", j.ID))
	}
	return nil
}

// look takes notice of what it may have missed, until ctx ends.
func (q *Queue) look(ctx context.Context) {
	for n := 1; wait.For(ctx, lookEvery); n++ {
		q.readyAll()
		if n%forgetEvery != 0 {
			continue
		}
		if err := q.forget(ctx); err != nil && ctx.Err() == nil {
			q.log.Error("looking after the queue", zap.Error(err))
		}
	}
}

// forget removes ids of finished jobs whose time is over.
func (q *Queue) forget(ctx context.Context) error {
	_, err := q.run(ctx, tryQueue, nil, q.channel())
	return err
}

// isPassing says that a server has refused what it will do in a moment.
func isPassing(err error) bool {
	for _, refused := range []string{"LOADING", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "READONLY", "BUSY", "UNKILLABLE"} {
		if redis.HasErrorPrefix(err, refused) {
			return true
		}
	}
	_, answered := asAnswer(err)
	return !answered
}
