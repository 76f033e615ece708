package push

import (
	"github.com/sockudo/caddy-sockudo/storage"
)

// The states of a publish (section 8).
const (
	Queued             = "queued"
	Planning           = "planning"
	Dispatching        = "dispatching"
	Succeeded          = "succeeded"
	PartiallySucceeded = "partiallySucceeded"
	FailedPublish      = "failed"
	ExpiredPublish     = "expired"
	DeadLettered       = "dead_lettered"
	QuotaExceeded      = "quota_exceeded"
	CancelledPublish   = "cancelled"
)

// The regimes of fan-out.
const (
	fastPath  = "fastPath"
	shardPath = "shardPath"
)

// The counters of a publish.
const (
	countPlanned = iota
	countDispatched
	countSucceeded
	countFailed
	countExpired
	countRetryScheduled
	countRetryAttempted
	countDeadLettered
	countSuppressed
	countReplayed
)

type counts = [storage.PushCounts]int64

// Counters are those of a publish as callers see them.
type Counters struct {
	Planned        int64 `json:"planned"`
	Dispatched     int64 `json:"dispatched"`
	Succeeded      int64 `json:"succeeded"`
	Failed         int64 `json:"failed"`
	Expired        int64 `json:"expired"`
	RetryScheduled int64 `json:"retryScheduled"`
	RetryAttempted int64 `json:"retryAttempted"`
	DeadLettered   int64 `json:"deadLettered"`
	// Suppressed are devices whose user was present.
	Suppressed int64 `json:"suppressed,omitempty"`
	// Replayed are dead letters that have been sent again.
	Replayed int64 `json:"replayed,omitempty"`
}

// Status is that of a publish (section 8).
type Status struct {
	AppID        string   `json:"appId"`
	PublishID    string   `json:"publishId"`
	State        string   `json:"state"`
	Counters     Counters `json:"counters"`
	FanoutRegime string   `json:"fanoutRegime"`
	RetryAfterMS int64    `json:"retryAfterMs,omitempty"`
	ErrorReason  string   `json:"errorReason,omitempty"`
}

// Ended reports whether the state is one that nothing leaves.
func (s *Status) Ended() bool { return ended(s.State) }

// publish is the record of a publish.
type publish struct {
	ID    string `json:"id"`
	State string `json:"state"`
	// Reason is why it has not gone well.
	Reason string `json:"reason,omitempty"`
	Regime string `json:"regime"`
	// Expected is how many recipients there seemed to be when it was accepted.
	Expected    int64  `json:"expected"`
	AcceptedMS  int64  `json:"accepted"`
	NotBeforeMS int64  `json:"notBefore,omitempty"`
	ExpiresMS   int64  `json:"expires"`
	Hash        string `json:"hash"` // of what was asked for
	Plan        plan   `json:"plan"`
}

// plan is how far a publish has been planned.
type plan struct {
	// Owner plans it now, until Until, in Unix milliseconds, unless it says so again.
	Owner string `json:"owner,omitempty"`
	Until int64  `json:"until,omitempty"`
	// Done says that all of its recipients are in batches.
	Done bool `json:"done,omitempty"`
	// Batches is how many there are.
	Batches int  `json:"batches,omitempty"`
	At      spot `json:"at"`
}

// ended reports whether a state is one that nothing leaves.
func ended(state string) bool {
	switch state {
	case Queued, Planning, Dispatching:
		return false
	}
	return true
}

// outcome is the state of a publish all of whose notifications have ended.
func outcome(c *counts) (state, reason string) {
	good, bad := c[countSucceeded], c[countFailed]+c[countExpired]+c[countDeadLettered]
	switch {
	case c[countPlanned] == 0 && c[countSuppressed] > 0:
		return Succeeded, "everybody was present"
	case c[countPlanned] == 0:
		return Succeeded, "no recipients"
	case bad == 0:
		return Succeeded, ""
	case good > 0:
		return PartiallySucceeded, ""
	case c[countExpired] > 0:
		return ExpiredPublish, ""
	case c[countDeadLettered] > 0:
		return DeadLettered, ""
	}
	return FailedPublish, ""
}

// settled is how many notifications have ended.
func settled(c *counts) int64 {
	return c[countSucceeded] + c[countFailed] + c[countExpired] + c[countDeadLettered]
}

func countersOf(c *counts) Counters {
	return Counters{
		Planned: c[countPlanned], Dispatched: c[countDispatched], Succeeded: c[countSucceeded], Failed: c[countFailed],
		Expired: c[countExpired], RetryScheduled: c[countRetryScheduled], RetryAttempted: c[countRetryAttempted],
		DeadLettered: c[countDeadLettered], Suppressed: c[countSuppressed], Replayed: c[countReplayed],
	}
}

// word is the state in the answer of a publish, which spells two of them in its own way.
func word(state string) string {
	switch state {
	case Queued:
		return "accepted"
	case PartiallySucceeded:
		return "partially_succeeded"
	}
	return state
}
