package storage

import (
	"context"
	"errors"
	"time"
)

// RetryAfterError is an error of a handler that says itself when its job runs again,
// instead of the driver.
type RetryAfterError struct {
	// Cause is why the run has not done the job.
	Cause error
	// Delay is the time before the next run. Less than zero is zero.
	Delay time.Duration
	// Uncounted makes the run not one of the attempts of the job.
	Uncounted bool
}

// Error is that of the cause.
func (e *RetryAfterError) Error() string { return causeText(e.Cause, "runs again later") }

// Unwrap is the cause.
func (e *RetryAfterError) Unwrap() error { return e.Cause }

// FinalError is an error of a handler after which its job never runs again, whatever
// attempts are left: a queue with DeadLetters has it among these at once. It
// counts also when the worker has been stopped meanwhile.
type FinalError struct {
	// Cause is why the job has failed for good.
	Cause error
}

// Error is that of the cause.
func (e *FinalError) Error() string { return causeText(e.Cause, "failed for good") }

// Unwrap is the cause.
func (e *FinalError) Unwrap() error { return e.Cause }

func causeText(cause error, otherwise string) string {
	if cause == nil {
		return otherwise
	}
	return cause.Error()
}

// Outcome is what becomes of a job after a run that has failed.
type Outcome struct {
	// Dead says that the job runs no more.
	Dead bool
	// Attempt is the number of its runs that count.
	Attempt int
	// Delay is the time before the next run.
	Delay time.Duration
}

// OutcomeOf reads what the error of a handler means for a job that has made
// attempt runs of at most most, with this one. usual is the driver's delay. It is
// for implementations of Work.
func OutcomeOf(err error, attempt, most int, usual time.Duration) Outcome {
	if _, final := errors.AsType[*FinalError](err); final {
		return Outcome{Dead: true, Attempt: attempt}
	}
	delay := usual
	if again, ok := errors.AsType[*RetryAfterError](err); ok {
		delay = max(again.Delay, 0)
		if again.Uncounted {
			return Outcome{Attempt: max(attempt-1, 0), Delay: delay}
		}
	}
	return Outcome{Dead: attempt >= most, Attempt: attempt, Delay: delay}
}

// IsFinal reports whether a handler's error ends its job for good.
func IsFinal(err error) bool {
	_, final := errors.AsType[*FinalError](err)
	return final
}

// Aging is a Queue that knows how long its jobs wait.
type Aging interface {
	// Oldest is when the oldest job of the named queue was pushed or replayed that is
	// neither done nor dead. It is zero when there is none.
	Oldest(ctx context.Context, queue string) (time.Time, error)
}
