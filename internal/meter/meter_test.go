package meter_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// recorded keeps what it is told.
type recorded struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorded) Record(name string, labels []meter.Label, op meter.Op, value float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprint(name, labels, op, value))
}

// nowhere forgets what it is told.
type nowhere struct{ calls int }

func (n *nowhere) Record(string, []meter.Label, meter.Op, float64) { n.calls++ }

// gathered are the values of a registry, by name and labels.
func gathered(t *testing.T, r *meter.Registry, prefix string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry() // as Caddy's is
	if err := r.Register(registry, prefix); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

// exercise changes a metric of each kind.
func exercise(r *meter.Registry) func() {
	counters := r.Counters("a_total", "Counts.", "app_id", "kind")
	gauges := r.Gauges("b_bytes", "Measures.", "app_id")
	histograms := r.Histograms("sockudo_push_c_seconds", "Sorts.", []float64{1, 2}, "app_id")
	plain := r.Counter("d_total", "Counts, too.")
	return func() {
		counters.WithLabelValues("x", "y").Inc()
		counters.WithLabelValues("x", "y").Add(2)
		g := gauges.WithLabelValues("x")
		g.Set(5)
		g.Inc()
		g.Dec()
		g.Add(4)
		g.Sub(2)
		histograms.WithLabelValues("x").Observe(1.5)
		plain.Inc()
	}
}

func TestValuesAreThoseOfPrometheus(t *testing.T) {
	r := meter.NewRegistry("h")
	exercise(r)()
	want := map[string]float64{
		"p_a_total app_id=x hub=h kind=y": 3, "p_b_bytes app_id=x hub=h": 7, "p_d_total hub=h": 1,
		"sockudo_push_c_seconds app_id=x hub=h": 1, // its name is complete
	}
	for range 3 { // each configuration has a registry of its own
		if have := gathered(t, r, "p_"); fmt.Sprint(have) != fmt.Sprint(want) {
			t.Fatalf("gathered %v, want %v", have, want)
		}
	}
}

func TestRecorderHearsEveryChange(t *testing.T) {
	r := meter.NewRegistry("h")
	change := exercise(r)
	change() // nobody records
	told := new(recorded)
	r.SetRecorder(told)
	change()
	r.SetRecorder(nil)
	change()
	want := []string{
		"a_total[{hub h} {app_id x} {kind y}] 0 1", "a_total[{hub h} {app_id x} {kind y}] 0 2",
		"b_bytes[{hub h} {app_id x}] 1 5", "b_bytes[{hub h} {app_id x}] 2 1", "b_bytes[{hub h} {app_id x}] 3 1",
		"b_bytes[{hub h} {app_id x}] 2 4", "b_bytes[{hub h} {app_id x}] 3 2",
		"sockudo_push_c_seconds[{hub h} {app_id x}] 4 1.5", "d_total[{hub h}] 0 1",
	}
	if !slices.Equal(told.lines, want) {
		t.Errorf("recorded\n%q\nwant\n%q", told.lines, want)
	}
}

func TestInfosDescribeAllMetrics(t *testing.T) {
	r := meter.NewRegistry("h")
	exercise(r)
	r.GaugeFunc("e", "Asked for.", func() float64 { return 1 })
	want := []meter.Info{
		{Name: "a_total", Kind: meter.KindCounter, Help: "Counts.", Labels: []string{"app_id", "kind"}},
		{Name: "b_bytes", Kind: meter.KindGauge, Help: "Measures.", Unit: "bytes", Labels: []string{"app_id"}},
		{Name: "sockudo_push_c_seconds", Kind: meter.KindHistogram, Help: "Sorts.", Unit: "seconds", Labels: []string{"app_id"}, Buckets: []float64{1, 2}},
		{Name: "d_total", Kind: meter.KindCounter, Help: "Counts, too."},
		{Name: "e", Kind: meter.KindGauge, Help: "Asked for."},
	}
	if have := r.Infos(); fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("infos are\n%v\nwant\n%v", have, want)
	}
	if name := meter.FullName("p_", "a_total"); name != "p_a_total" {
		t.Errorf("the full name is %s", name)
	}
	if name := meter.FullName("p_", "sockudo_queue_depth"); name != "sockudo_queue_depth" {
		t.Errorf("a complete name became %s", name)
	}
}

func TestChangesAllocateNothing(t *testing.T) {
	r := meter.NewRegistry("h")
	change := exercise(r)
	change()
	for _, to := range []meter.Recorder{nil, new(nowhere)} {
		r.SetRecorder(to)
		if n := testing.AllocsPerRun(1000, change); n != 0 {
			t.Errorf("with the recorder %v, changes allocate %v times", to, n)
		}
	}
}

// BenchmarkInc compares a counter with the client's own.
func BenchmarkInc(b *testing.B) {
	r := meter.NewRegistry("h")
	ours := r.Counters("a_total", "Counts.", "app_id")
	theirs := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a_total", Help: "Counts."}, []string{"app_id"})
	run := func(name string, inc func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				inc()
			}
		})
	}
	held, heldTheirs := ours.WithLabelValues("x"), theirs.WithLabelValues("x")
	run("held/prometheus", heldTheirs.Inc)
	run("held/meter", held.Inc)
	run("labels/prometheus", func() { theirs.WithLabelValues("x").Inc() })
	run("labels/meter", func() { ours.WithLabelValues("x").Inc() })
	r.SetRecorder(new(nowhere))
	run("held/recorder", held.Inc)
}
