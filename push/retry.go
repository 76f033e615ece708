package push

import (
	"cmp"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Retry is how often and how long a notification is tried (section 11).
type Retry struct {
	// MaxAttempts is how many there are, with the first one. Default: 5.
	MaxAttempts int
	// InitialBackoff is the pause after the first attempt. It doubles with each further one,
	// up to MaxBackoff. Defaults: 1s and 60s.
	InitialBackoff, MaxBackoff time.Duration
	// MaxElapsed is how long after the first attempt the last one may be. Default: 24h.
	MaxElapsed time.Duration
	// JitterPercent is by how much a pause may be shorter or longer. Default: 20; less than
	// zero is none.
	JitterPercent int
	// IgnoreRetryAfter leaves out what providers ask for.
	IgnoreRetryAfter bool
}

func (r Retry) withDefaults() Retry {
	r.MaxAttempts, r.MaxElapsed = cmp.Or(r.MaxAttempts, 5), cmp.Or(r.MaxElapsed, 24*time.Hour)
	r.InitialBackoff, r.MaxBackoff = cmp.Or(r.InitialBackoff, time.Second), cmp.Or(r.MaxBackoff, time.Minute)
	r.JitterPercent = cmp.Or(r.JitterPercent, 20)
	return r
}

// backoff is the pause after an attempt. Its jitter follows from the seed, so that
// notifications that failed together come back apart.
func (r Retry) backoff(seed string, attempt int) time.Duration {
	pause := min(r.InitialBackoff, r.MaxBackoff)
	for n := 1; n < attempt && pause < r.MaxBackoff; n++ {
		pause += min(pause, r.MaxBackoff-pause)
	}
	ms, percent := pause.Milliseconds(), int64(max(r.JitterPercent, 0))
	spread := ms * percent / 100
	if spread == 0 {
		return pause
	}
	word, _ := strconv.ParseUint(Hash(seed)[:16], 16, 64) // a hash is of hexadecimal digits
	jittered := ms - spread + int64(word%uint64(2*spread+1))
	return min(time.Duration(jittered)*time.Millisecond, r.MaxBackoff)
}

// asked is the pause that a provider wants, moved a little so that not everything comes
// back at once.
func (r Retry) asked(d time.Duration) time.Duration {
	if d < time.Second || r.JitterPercent <= 0 {
		return d
	}
	// Never earlier than asked for.
	return d + time.Duration(rand.Int64N(int64(d)*int64(r.JitterPercent)/100+1))
}

// deliveryKey names a notification to a recipient, the same in every attempt (section
// 9.1).
func deliveryKey(app, publish string, kind Kind, batch, tokenHash string) string {
	return Hash(strings.Join([]string{app, publish, kind.Key(), batch, tokenHash}, ":"))
}

// retryKey names an attempt of it.
func retryKey(app, publish string, kind Kind, batch, delivery string, attempt int) string {
	return "retry:" + Hash(strings.Join([]string{app, publish, kind.Key(), batch, delivery, strconv.Itoa(attempt)}, ":"))
}
