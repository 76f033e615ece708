package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
)

// What follows is for implementations of Queue.

const (
	// maxJobID is the longest job id, in bytes.
	maxJobID = 512
	// maxReason bounds the reason kept with a failed job, in bytes.
	maxReason = 1024
)

// CheckJobs refuses jobs and dead letters that no queue takes. Their payloads are
// size bytes together.
func CheckJobs(jobs []Job, letters []DeadLetter) (size int64, err error) {
	for i := range jobs {
		if err := checkJob(&jobs[i]); err != nil {
			return 0, err
		}
		size += int64(len(jobs[i].Payload))
	}
	for i := range letters {
		if err := checkJob(&letters[i].Job); err != nil {
			return 0, err
		}
		size += int64(len(letters[i].Payload))
	}
	return size, nil
}

func checkJob(job *Job) error {
	switch {
	case job.Queue == "":
		return errors.New("job names no queue")
	case len(job.ID) > maxJobID:
		return fmt.Errorf("job id of %d bytes is longer than %d", len(job.ID), maxJobID)
	case job.MaxAttempts < 0:
		return fmt.Errorf("job %q: max attempts %d must not be negative", job.ID, job.MaxAttempts)
	}
	return nil
}

// NewJobs are jobs as a producer pushes them: Attempt is set for handlers.
func NewJobs(jobs []Job) []Job {
	fresh := make([]Job, len(jobs))
	for i, job := range jobs {
		job.Attempt = 0
		fresh[i] = job
	}
	return fresh
}

// RunJob runs a job once. A panic is an error. The handler gets a copy of the
// payload, because what it does to its job must not reach the next run.
func RunJob(ctx context.Context, handle func(context.Context, Job) error, job Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	job.Payload = bytes.Clone(job.Payload)
	return handle(ctx, job)
}

// ClipReason is a reason in the form in which it is kept with a failed job: valid
// text without zero bytes, of 1,024 bytes at most.
func ClipReason(reason string) string {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(reason, "\x00", ""), "")
}
