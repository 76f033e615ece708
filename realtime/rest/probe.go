package rest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// probes are the checks that are running. Equal checks share one run: /up is
// open to everybody, and a dependency that hangs must not gather goroutines.
type probes struct {
	mu      sync.Mutex
	running map[probeKey]*probe
}

type probeKey struct {
	settings *realtime.Settings
	name     string
	app      string
}

// probe is one run of a check. err and took are set when done is closed.
type probe struct {
	done chan struct{}
	err  error
	took time.Duration
}

// report runs all checks at once and waits for them, each at most the health
// timeout.
func (p *probes) report(ctx context.Context, hub *realtime.Hub, app string) Report {
	live, err := hub.Live()
	if err != nil {
		return Report{StatusError, map[string]Dependency{"configuration": {Critical: true, Error: err.Error()}}}
	}
	defer live.Release()
	timeout := live.Settings.HealthTimeout
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	list := dependencies(live.Settings, app)
	started := make([]*probe, len(list))
	for i, d := range list {
		started[i] = p.start(hub, d, app, timeout)
	}
	report := Report{Dependencies: make(map[string]Dependency, len(list))}
	var appErr error
	for i, d := range list {
		took, err := started[i].wait(ctx, timeout)
		outcome := Dependency{OK: err == nil, Critical: d.critical, DurationMS: float64(took.Microseconds()) / 1000}
		if err != nil {
			outcome.Error = err.Error()
		}
		if i == 0 {
			appErr = err
		}
		report.Dependencies[d.name] = outcome
	}
	report.Status = report.summary(appErr)
	if hub.Draining() {
		report.Status = StatusDraining
	}
	return report
}

// start joins a running check or starts one. The check holds the settings for as
// long as it runs, so its driver is not closed under it.
func (p *probes) start(hub *realtime.Hub, d dependency, app string, timeout time.Duration) *probe {
	live, err := hub.Live()
	if err != nil {
		run := &probe{done: make(chan struct{}), err: err}
		close(run.done)
		return run
	}
	key := probeKey{live.Settings, d.name, app}
	p.mu.Lock()
	defer p.mu.Unlock()
	if run := p.running[key]; run != nil {
		live.Release()
		return run
	}
	if p.running == nil {
		p.running = map[probeKey]*probe{}
	}
	run := &probe{done: make(chan struct{})}
	p.running[key] = run
	go func() {
		defer live.Release()
		run.run(live.Settings, d, timeout)
		p.mu.Lock()
		delete(p.running, key)
		p.mu.Unlock()
		close(run.done)
	}()
	return run
}

func (r *probe) run(s *realtime.Settings, d dependency, timeout time.Duration) {
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			r.err = fmt.Errorf("the check panicked: %v", p)
		}
		r.took = time.Since(began)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	r.err = d.run(ctx, s)
}

// wait is the outcome of a check, or that there is none yet.
func (r *probe) wait(ctx context.Context, timeout time.Duration) (time.Duration, error) {
	select {
	case <-r.done:
		return r.took, r.err
	case <-ctx.Done():
		return timeout, fmt.Errorf("no answer: %w", ctx.Err())
	}
}
