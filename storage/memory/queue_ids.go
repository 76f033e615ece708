package memory

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// ticket is a known job id. It belongs to a job that waits or runs, or, when that
// is gone, to its payload's sum until the deadline.
type ticket struct {
	deadline
	lane *lane
	id   string
	job  *queuedJob
	sum  [sha256.Size]byte
}

// matches reports whether payload is that of the job.
func (t *ticket) matches(payload []byte) bool {
	if t.job != nil {
		return bytes.Equal(t.job.Payload, payload)
	}
	return t.sum == sha256.Sum256(payload)
}

// freshLocked leaves out the jobs that are known already. A known id with another
// payload is ErrConflict, also within jobs.
func (q *Queue) freshLocked(jobs []storage.Job, now time.Time) ([]storage.Job, error) {
	type name struct{ queue, id string }
	var seen map[name][]byte
	if len(jobs) > 1 {
		seen = make(map[name][]byte, len(jobs))
	}
	fresh := make([]storage.Job, 0, len(jobs))
	for _, job := range jobs {
		if job.ID == "" {
			fresh = append(fresh, job)
			continue
		}
		same, known := q.knownLocked(&job, now)
		if earlier, ok := seen[name{job.Queue, job.ID}]; ok && !known {
			same, known = bytes.Equal(earlier, job.Payload), true
		}
		if known && !same {
			return nil, fmt.Errorf("job %q of queue %q has another payload: %w", job.ID, job.Queue, storage.ErrConflict)
		}
		if known {
			continue
		}
		if seen != nil {
			seen[name{job.Queue, job.ID}] = job.Payload
		}
		fresh = append(fresh, job)
	}
	return fresh, nil
}

func (q *Queue) knownLocked(job *storage.Job, now time.Time) (same, known bool) {
	l := q.lanes[job.Queue]
	if l == nil {
		return false, false
	}
	t := l.ids[job.ID]
	if t == nil {
		return false, false
	}
	if t.job == nil && t.past(now) {
		q.finished.remove(t)
		delete(l.ids, t.id)
		return false, false
	}
	return t.matches(job.Payload), true
}

// retireLocked keeps the id of a job that is gone or dead until its time to live
// has passed. Only the sum of the payload is kept.
func (q *Queue) retireLocked(j *queuedJob, now time.Time) {
	t := j.lane.ids[j.ID]
	if q.closed || t == nil || t.job != j {
		return // closed, no id, or the id has gone to a later job
	}
	t.at = j.pushed.Add(q.options.DeduplicationTTL)
	if t.past(now) {
		delete(j.lane.ids, j.ID)
		return
	}
	t.job, t.sum = nil, sha256.Sum256(j.Payload)
	q.finished.add(t)
	for q.finished.Len() > q.options.MaxJobs {
		oldest := q.finished.first()
		q.finished.remove(oldest)
		delete(oldest.lane.ids, oldest.id)
	}
}

// reviveLocked makes the id of a job that waits again known, unless another job
// has it.
func (q *Queue) reviveLocked(j *queuedJob) {
	if j.ID == "" {
		return
	}
	t := j.lane.ids[j.ID]
	switch {
	case t == nil:
		j.lane.ids[j.ID] = &ticket{lane: j.lane, id: j.ID, job: j}
	case t.job == nil:
		q.finished.remove(t)
		t.job = j
	}
}

// forgetLocked removes some ids whose time to live has passed.
func (q *Queue) forgetLocked(now time.Time) {
	for range sweepPerWrite {
		t, ok := q.finished.takePast(now)
		if !ok {
			return
		}
		delete(t.lane.ids, t.id)
	}
}
