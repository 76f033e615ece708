//go:build linux

package loadgen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

const (
	scratchSize = 256 << 10 // one buffer for the reads of all subscribers
	eventBatch  = 512       // readiness events taken per epoll_wait
	awaitEvery  = 2 * time.Millisecond
)

// swarmOptions say which subscribers a swarm opens.
type swarmOptions struct {
	connections int
	// opening is how many connections may be on their way at once.
	opening int
	// channels are the names; connection i subscribes to channel i modulo their
	// number, or to nothing when there are none.
	channels []string
	dialect  Dialect
	// members, when set, gives what else is in the data of a subscriber's subscribe
	// message, as JSON without braces.
	members func(number int) string
	// positions, when set, are those that the subscribers resume from, by number.
	positions []position
	// rewinds says that members ask for a rewind, which every subscriber waits for.
	rewinds bool
	// deltas says that events may come as deltas.
	deltas bool
	// lanes is how many publishers number their messages.
	lanes int
	// window, when set, is told of every delivery.
	window *window
}

// swarm is a set of subscriber connections and the loop that owns them. Every
// field belongs to the loop; others reach them through call only.
type swarm struct {
	swarmOptions
	target    Target
	addresses []*syscall.SockaddrInet4

	epoll, wakeup int
	calls         chan func()
	quit          bool
	done          chan struct{}
	stopOnce      sync.Once

	sessions []*session // by number
	byFD     []*session // by descriptor, nil where none is open
	underway int        // connections not ready and not failed
	scratch  []byte
	finder   stampFinder
	now      int64 // time of the last read, Unix nanoseconds
	tally    tally
}

// tally is what a swarm counts.
type tally struct {
	ready, failed, dropped int
	firstError             error

	delivered, late, again int64
	misrouted              int64 // stamped for another channel, or not stamped at all
	reads, bytes           int64
	memberEvents           int64

	measuring bool // whether latency is recorded
	latency   histogram
	openings  histogram // connect to subscribed
}

// startSwarm starts the loop, which begins to open connections at once.
func startSwarm(target Target, options swarmOptions) (*swarm, error) {
	addresses, err := target.sockaddrs()
	if err != nil {
		return nil, err
	}
	if err := checkFiles(options.connections); err != nil {
		return nil, err
	}
	s := &swarm{
		swarmOptions: options, target: target, addresses: addresses,
		calls: make(chan func(), 1), done: make(chan struct{}),
		scratch: make([]byte, scratchSize),
	}
	if s.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("loadgen: epoll: %w", err)
	}
	if s.wakeup, err = newEventFD(); err != nil {
		syscall.Close(s.epoll)
		return nil, fmt.Errorf("loadgen: eventfd: %w", err)
	}
	if err = s.watch(s.wakeup, syscall.EPOLL_CTL_ADD, syscall.EPOLLIN); err != nil {
		syscall.Close(s.epoll)
		syscall.Close(s.wakeup)
		return nil, fmt.Errorf("loadgen: epoll: %w", err)
	}
	go s.loop()
	return s, nil
}

func newEventFD() (int, error) {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// watch sets the events that are waited for on a descriptor.
func (s *swarm) watch(fd, operation int, events uint32) error {
	return syscall.EpollCtl(s.epoll, operation, fd, &syscall.EpollEvent{Events: events, Fd: int32(fd)})
}

func (s *swarm) loop() {
	defer close(s.done)
	defer s.release()
	events := make([]syscall.EpollEvent, eventBatch)
	for !s.quit {
		s.openMore()
		n, err := syscall.EpollWait(s.epoll, events, -1)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			s.blame(fmt.Errorf("epoll_wait: %w", err))
			return
		}
		for _, event := range events[:max(n, 0)] {
			if fd := int(event.Fd); fd == s.wakeup {
				s.runCalls()
			} else if c := s.byFD[fd]; c != nil {
				s.serve(c)
			}
		}
	}
}

// release closes what only the loop uses. Subscribers end with a reset, so that no
// port stays in TIME_WAIT.
func (s *swarm) release() {
	for _, c := range s.byFD {
		if c != nil {
			closeWithReset(c.fd)
		}
	}
	syscall.Close(s.epoll)
}

func (s *swarm) runCalls() {
	var count [8]byte
	_, _ = syscall.Read(s.wakeup, count[:])
	for {
		select {
		case f := <-s.calls:
			f()
		default:
			return
		}
	}
}

// call runs f in the loop and waits for its end. It does nothing once the loop
// has ended.
func (s *swarm) call(f func()) {
	finished := make(chan struct{})
	one := [8]byte{1}
	select {
	case s.calls <- func() { f(); close(finished) }:
	case <-s.done:
		return
	}
	_, _ = syscall.Write(s.wakeup, one[:])
	select {
	case <-finished:
	case <-s.done:
	}
}

// stop ends the loop and closes every connection. The tally and the sessions may
// be read afterwards, without call.
func (s *swarm) stop() {
	s.stopOnce.Do(func() {
		s.call(func() { s.quit = true })
		<-s.done
		syscall.Close(s.wakeup)
		s.wakeup = -1
	})
}

// await asks condition in the loop, every few milliseconds, until it is true,
// the time is up or the context ends.
func (s *swarm) await(ctx context.Context, timeout time.Duration, condition func(*tally) bool) {
	for deadline := time.Now().Add(timeout); ctx.Err() == nil && time.Now().Before(deadline); {
		met := true // as far as a loop that has ended can tell
		s.call(func() { met = condition(&s.tally) })
		if met {
			return
		}
		time.Sleep(awaitEvery)
	}
}

// awaitReady waits until every connection is subscribed or has failed.
func (s *swarm) awaitReady(ctx context.Context) {
	s.await(ctx, maxPhase, func(t *tally) bool {
		return t.ready+t.failed+t.dropped >= s.connections
	})
}

// blame keeps the first error as the explanation of a bad run.
func (s *swarm) blame(err error) {
	if s.tally.firstError == nil {
		s.tally.firstError = err
	}
}
