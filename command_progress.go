package sockudo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progressEvery is the time between two lines where nobody looks.
const progressEvery = 2 * time.Second

// progress tells how long work gets on: with a bar where somebody looks, and with plain lines now and
// then otherwise.
type progress struct {
	out      io.Writer
	what     string // what is counted
	total    int
	begun    time.Time
	told     time.Time
	terminal bool
	quiet    bool
}

func newProgress(out io.Writer, what string, total int, quiet bool) *progress {
	return &progress{out: out, what: what, total: total, begun: time.Now(), terminal: isTerminal(out), quiet: quiet}
}

// set tells that some are left.
func (p *progress) set(left int) {
	p.total = max(p.total, left)
	if p.quiet || !p.terminal && !p.told.IsZero() && time.Since(p.told) < progressEvery {
		return
	}
	p.told = time.Now()
	if p.terminal {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K"+p.bar(left, time.Since(p.begun)))
		return
	}
	_, _ = fmt.Fprintln(p.out, p.line(left, time.Since(p.begun)))
}

// end clears the bar: what has come of it is told elsewhere.
func (p *progress) end() {
	if p.terminal && !p.quiet && !p.told.IsZero() {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// bar is the state of the work in one line of at most 79 characters.
func (p *progress) bar(left int, since time.Duration) string {
	const width = 30
	full := width
	if p.total > 0 {
		full = width * (p.total - left) / p.total
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "] " + p.line(left, since)
}

func (p *progress) line(left int, since time.Duration) string {
	return fmt.Sprintf("%d of %d %s left%s", left, p.total, p.what, p.remaining(left, since))
}

// remaining is how long the rest will take if it goes on like this.
func (p *progress) remaining(left int, since time.Duration) string {
	done := p.total - left
	if done <= 0 || left <= 0 || since < time.Second {
		return ""
	}
	eta := time.Duration(float64(since) / float64(done) * float64(left))
	return fmt.Sprintf(", about %v", max(eta.Round(time.Second), time.Second))
}
