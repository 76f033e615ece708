package realtime

import (
	"context"
	"encoding/json"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// recorder is a Transport that records what a test needs to know.
type recorder struct {
	frames chan string
	// bomb makes the next delivery panic.
	bomb atomic.Bool
	// gate, if not nil, holds every delivery; entered tells about the first.
	gate, entered chan struct{}
	once          sync.Once
}

func newRecorder() *recorder {
	return &recorder{frames: make(chan string, 1000), entered: make(chan struct{})}
}

func (r *recorder) Send(f protocol.Frame) { r.frames <- string(f.Text()) }

func (r *recorder) Deliver(joined []byte, _ int, _ *atomic.Bool) {
	if r.gate != nil {
		r.once.Do(func() { close(r.entered) })
		<-r.gate
	}
	if r.bomb.CompareAndSwap(true, false) {
		panic("bomb")
	}
	r.frames <- string(joined)
}

func (r *recorder) Silence(off *atomic.Bool) { off.Store(true) }
func (r *recorder) Close(*protocol.Error)    {}

// expect waits for the next delivery that is no answer of the protocol.
func (r *recorder) expect(t *testing.T, part string) {
	t.Helper()
	for end := time.After(2 * time.Second); ; {
		select {
		case frame := <-r.frames:
			if strings.Contains(frame, "pusher") {
				continue
			}
			if !strings.Contains(frame, part) {
				t.Fatalf("got %s, want %s", frame, part)
			}
			return
		case <-end:
			t.Fatalf("no %s", part)
		}
	}
}

// startHub starts a hub with so many workers.
func startHub(t *testing.T, workers int, change func(*storage.App, *Settings)) (*Hub, *storage.App) {
	t.Helper()
	procs := runtime.GOMAXPROCS(workers)
	h := NewHub(t.Name())
	runtime.GOMAXPROCS(procs)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // the connections have no socket that would end
		h.Close(ctx)
	})
	app := &storage.App{ID: "app-id", Key: "app-key", Secret: "app-secret", Enabled: true}
	s := DefaultSettings()
	s.Drivers = Drivers{
		Adapter:     memory.NewLocal(),
		Cache:       memory.NewCache(memory.CacheOptions{}),
		RateLimiter: memory.NewRateLimiter(memory.RateLimiterOptions{}),
	}
	if change != nil {
		change(app, &s)
	}
	apps, err := memory.NewAppManager([]*storage.App{app})
	if err != nil {
		t.Fatal(err)
	}
	s.Drivers.Apps = apps
	h.Attach(1, &s)
	if err := h.Start(1); err != nil {
		t.Fatal(err)
	}
	h.Activate(1)
	return h, app
}

func connect(t *testing.T, h *Hub, r *recorder) *Conn {
	t.Helper()
	c, e := h.Connect(t.Context(), r, Handshake{Key: "app-key", ClientIP: "1.2.3.4"})
	if e != nil {
		t.Fatal(e)
	}
	return c
}

// said is a message that says text.
func said(text string) *message {
	m := reply(&protocol.Outbound{Event: text})
	m.frame(protocol.FormatV1)
	return m
}

func join(c *Conn, channel string) {
	c.Receive([]byte(`{"event":"pusher:subscribe","data":{"channel":"` + channel + `"}}`))
}

func publish(t *testing.T, h *Hub, app *storage.App, channel, data string) {
	t.Helper()
	live, err := h.Live()
	if err != nil {
		t.Error(err)
		return
	}
	defer live.Release()
	if _, err := live.Publish(context.Background(), app, Event{Channel: channel, Name: "e", Data: json.RawMessage(data)}); err != nil {
		t.Error(err)
	}
}

// A push returns only when the part stands in the worker's queue, even if
// another publisher is about to put it there, so that what the same publisher
// pushes next to another channel cannot overtake it.
func TestOrderWhileAnotherPublisherSchedules(t *testing.T) {
	h, _ := startHub(t, 1, nil)
	r := newRecorder()
	c := connect(t, h, r)
	join(c, "x")
	join(c, "y")
	a, w := h.liveApp("app-id"), h.workers[0]
	px, py := a.channel("x").parts[0], a.channel("y").parts[0]

	w.mu.Lock() // the first publisher cannot put the part into the queue
	before := w.seq.Load()
	var wg sync.WaitGroup
	wg.Go(func() { px.push(said("first-x"), nil) })
	for w.seq.Load() == before {
		time.Sleep(time.Millisecond)
	}
	pushed := make(chan struct{})
	wg.Go(func() {
		px.push(said("second-x"), nil)
		close(pushed)
		py.push(said("second-y"), nil)
	})
	select {
	case <-pushed:
		t.Error("a push has returned while the part is in no queue")
	case <-time.After(100 * time.Millisecond):
	}
	w.mu.Unlock()
	wg.Wait()

	var got strings.Builder
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && !strings.Contains(got.String(), "second-y"); {
		select {
		case frame := <-r.frames:
			got.WriteString(frame)
		case <-time.After(10 * time.Millisecond):
		}
	}
	_, rest, _ := strings.Cut(got.String(), "first-x")
	_, rest, _ = strings.Cut(rest, "second-x")
	if !strings.Contains(rest, "second-y") {
		t.Errorf("out of order: %q", got.String())
	}
}

// Everything that is compared with the clock is taken from the clock, which
// does not jump when the time of day is set.
func TestTimesComeFromTheMonotonicClock(t *testing.T) {
	if !strings.Contains(started.String(), " m=") {
		t.Error("the start of the process has no monotonic time")
	}
	before := clock()
	h, _ := startHub(t, 1, func(a *storage.App, s *Settings) {
		a.Limits.MessageRate = &storage.MessageRate{MaxAttempts: 100, Decay: time.Second}
	})
	c := connect(t, h, newRecorder())
	check := func(what string, ms int64) {
		t.Helper()
		if now := clock(); ms < before || ms > now {
			t.Errorf("%s is at %d, not between %d and %d", what, ms, before, now)
		}
	}
	if before < 1 {
		t.Errorf("the clock is at %d, which means no time", before)
	}
	check("the opening", c.opening)
	check("the first sign of life", c.heard.Load())
	c.Receive([]byte(`{"event":"pusher:ping"}`))
	check("the last message", c.heard.Load())
	check("the message window", c.messages.start)
	c.Heard()
	check("the last frame", c.heard.Load())
	h.wheel.mu.Lock()
	defer h.wheel.mu.Unlock()
	if now := tickOf(clock()); h.wheel.now < tickOf(before) || h.wheel.now > now {
		t.Errorf("the wheel is at tick %d of %d", h.wheel.now, now)
	}
}

// Connections spread evenly over the workers, also when each takes a slot of
// its client address first.
func TestConnectionsSpreadOverWorkers(t *testing.T) {
	h, _ := startHub(t, 4, func(_ *storage.App, s *Settings) {
		s.Rate.ConnectionsPerIP, s.Rate.SkipPrivate = 1000, false
	})
	count := make([]int, len(h.workers))
	for range 100 {
		live, err := h.Live()
		if err != nil {
			t.Fatal(err)
		}
		_, ok, err := live.TakeSlot(t.Context(), "1.2.3.4")
		live.Release()
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		count[connect(t, h, newRecorder()).worker]++
	}
	for worker, n := range count {
		if n != 100/len(count) {
			t.Errorf("worker %d has %d of 100 connections", worker, n)
		}
	}
}

// A panic while a channel is written does not silence the channel.
func TestChannelSurvivesAPanicOfATransport(t *testing.T) {
	h, app := startHub(t, 1, nil)
	r := newRecorder()
	join(connect(t, h, r), "x")
	r.bomb.Store(true)
	publish(t, h, app, "x", `"lost"`)
	for end := time.Now().Add(2 * time.Second); r.bomb.Load() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	publish(t, h, app, "x", `"kept"`)
	r.expect(t, "kept")
}

// A panic while one connection gets the frames of a round takes nothing from
// the others, in this round and the next.
func TestRoundSurvivesAPanicOfATransport(t *testing.T) {
	h, _ := startHub(t, 1, nil)
	bad, good := newRecorder(), newRecorder()
	cBad, cGood := connect(t, h, bad), connect(t, h, good)
	w := h.workers[0]
	bad.bomb.Store(true)
	for _, text := range []string{"first", "second"} {
		w.mu.Lock() // so that both frames are of one round
		for _, c := range []*Conn{cBad, cGood} {
			w.direct = append(w.direct, direct{conn: c, message: said(text), seq: w.seq.Add(1)})
		}
		w.mu.Unlock()
		w.wake.Signal()
		good.expect(t, text)
	}
	bad.expect(t, "second")
}

// Publishers to a user wait while too much waits for single connections.
func TestPublishersToUsersWaitForRoom(t *testing.T) {
	h, app := startHub(t, 1, func(a *storage.App, _ *Settings) { a.Features.UserAuthentication = true })
	r := newRecorder()
	r.gate = make(chan struct{})
	open := sync.OnceFunc(func() { close(r.gate) })
	t.Cleanup(open)
	c := connect(t, h, r)
	c.app.signin(c, protocol.User{ID: "u1"}, protocol.Pong)
	const size, total = 64 << 10, 200
	data := `"` + strings.Repeat("x", size) + `"`
	publish(t, h, app, "#server-to-user-u1", data)
	<-r.entered // the worker writes, and goes on only with the gate

	done := make(chan struct{})
	go func() {
		defer close(done)
		for range total {
			publish(t, h, app, "#server-to-user-u1", data)
		}
	}()
	select {
	case <-done:
		t.Error("the publisher has not waited")
	case <-time.After(500 * time.Millisecond):
	}
	w, waiting := h.workers[0], 0
	w.mu.Lock()
	for _, d := range w.direct {
		waiting += len(d.message.out.Data)
	}
	w.mu.Unlock()
	if waiting < partRoom/2 || waiting > partRoom+2*size {
		t.Errorf("%d bytes wait, with room for %d", waiting, partRoom)
	}
	open()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		t.Fatal("the publisher still waits")
	}
	for range total + 1 {
		r.expect(t, "xxx")
	}
}

// What two subscriptions of a connection bring goes out while one of them lasts: the
// other may end between the round of a worker and the write.
func TestJoinedPiecesOutliveASubscription(t *testing.T) {
	var first, second, third atomic.Bool
	m := &message{}
	pieces := once([]Piece{{Off: &first, message: m}, {Off: &second, message: m}, {Off: &third, message: &message{}}})
	if len(pieces) != 2 {
		t.Fatalf("%d pieces", len(pieces))
	}
	joined, alone := &pieces[0], &pieces[1]
	first.Store(true)
	if joined.Withdrawn() || alone.Withdrawn() {
		t.Error("withdrawn while a subscription lasts")
	}
	second.Store(true)
	third.Store(true)
	if !joined.Withdrawn() || !alone.Withdrawn() {
		t.Error("not withdrawn although all subscriptions have ended")
	}
}
