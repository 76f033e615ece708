package sql

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// lookEvery is how often the queue looks for what other processes have done.
	lookEvery = 5 * time.Second
	// recountEvery is after how many looks everything is counted anew.
	recountEvery = 12
)

// errOwnerGone is why a job fails whose process ended while it ran.
var errOwnerGone = errors.New("the process ended, or stood still, while the job ran")

// keepLeases renews the leases of running jobs until ctx ends.
func (q *Queue) keepLeases(ctx context.Context) {
	for wait.For(ctx, q.optionsNow().Renew) {
		if err := q.renew(ctx); err != nil && ctx.Err() == nil {
			q.log.Error("renewing the leases of running jobs", zap.Error(err))
		}
	}
}

func (q *Queue) renew(ctx context.Context) error {
	q.mu.Lock()
	seqs := make([]int64, 0, len(q.running))
	for seq := range q.running {
		seqs = append(seqs, seq)
	}
	lease := q.options.Lease
	q.mu.Unlock()
	if len(seqs) == 0 {
		return nil
	}
	list, err := json.Marshal(seqs)
	if err != nil {
		return err
	}
	return q.writer.change(ctx, 0, func(tx *transaction) error {
		_, err := tx.exec("UPDATE queue_jobs SET lease = ? WHERE state = 1 AND owner = ? AND seq IN (SELECT value FROM json_each(?))",
			time.Now().Add(lease).UnixMilli(), q.owner.name, string(list))
		return err
	}, nil)
}

// look takes notice of what other processes have done with the file, until ctx
// ends.
func (q *Queue) look(ctx context.Context) {
	for n := 1; wait.For(ctx, lookEvery); n++ {
		err := q.reclaim(ctx)
		if n%recountEvery == 0 {
			err = errors.Join(err, q.recount(ctx), q.forget(ctx))
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, storage.ErrClosed) {
			q.log.Error("looking after the queue", zap.Error(err))
		}
		q.mu.Lock()
		for _, l := range q.lanes {
			l.ready = true
			q.dispatchLocked(l)
		}
		q.mu.Unlock()
	}
}

// reclaim puts jobs back in line whose process has ended or has not renewed its
// lease. A run that was cut short counts: a job that ends its process must not do
// so for ever.
func (q *Queue) reclaim(ctx context.Context) error {
	var owners []string
	rows, err := q.db.QueryContext(ctx, "SELECT DISTINCT owner FROM queue_jobs WHERE state = 1 AND owner <> ?", q.owner.name)
	err = eachRow(rows, err, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		owners = append(owners, name)
		return err
	})
	if err != nil {
		return q.fail(ctx, err)
	}
	owners = slices.DeleteFunc(owners, func(name string) bool { return !q.owner.isGone(name) })
	gone, err := json.Marshal(append([]string{}, owners...))
	if err != nil {
		return err
	}
	var freed []string
	err = q.writer.change(ctx, 0, func(tx *transaction) error {
		var err error
		freed, err = q.free(tx, string(gone))
		return err
	}, func() {
		for _, queue := range freed {
			q.ready(queue)
		}
	})
	if err == nil {
		q.owner.forget(owners)
	}
	return err
}

// free ends the runs of jobs whose owners are gone or late.
func (q *Queue) free(tx *transaction, gone string) (queues []string, err error) {
	now, o := time.Now(), q.optionsNow()
	type stray struct {
		seq, pushed   int64
		queue, id     string
		attempt, most int
	}
	var strays []stray
	err = tx.query(func(scan func(...any) error) error {
		var s stray
		err := scan(&s.seq, &s.queue, &s.id, &s.attempt, &s.most, &s.pushed)
		strays = append(strays, s)
		return err
	}, "SELECT seq, queue, id, attempt, max_attempts, pushed FROM queue_jobs WHERE state = 1 AND (lease < ? OR owner IN (SELECT value FROM json_each(?)))", now.UnixMilli(), gone)
	if err != nil {
		return nil, err
	}
	for _, s := range strays {
		queues = append(queues, s.queue)
		if s.attempt < s.most {
			_, err = tx.exec("UPDATE queue_jobs SET state = 0, owner = '', lease = 0, due = ? WHERE seq = ?", now.UnixMilli(), s.seq)
		} else {
			_, err = tx.exec("UPDATE queue_jobs SET state = 2, owner = '', lease = 0, reason = ?, failed = ? WHERE seq = ?", errOwnerGone.Error(), now.UnixMilli(), s.seq)
			if err == nil {
				err = retire(tx, s.queue, s.id, s.seq, s.pushed, o)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return queues, nil
}

// forget removes the ids of finished jobs whose time is over.
func (q *Queue) forget(ctx context.Context) error {
	return q.writer.change(ctx, 0, func(tx *transaction) error {
		_, err := tx.exec("DELETE FROM queue_ids WHERE job = 0 AND expires < ?", time.Now().UnixMilli())
		return err
	}, nil)
}
