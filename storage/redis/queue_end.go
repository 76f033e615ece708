package redis

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// retryAnswer is the pause before a question is asked again whose answer was lost.
const retryAnswer = 200 * time.Millisecond

// lateRun is why a job fails whose process did not renew its lease.
const lateRun = "the process ended, or stood still, while the job ran"

// ending is the end of one run of a job.
type ending struct {
	job     *claimedJob
	word    string // done, again, dead, or moved
	attempt int    // the runs that count
	delay   time.Duration
	reason  string
}

// turn is what the server has said to the end of a run, and to a wish for jobs.
type turn struct {
	ours bool // the run was this process's to end
	more bool // other jobs are ready
	next time.Time
	jobs []*claimedJob
}

// turn ends a run, unless it is nil, and takes up to n jobs.
func (q *Queue) turn(ctx context.Context, queue string, e *ending, n int) (turn, error) {
	return q.turnAs(ctx, queue, e, n, q.token(), false)
}

func (q *Queue) turnAs(ctx context.Context, queue string, e *ending, n int, token string, again bool) (t turn, err error) {
	o := q.optionsNow()
	args := []any{queue, o.DeduplicationTTL.Milliseconds(), o.MaxDeadLetters, q.channel(), lateRun}
	if e == nil {
		args = append(args, "", "", "", 0, 0, "")
	} else {
		args = append(args, e.word, e.job.seq, e.job.token, e.attempt, laterBy(e.delay), e.reason)
	}
	repeated := 0
	if again {
		repeated = 1
	}
	reply, err := q.run(ctx, turnJobs, []string{queue}, append(args, n, token, o.Lease.Milliseconds(), maxReply, repeated)...)
	if err != nil {
		return t, err
	}
	t, err = readTurn(reply, queue, token)
	return t, q.client.fail(ctx, err)
}

func readTurn(reply any, queue, token string) (t turn, err error) {
	list, _ := reply.([]any)
	head, err := integers(list[:min(3, len(list))], 3)
	if err != nil {
		return t, err
	}
	t.ours, t.more = head[0] == 1, head[1] > 0
	if head[2] >= 0 {
		t.next = time.Now().Add(time.Duration(head[2]) * time.Millisecond)
	}
	for list = list[3:]; len(list) >= 5; list = list[5:] {
		j := &claimedJob{Job: storage.Job{Queue: queue, ID: text(list[1]), Payload: []byte(text(list[2]))}, seq: text(list[0]), token: token, lose: func() {}}
		counts, err := integers(list[3:5], 2)
		if err != nil {
			return t, err
		}
		j.Attempt, j.MaxAttempts = int(counts[0]), int(counts[1])
		t.jobs = append(t.jobs, j)
	}
	return t, nil
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

// settle ends a run and takes the next job for the worker in the same step.
func (q *Queue) settle(w *worker, j *claimedJob, outcome error) (next *claimedJob) {
	q.mu.Lock()
	n := 0
	if !w.stopping && !q.closed && !q.handing && (q.options.Concurrency <= 0 || w.lane.running <= q.options.Concurrency) {
		n = 1
	}
	to := q.successor
	if to == nil {
		q.leaving.Add(1)
		defer q.leaving.Done()
	}
	e := q.endOf(w, j, outcome)
	q.mu.Unlock()
	if to != nil && e.word != "done" {
		q.forward(to, e)
	}
	t, err := q.insist(w.lane.name, e, n)
	switch {
	case err != nil && !errors.Is(err, storage.ErrClosed):
		q.log.Error("a job's end cannot be written, so it runs again", zap.String("queue", w.lane.name), zap.Error(err))
	case err == nil && !t.ours:
		q.log.Warn("a job ended after its lease was over, so it runs again", zap.String("queue", w.lane.name), zap.String("job", j.ID))
	}
	return q.settled(w, j, t)
}

// endOf reads what the result of a run means for its job.
func (q *Queue) endOf(w *worker, j *claimedJob, outcome error) *ending {
	e := &ending{job: j, attempt: j.Attempt}
	switch {
	case outcome == nil:
		e.word = "done"
		return e
	case w.ctx.Err() != nil && !storage.IsFinal(outcome):
		e.word, e.attempt = "again", j.Attempt-1
		return e
	}
	name := j.ID
	if name == "" {
		name = j.seq
	}
	next := storage.OutcomeOf(outcome, j.Attempt, j.MaxAttempts, q.options.Retry.Delay(name, j.Attempt))
	e.word, e.attempt, e.delay, e.reason = "again", next.Attempt, next.Delay, storage.ClipReason(outcome.Error())
	if next.Dead {
		e.word = "dead"
	}
	return e
}

// insist asks until there is an answer, as long as the lease may last: what was done
// must not be done again because the server was away for a moment. A question whose
// answer was lost changes nothing when it is asked again.
func (q *Queue) insist(queue string, e *ending, n int) (t turn, err error) {
	token := q.token()
	until := time.Now().Add(q.optionsNow().Lease)
	for again := false; ; again = true {
		t, err = q.turnAs(q.background, queue, e, n, token, again)
		if again && err == nil {
			t.ours = true // if it was before, the first answer would have said so
		}
		if err == nil || !isPassing(err) || time.Now().After(until) || !wait.For(q.background, retryAnswer) {
			return t, err
		}
		q.mu.Lock()
		lost := e.job.lost
		q.mu.Unlock()
		if lost {
			n = 0
		}
	}
}

// settled does the bookkeeping after a run. It returns the next job of the worker.
func (q *Queue) settled(w *worker, j *claimedJob, t turn) *claimedJob {
	q.mu.Lock()
	delete(q.running, j)
	if len(t.jobs) > 0 && !w.stopping && !q.closed {
		next := t.jobs[0]
		q.running[next] = struct{}{}
		q.mu.Unlock()
		return next
	}
	l := w.lane
	w.running--
	l.running--
	if w.stopping && w.running == 0 {
		close(w.idle)
	}
	l.ready = l.ready || t.more
	q.armLocked(l, t.next)
	q.dispatchLocked(l)
	q.dismissLocked(l)
	q.mu.Unlock()
	q.giveBack(l.name, t.jobs)
	return nil
}

// giveBack lets others have jobs that were claimed and have not run.
func (q *Queue) giveBack(queue string, jobs []*claimedJob) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	for _, j := range jobs {
		if _, err := q.turn(ctx, queue, &ending{job: j, word: "again", attempt: j.Attempt - 1}, 0); err != nil {
			q.log.Error("giving back jobs, which run when their lease is over", zap.Error(err))
			return
		}
	}
}

// forward moves a job that failed after a Handover to the queue that has the others.
// What that does not take stays here.
func (q *Queue) forward(to storage.Queue, e *ending) {
	job := e.job.Job
	job.Attempt, job.Delay = e.attempt, e.delay
	taken, err := storage.HandOn(to, job, e.word == "dead", e.reason)
	if err != nil {
		q.log.Error("a job that failed stays in the queue that was replaced", zap.String("queue", job.Queue), zap.String("job", job.ID), zap.Error(err))
	}
	if taken {
		e.word = "moved"
	}
}
