package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// fixture is a hub with memory drivers and one app, for tests without sockets.
type fixture struct {
	t          *testing.T
	hub        *realtime.Hub
	settings   realtime.Settings
	generation uint64
}

func newFixture(t *testing.T, change func(*storage.App, *realtime.Settings)) *fixture {
	t.Helper()
	f := &fixture{t: t, hub: realtime.NewHub(t.Name())}
	f.settings = f.newSettings(change)
	f.load(f.settings)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		f.hub.Close(ctx)
	})
	return f
}

func (f *fixture) newSettings(change func(*storage.App, *realtime.Settings)) realtime.Settings {
	app := &storage.App{ID: "app-id", Key: "app-key", Secret: "app-secret", Enabled: true}
	app.Features = storage.AppFeatures{ClientMessages: true, UserAuthentication: true, WatchlistEvents: true}
	s := realtime.DefaultSettings()
	if f.generation > 0 {
		s.Drivers = f.settings.Drivers
	} else {
		s.Drivers = realtime.Drivers{
			Adapter:     memory.NewLocal(),
			Cache:       memory.NewCache(memory.CacheOptions{}),
			RateLimiter: memory.NewRateLimiter(memory.RateLimiterOptions{}),
		}
	}
	if change != nil {
		change(app, &s)
	}
	apps, err := memory.NewAppManager([]*storage.App{app})
	if err != nil {
		f.t.Fatal(err)
	}
	if s.Drivers.Apps == nil || f.generation > 0 {
		s.Drivers.Apps = apps
	}
	return s
}

// activate makes s current and leaves the settings before it in use.
func (f *fixture) activate(s realtime.Settings) {
	f.t.Helper()
	f.generation++
	f.hub.Attach(f.generation, &s)
	if err := f.hub.Start(f.generation); err != nil {
		f.t.Fatal(err)
	}
	f.hub.Activate(f.generation)
}

// load makes s the current settings, as a reload does.
func (f *fixture) load(s realtime.Settings) {
	f.t.Helper()
	f.activate(s)
	if f.generation > 1 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		f.hub.Detach(ctx, f.generation-1)
	}
	f.settings = s
}

func (f *fixture) app() *storage.App {
	app, err := f.settings.Drivers.Apps.AppByID(context.Background(), "app-id")
	if err != nil {
		f.t.Fatal(err)
	}
	return app
}

func (f *fixture) publish(channel, event, data string, except ...string) {
	f.t.Helper()
	live, err := f.hub.Live()
	if err != nil {
		f.t.Fatal(err)
	}
	defer live.Release()
	encoded, _ := protocol.EventData(json.RawMessage(data))
	e := realtime.Event{Channel: channel, Name: event, Data: encoded}
	if len(except) > 0 {
		e.Except = except[0]
	}
	if _, err := live.Publish(context.Background(), f.app(), e); err != nil {
		f.t.Fatal(err)
	}
}

// peer is a client without a socket: it records the frames it gets.
type peer struct {
	t    *testing.T
	conn *realtime.Conn
	// gate is held while frames are put in line, and while some are silenced.
	gate sync.Mutex

	mu     sync.Mutex
	frames []string
	seen   int
	closed *protocol.Error
}

func (p *peer) Send(f protocol.Frame) { p.split(f) }

func (p *peer) Deliver(joined []byte, frames int, off *atomic.Bool) {
	// As a socket does: what is silenced is in the queue before that, or never.
	p.gate.Lock()
	defer p.gate.Unlock()
	if off != nil && off.Load() {
		return
	}
	if n := p.split(joined); n != frames {
		p.t.Errorf("%d frames announced, %d delivered", frames, n)
	}
}

// split records frames that are joined.
func (p *peer) split(joined []byte) (n int) {
	for ; len(joined) > 0; n++ {
		text := protocol.Frame(joined).Text()
		header := len(joined) - len(text)
		size := int(joined[1])
		if size == 126 {
			size = int(joined[2])<<8 | int(joined[3])
		} else if size == 127 {
			size = int(joined[6])<<24 | int(joined[7])<<16 | int(joined[8])<<8 | int(joined[9])
		}
		p.record(joined[:header+size])
		joined = joined[header+size:]
	}
	return n
}

func (p *peer) Silence(off *atomic.Bool) {
	p.gate.Lock()
	defer p.gate.Unlock()
	off.Store(true)
}

func (p *peer) Close(e *protocol.Error) {
	p.mu.Lock()
	first := p.closed == nil
	if first {
		p.closed = e
	}
	p.mu.Unlock()
	if first && p.conn != nil {
		go p.conn.Disconnect(true)
	}
}

func (p *peer) record(f protocol.Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames = append(p.frames, string(f.Text()))
}

func (f *fixture) dial() *peer {
	f.t.Helper()
	p, e := f.tryDial(realtime.Handshake{Key: "app-key"})
	if e != nil {
		f.t.Fatal(e)
	}
	p.expect("connection_established")
	return p
}

func (f *fixture) tryDial(hs realtime.Handshake) (*peer, *protocol.Error) {
	p := &peer{t: f.t}
	conn, e := f.hub.Connect(context.Background(), p, hs)
	p.conn = conn
	return p, e
}

func (p *peer) send(event, channel string, data any) {
	message := map[string]any{"event": event}
	if channel != "" {
		message["channel"] = channel
	}
	if data != nil {
		message["data"] = data
	}
	text, err := json.Marshal(message)
	if err != nil {
		p.t.Fatal(err)
	}
	p.conn.Receive(text)
}

// subscribe signs what needs a signature.
func (p *peer) subscribe(channel, channelData string) {
	data := map[string]any{"channel": channel}
	if protocol.ParseChannel(channel).Signed() {
		data["auth"] = protocol.SignChannel("app-key", "app-secret", p.conn.ID(), channel, channelData)
		if channelData != "" {
			data["channel_data"] = channelData
		}
	}
	p.send("pusher:subscribe", "", data)
}

func (p *peer) join(channel, channelData string) {
	p.t.Helper()
	p.subscribe(channel, channelData)
	p.expect("subscription_succeeded", channel)
}

func (p *peer) signin(userData string) {
	p.send("pusher:signin", "", map[string]any{
		"auth": protocol.SignUser("app-key", "app-secret", p.conn.ID(), userData), "user_data": userData,
	})
}

// expect waits for the next frame and checks that it contains all parts.
func (p *peer) expect(parts ...string) string {
	p.t.Helper()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		p.mu.Lock()
		if p.seen < len(p.frames) {
			frame := p.frames[p.seen]
			p.seen++
			p.mu.Unlock()
			for _, part := range parts {
				if !strings.Contains(frame, part) {
					p.t.Fatalf("got %s\nwant %q in it", frame, part)
				}
			}
			return frame
		}
		p.mu.Unlock()
	}
	p.t.Fatalf("no frame with %q", parts)
	return ""
}

func (p *peer) expectExact(want string) {
	p.t.Helper()
	if got := p.expect(); got != want {
		p.t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// quiet checks that nothing has come: it sends a ping and expects only the pong,
// after everything published so far has been flushed.
func (p *peer) quiet() {
	p.t.Helper()
	time.Sleep(20 * time.Millisecond)
	p.send("pusher:ping", "", nil)
	p.expectExact(`{"event":"pusher:pong"}`)
}

func (p *peer) expectError(code int, parts ...string) {
	p.t.Helper()
	p.expect(append([]string{"pusher:error", fmt.Sprintf(`"code":%d`, code)}, parts...)...)
}

// refused expects an error and then what routes it to the channel.
func (p *peer) refused(code int, channel string, parts ...string) {
	p.t.Helper()
	p.expectError(code, parts...)
	p.expect("pusher:subscription_error", channel)
}

func (p *peer) expectClosed(want *protocol.Error) {
	p.t.Helper()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		p.mu.Lock()
		closed := p.closed
		p.mu.Unlock()
		if closed != nil {
			if closed.Code != want.Code || closed.Message != want.Message {
				p.t.Fatalf("closed with %d %q, want %d %q", closed.Code, closed.Message, want.Code, want.Message)
			}
			return
		}
	}
	p.t.Fatal("not closed")
}

func sorted(s []string) string {
	s = slices.Clone(s)
	slices.Sort(s)
	return strings.Join(s, ",")
}

// quietAfter waits until no frame has come for a while and hands all to check.
func (p *peer) quietAfter(t *testing.T, check func([]string)) {
	t.Helper()
	for n, same := -1, 0; same < 5; time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		if len(p.frames) == n {
			same++
		} else {
			n, same = len(p.frames), 0
		}
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	check(slices.Clone(p.frames))
}
