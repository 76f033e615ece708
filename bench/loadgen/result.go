//go:build linux

package loadgen

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Result is what one run of one scenario measured.
type Result struct {
	// Unit is what was counted: connections, deliveries, publishes, events or joins.
	Unit string `json:"unit"`
	// Count is how many of them fell into the measured time.
	Count int64 `json:"count"`
	// Seconds is the measured time by the wall clock.
	Seconds float64 `json:"seconds"`
	// ServerCPUSeconds is the CPU time of the server process in that time.
	ServerCPUSeconds float64 `json:"server_cpu_seconds"`
	// ClientCPUSeconds is the CPU time of the generator in that time.
	ClientCPUSeconds float64 `json:"client_cpu_seconds"`
	// PerCPUSecond is Count per CPU-second of the server, the key figure of every
	// scenario: both sides share the machine, so the wall clock says less.
	PerCPUSecond float64 `json:"per_server_cpu_second"`
	// PerSecond is Count per second of the wall clock.
	PerSecond float64 `json:"per_second"`
	// BytesPerConnection is the growth of the server's resident memory, divided
	// by the number of idle connections. Only Idle sets it.
	BytesPerConnection float64 `json:"bytes_per_connection,omitempty"`
	// ServerRSS is the server's resident memory at the end, in bytes.
	ServerRSS int64 `json:"server_rss_bytes"`
	// WritesPerUnit is the number of write system calls per unit counted, 0 for
	// a server that uses send(2).
	WritesPerUnit float64 `json:"writes_per_unit"`
	// ReadsPerUnit is the number of reads of the generator per unit counted:
	// below 1 where messages came joined.
	ReadsPerUnit float64 `json:"reads_per_unit,omitempty"`
	// BytesPerUnit is what the generator read per unit counted, frame headers included.
	BytesPerUnit float64 `json:"bytes_per_unit,omitempty"`
	// P50, P99 and Longest describe the latency in milliseconds: of a delivery
	// from the instant its publish was due, of a publish from request to answer,
	// of a connection from connect to subscribed.
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Longest float64 `json:"max_ms"`
	// Faults is everything that went wrong.
	Faults Faults `json:"faults"`
}

// Faults counts what a correct server never does. Any fault makes the figures
// of its run worthless.
type Faults struct {
	// Lost messages were accepted and never came, per subscriber.
	Lost int64 `json:"lost"`
	// Repeated messages came more than once, per subscriber.
	Repeated int64 `json:"repeated"`
	// Reordered messages came after a later one of the same publisher and
	// channel, per subscriber.
	Reordered int64 `json:"reordered"`
	// Diverged subscribers got every message, but saw those of concurrent
	// publishers in another order than most subscribers of the channel.
	Diverged int64 `json:"diverged"`
	// Misrouted messages belong to another channel or to nothing published.
	Misrouted int64 `json:"misrouted"`
	// Refused publishes were not answered with 200.
	Refused int64 `json:"refused"`
	// Failed connections never became ready.
	Failed int64 `json:"failed"`
	// Dropped connections were ready and ended before the run did.
	Dropped int64 `json:"dropped"`
	// First describes the first fault that has words to it.
	First string `json:"first,omitempty"`
}

// Any reports whether there is a fault of any kind.
func (f Faults) Any() bool {
	return f.Delivery() || f.Other()
}

// Other reports whether there is a fault of another kind than Delivery's.
func (f Faults) Other() bool {
	return f.Misrouted+f.Refused+f.Failed+f.Dropped > 0
}

// Delivery reports whether messages were lost, repeated or put out of order.
func (f Faults) Delivery() bool {
	return f.Lost+f.Repeated+f.Reordered+f.Diverged > 0
}

// String names the faults that are not zero, or says "none".
func (f Faults) String() string {
	var b strings.Builder
	for _, n := range []struct {
		name  string
		count int64
	}{
		{"lost", f.Lost},
		{"repeated", f.Repeated},
		{"reordered", f.Reordered},
		{"diverged", f.Diverged},
		{"misrouted", f.Misrouted},
		{"refused", f.Refused},
		{"failed", f.Failed},
		{"dropped", f.Dropped},
	} {
		if n.count != 0 {
			fmt.Fprintf(&b, "%d %s, ", n.count, n.name)
		}
	}
	if f.First != "" {
		fmt.Fprintf(&b, "first: %s", f.First)
	}
	if b.Len() == 0 {
		return "none"
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// sample is one look at everything that a measured span is the difference of.
type sample struct {
	at     time.Time
	server usage
	client time.Duration
	reads  int64
	bytes  int64
	count  int64
}

// takeSample reads the clocks; count, reads and bytes are the caller's.
func takeSample(target Target) (sample, error) {
	server, err := target.usage()
	if err != nil {
		return sample{}, err
	}
	client, err := processCPU(os.Getpid())
	if err != nil {
		return sample{}, fmt.Errorf("loadgen: own CPU clock: %w", err)
	}
	return sample{at: time.Now(), server: server, client: client}, nil
}

// between is the result of the span from one sample to another.
func between(unit string, from, to sample) Result {
	r := Result{
		Unit:             unit,
		Count:            to.count - from.count,
		Seconds:          to.at.Sub(from.at).Seconds(),
		ServerCPUSeconds: (to.server.cpu - from.server.cpu).Seconds(),
		ClientCPUSeconds: (to.client - from.client).Seconds(),
		ServerRSS:        to.server.rss,
	}
	count := float64(r.Count)
	r.PerCPUSecond = ratio(count, r.ServerCPUSeconds)
	r.PerSecond = ratio(count, r.Seconds)
	r.WritesPerUnit = ratio(float64(to.server.writes-from.server.writes), count)
	r.ReadsPerUnit = ratio(float64(to.reads-from.reads), count)
	r.BytesPerUnit = ratio(float64(to.bytes-from.bytes), count)
	return r
}

func (r *Result) setLatency(h *histogram) {
	r.P50, r.P99, r.Longest = milliseconds(h.quantile(.5)), milliseconds(h.quantile(.99)), milliseconds(h.quantile(1))
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// ratio is a/b, or zero where b is.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
