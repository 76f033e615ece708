// Package doctor walks the way of a client through the public address of a realtime
// server, hop by hop, and says which one is broken and what would mend it.
package doctor

import "time"

// Outcome is what became of a step.
type Outcome string

// The outcomes of steps.
const (
	OK      Outcome = "ok"
	Warning Outcome = "warning"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// Step is one hop.
type Step struct {
	// Name is that of the hop, in one word.
	Name string `json:"name"`
	// Outcome is what became of it.
	Outcome Outcome `json:"outcome"`
	// Detail is what was seen, or why the step was skipped.
	Detail string `json:"detail,omitempty"`
	// Cause is what is probably wrong, and Fix what would mend it.
	Cause string `json:"cause,omitempty"`
	Fix   string `json:"fix,omitempty"`
	// DurationMS is how long the step took, in milliseconds.
	DurationMS float64 `json:"duration_ms"`
}

// Report is the whole walk.
type Report struct {
	// URL is the address that was walked through.
	URL string `json:"url"`
	// Outcome is the worst of all steps; those that were skipped do not count.
	Outcome Outcome `json:"outcome"`
	// Steps are in the order in which they were taken.
	Steps []Step `json:"steps"`
}

// worst is the outcome of a report.
func worst(steps []Step) Outcome {
	result := OK
	for _, s := range steps {
		switch {
		case s.Outcome == Failed:
			return Failed
		case s.Outcome == Warning:
			result = Warning
		}
	}
	return result
}

func ok(detail string) Step { return Step{Outcome: OK, Detail: detail} }

func skip(why string) Step { return Step{Outcome: Skipped, Detail: why} }

func warn(detail, cause, fix string) Step {
	return Step{Outcome: Warning, Detail: detail, Cause: cause, Fix: fix}
}

func fail(detail, cause, fix string) Step {
	return Step{Outcome: Failed, Detail: detail, Cause: cause, Fix: fix}
}

func round(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}
