package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"
)

// Retry says how long a job waits before it runs again.
type Retry struct {
	// Base is the delay before the second run. It doubles with each further one.
	Base time.Duration
	// Max bounds the delay, before jitter.
	Max time.Duration
	// Jitter is the share by which a delay may be shorter or longer, from 0 to 1.
	Jitter float64
}

// Delay is the time before the next run of a job that has made attempt runs. The
// jitter follows from the job's name and run, so that jobs that failed together
// come back apart and a test can tell when.
func (r Retry) Delay(name string, attempt int) time.Duration {
	delay := min(r.Base, r.Max)
	for run := 1; run < attempt && delay < r.Max; run++ {
		delay += min(delay, r.Max-delay) // 2*delay could overflow
	}
	sum := sha256.Sum256([]byte(strconv.Itoa(attempt) + ":" + name))
	// Between -1 and 1, from 53 bits, which a float64 holds exactly.
	share := 2*float64(binary.BigEndian.Uint64(sum[:])>>11)/(1<<53) - 1
	return delay + time.Duration(float64(delay)*r.Jitter*share)
}
