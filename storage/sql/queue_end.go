package sql

import (
	"strconv"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// ending is the end of one run of a job. Without failure and undo it is done.
type ending struct {
	queue   *Queue
	job     *claimedJob
	options QueueOptions
	now     time.Time
	failure error
	// undo makes the run not count.
	undo bool
	// moved says that another queue has the job now.
	moved bool

	removed int
	bytes   int64
	again   time.Time // when the job may run again, zero for never
}

// write ends the run, unless the job is not this process's any more.
func (e *ending) write(tx *transaction) error {
	e.removed, e.bytes, e.again = 0, 0, time.Time{}
	switch {
	case e.moved:
		return e.remove(tx)
	case e.undo:
		e.again = e.now
		return e.requeue(tx, e.job.Attempt-1, e.now)
	case e.failure == nil:
		return e.remove(tx)
	}
	next := e.next()
	if next.Dead {
		return e.bury(tx)
	}
	e.again = e.now.Add(next.Delay)
	return e.requeue(tx, next.Attempt, e.again)
}

// next is what a failure means for the job.
func (e *ending) next() storage.Outcome {
	name := e.job.ID
	if name == "" {
		name = strconv.FormatInt(e.job.seq, 10)
	}
	return storage.OutcomeOf(e.failure, e.job.Attempt, e.job.MaxAttempts, e.options.Retry.Delay(name, e.job.Attempt))
}

const mine = " WHERE seq = ? AND state = 1 AND owner = ? AND attempt = ?"

func (e *ending) requeue(tx *transaction, attempt int, due time.Time) error {
	_, err := tx.exec("UPDATE queue_jobs SET state = 0, owner = '', lease = 0, attempt = ?, due = ?"+mine,
		attempt, due.UnixMilli(), e.job.seq, e.queue.owner.name, e.job.Attempt)
	return err
}

func (e *ending) remove(tx *transaction) error {
	n, err := tx.exec("DELETE FROM queue_jobs"+mine, e.job.seq, e.queue.owner.name, e.job.Attempt)
	if err != nil || n == 0 {
		return err
	}
	e.removed, e.bytes = 1, int64(len(e.job.Payload))
	if e.moved {
		return forgetID(tx, e.job.Queue, e.job.ID, e.job.seq)
	}
	return retire(tx, e.job.Queue, e.job.ID, e.job.seq, e.job.pushed, e.options)
}

func (e *ending) bury(tx *transaction) error {
	n, err := tx.exec("UPDATE queue_jobs SET state = 2, owner = '', lease = 0, reason = ?, failed = ?"+mine,
		storage.ClipReason(e.failure.Error()), e.now.UnixMilli(), e.job.seq, e.queue.owner.name, e.job.Attempt)
	if err != nil || n == 0 {
		return err
	}
	if err := retire(tx, e.job.Queue, e.job.ID, e.job.seq, e.job.pushed, e.options); err != nil {
		return err
	}
	e.removed, e.bytes, err = trimLetters(tx, e.job.Queue, e.options.MaxDeadLetters)
	return err
}

func (e *ending) committed() {
	e.queue.grow(-e.removed, -e.bytes)
	if !e.again.IsZero() {
		e.queue.readyAt(e.job.Queue, e.again)
	}
}

// forgetID lets go of the id of a job that another queue has, at once.
func forgetID(tx *transaction, queue, id string, seq int64) error {
	_, err := tx.exec("DELETE FROM queue_ids WHERE queue = ? AND id = ? AND job = ?", queue, id, seq)
	return err
}

// retire lets go of the id of a job that is gone or dead, when its time is over.
func retire(tx *transaction, queue, id string, seq, pushed int64, o QueueOptions) error {
	if id == "" {
		return nil
	}
	_, err := tx.exec("UPDATE queue_ids SET job = 0, expires = ? WHERE queue = ? AND id = ? AND job = ?",
		pushed+o.DeduplicationTTL.Milliseconds(), queue, id, seq)
	return err
}

// insertLetter stores a job that failed elsewhere.
func insertLetter(tx *transaction, l storage.DeadLetter, now time.Time) error {
	_, err := tx.exec(`INSERT INTO queue_jobs (queue, id, payload, state, due, attempt, max_attempts, pushed, reason, failed)
		VALUES (?, ?, ?, 2, 0, ?, ?, ?, ?, ?)`,
		l.Queue, l.ID, blob(l.Payload), l.Attempt, max(l.MaxAttempts, 1), now.UnixMilli(), storage.ClipReason(l.Reason), l.FailedAt.UnixMilli())
	return err
}

// trimLetters drops the oldest failed jobs of a queue above the bound.
func trimLetters(tx *transaction, queue string, keep int) (removed int, bytes int64, err error) {
	err = tx.query(func(scan func(...any) error) error {
		var size int64
		removed++
		err := scan(&size)
		bytes += size
		return err
	}, `DELETE FROM queue_jobs WHERE seq IN (
			SELECT seq FROM queue_jobs WHERE queue = ? AND state = 2 ORDER BY failed DESC, seq DESC LIMIT -1 OFFSET ?
		) RETURNING LENGTH(payload)`, queue, keep)
	return removed, bytes, err
}
