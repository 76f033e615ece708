package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// maxReason bounds the reason kept with a failed job, in bytes. It is not counted
// in the size of the queue.
const maxReason = 1024

// letter is a job that failed for good.
type letter struct {
	*queuedJob
	reason   string
	failedAt time.Time
}

func (l *letter) key() string { return strconv.FormatUint(l.seq, 10) }

// letterOf is what is told about a failed job.
func letterOf(l *letter) storage.DeadLetter {
	job := l.Job
	job.Payload = bytes.Clone(job.Payload)
	return storage.DeadLetter{Job: job, Key: l.key(), Reason: l.reason, FailedAt: l.failedAt}
}

// buryLocked makes a job that is in no state any more a dead letter.
func (q *Queue) buryLocked(j *queuedJob, reason string, failedAt time.Time) {
	l := j.lane
	delete(l.living, j)
	if len(reason) > maxReason {
		reason = strings.Clone(strings.ToValidUTF8(reason[:maxReason], ""))
	}
	l.dead = append(l.dead, &letter{queuedJob: j, reason: reason, failedAt: failedAt})
	for len(l.dead) > max(q.options.MaxDeadLetters, 0) {
		q.dropLocked(l.dead[0].queuedJob)
		l.dead = slices.Delete(l.dead, 0, 1)
	}
}

// DeadLetters lists failed jobs of the named queue, oldest first.
func (q *Queue) DeadLetters(ctx context.Context, queue string, limit int) ([]storage.DeadLetter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	l := q.lanes[queue]
	if l == nil || limit <= 0 {
		return nil, nil
	}
	n := min(limit, len(l.dead))
	letters := make([]storage.DeadLetter, 0, n)
	for _, dead := range l.dead[:n] {
		letters = append(letters, letterOf(dead))
	}
	return letters, nil
}

// Replay makes the failed job with the given key ready, as if it had never run.
func (q *Queue) Replay(ctx context.Context, queue, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.draining || q.closed {
		return fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	l := q.lanes[queue]
	if l == nil {
		return fmt.Errorf("dead letter %q of queue %q: %w", id, queue, storage.ErrNotFound)
	}
	j := l.exhume(id)
	if j == nil {
		return fmt.Errorf("dead letter %q of queue %q: %w", id, queue, storage.ErrNotFound)
	}
	now := time.Now()
	j.Attempt, j.pushed = 0, now
	q.reviveLocked(j)
	q.enqueueLocked(j, 0, now)
	return nil
}

// exhume takes the job with the given key from the dead letters. It is nil when
// there is none.
func (l *lane) exhume(key string) *queuedJob {
	i := slices.IndexFunc(l.dead, func(dead *letter) bool { return dead.key() == key })
	if i < 0 {
		return nil
	}
	j := l.dead[i].queuedJob
	l.dead = slices.Delete(l.dead, i, i+1)
	return j
}

// Purge removes all failed jobs of the named queue.
func (q *Queue) Purge(ctx context.Context, queue string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	l := q.lanes[queue]
	if l == nil {
		return 0, nil
	}
	for _, dead := range l.dead {
		q.dropLocked(dead.queuedJob)
	}
	n := len(l.dead)
	l.dead = nil
	return n, nil
}
