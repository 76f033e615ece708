package sql

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// DeadLetters lists failed jobs of the named queue, oldest first.
func (q *Queue) DeadLetters(ctx context.Context, queue string, limit int) ([]storage.DeadLetter, error) {
	if err := q.usable(ctx); err != nil || limit <= 0 {
		return nil, err
	}
	var letters []storage.DeadLetter
	rows, err := q.db.QueryContext(ctx, `SELECT seq, id, payload, attempt, max_attempts, reason, failed FROM queue_jobs
		WHERE queue = ? AND state = 2 ORDER BY failed, seq LIMIT ?`, q.scope+queue, limit)
	err = eachRow(rows, err, func(scan func(...any) error) error {
		l := storage.DeadLetter{Job: storage.Job{Queue: queue}}
		var seq, failed int64
		err := scan(&seq, &l.ID, &l.Payload, &l.Attempt, &l.MaxAttempts, &l.Reason, &failed)
		l.Key, l.FailedAt = strconv.FormatInt(seq, 10), time.UnixMilli(failed)
		letters = append(letters, l)
		return err
	})
	return letters, q.fail(ctx, err)
}

// Replay makes the failed job with the given key ready, as if it had never run.
func (q *Queue) Replay(ctx context.Context, queue, key string) error {
	if err := q.admit(0, 0); err != nil {
		return err
	}
	missing := refused{fmt.Errorf("dead letter %q of queue %q: %w", key, queue, storage.ErrNotFound)}
	seq, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return missing.error
	}
	queue = q.scope + queue
	return q.writer.change(ctx, 0, func(tx *transaction) error {
		var id string
		now := time.Now().UnixMilli()
		found, err := tx.one([]any{&id}, `UPDATE queue_jobs SET state = 0, attempt = 0, due = ?, pushed = ?, reason = '', failed = 0
			WHERE seq = ? AND queue = ? AND state = 2 RETURNING id`, now, now, seq, queue)
		switch {
		case err != nil:
			return err
		case !found:
			return missing
		case id == "":
			return nil
		}
		// The id is the job's again, unless another one has it by now.
		_, err = tx.exec("UPDATE queue_ids SET job = ?, expires = 0 WHERE queue = ? AND id = ? AND job = 0", seq, queue, id)
		return err
	}, func() { q.ready(queue) })
}

// Purge removes all failed jobs of the named queue.
func (q *Queue) Purge(ctx context.Context, queue string) (n int, err error) {
	if err := q.usable(ctx); err != nil {
		return 0, err
	}
	var bytes int64
	err = q.writer.change(ctx, 0, func(tx *transaction) (err error) {
		n, bytes, err = trimLetters(tx, q.scope+queue, 0)
		return err
	}, func() { q.grow(-n, -bytes) })
	if err != nil {
		return 0, err
	}
	return n, nil
}
