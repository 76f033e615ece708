package eventstream_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/eventstream"
	"github.com/sockudo/caddy-sockudo/internal/eventstreamtest"
	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// deadline bounds what a test waits for.
const deadline = 20 * time.Second

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// source is a set of metrics that tells of operations on them.
type source struct {
	infos    []meter.Info
	recorder atomic.Pointer[meter.Recorder]
}

func (s *source) Infos() []meter.Info { return s.infos }

func (s *source) SetRecorder(r meter.Recorder) {
	if r == nil {
		s.recorder.Store(nil)
		return
	}
	s.recorder.Store(&r)
}

// record reports whether somebody was told.
func (s *source) record(name string, op meter.Op, value float64, labels ...meter.Label) bool {
	r := s.recorder.Load()
	if r == nil {
		return false
	}
	(*r).Record(name, labels, op, value)
	return true
}

// newSource has one metric of each kind.
func newSource() *source {
	return &source{infos: []meter.Info{
		{Name: "events_total", Kind: meter.KindCounter, Help: "Events."},
		{Name: "depth", Kind: meter.KindGauge, Help: "Depth of the queue.", Unit: "bytes"},
		{Name: "seconds", Kind: meter.KindHistogram, Help: "Time.", Unit: "seconds"},
	}}
}

// serve starts a server on a free port.
func serve(t *testing.T, o eventstream.Options) *eventstream.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := eventstream.Serve(l, o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func dial(t *testing.T, s *eventstream.Server) *eventstreamtest.Reader {
	t.Helper()
	return eventstreamtest.Dial(t, s.Addr().String())
}
