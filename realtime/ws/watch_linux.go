package ws

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// watch is a socket's place with the poller.
type watch struct {
	// armed is set while the socket waits for input without a goroutine. Whoever
	// clears it reads next, or ends the socket.
	armed atomic.Bool
	added bool // guarded by poller.mu
}

// poller waits for input on all idle clear-text sockets of the process with one
// goroutine. It starts with the first of them and ends with the last.
var poller struct {
	mu      sync.Mutex
	epoll   int
	wake    [2]int // a pipe that ends the goroutine
	sockets map[int32]*socket
}

const events = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<30 // EPOLLONESHOT

// arm waits for input and then calls ready in a fresh goroutine. The lock of the
// queue keeps the descriptor from being closed, and used anew, meanwhile.
func (s *socket) arm() {
	if s.portable || s.fd < 0 {
		s.armPortable()
		return
	}
	s.out.mu.Lock()
	if s.out.shut {
		s.out.mu.Unlock()
		s.end()
		return
	}
	poller.mu.Lock()
	s.watch.armed.Store(true)
	err := s.armLocked()
	poller.mu.Unlock()
	s.out.mu.Unlock()
	if err != nil && s.watch.armed.CompareAndSwap(true, false) {
		s.armPortable()
	}
}

func (s *socket) armLocked() error {
	if poller.sockets == nil {
		if err := startPoller(); err != nil {
			return err
		}
	}
	event := syscall.EpollEvent{Events: events, Fd: int32(s.fd)}
	op := syscall.EPOLL_CTL_MOD
	if !s.watch.added {
		op = syscall.EPOLL_CTL_ADD
	}
	if err := syscall.EpollCtl(poller.epoll, op, s.fd, &event); err != nil {
		return err
	}
	if !s.watch.added {
		s.watch.added = true
		poller.sockets[int32(s.fd)] = s
	}
	return nil
}

// disarm takes the socket away from the poller. If nobody is reading it, its end
// is started here: nobody else would notice. The caller holds out.mu.
func (s *socket) disarm() {
	if s.fd < 0 {
		return
	}
	poller.mu.Lock()
	if s.watch.added {
		s.watch.added = false
		_ = syscall.EpollCtl(poller.epoll, syscall.EPOLL_CTL_DEL, s.fd, nil)
		delete(poller.sockets, int32(s.fd))
		if len(poller.sockets) == 0 {
			stopPoller()
		}
	}
	poller.mu.Unlock()
	if s.watch.armed.CompareAndSwap(true, false) {
		go s.end()
	}
}

func startPoller() error {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := syscall.Pipe2(poller.wake[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		_ = syscall.Close(epoll)
		return err
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(poller.wake[0])}
	if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, poller.wake[0], &event); err != nil {
		_ = syscall.Close(epoll)
		return err
	}
	poller.epoll, poller.sockets = epoll, map[int32]*socket{}
	go poll(epoll, poller.wake)
	return nil
}

// stopPoller ends the goroutine, which closes the descriptors.
func stopPoller() {
	poller.sockets = nil
	_, _ = syscall.Write(poller.wake[1], []byte{0})
}

func poll(epoll int, wake [2]int) {
	defer func() {
		_ = syscall.Close(epoll)
		_ = syscall.Close(wake[0])
		_ = syscall.Close(wake[1])
	}()
	list := make([]syscall.EpollEvent, 256)
	ready := make([]*socket, 0, len(list))
	for {
		n, err := syscall.EpollWait(epoll, list, -1)
		if err != nil && err != syscall.EINTR {
			return
		}
		poller.mu.Lock()
		for _, event := range list[:max(n, 0)] {
			if int(event.Fd) == wake[0] {
				poller.mu.Unlock()
				return
			}
			if poller.epoll != epoll {
				continue
			}
			if s := poller.sockets[event.Fd]; s != nil && s.watch.armed.CompareAndSwap(true, false) {
				ready = append(ready, s)
			}
		}
		poller.mu.Unlock()
		for i, s := range ready {
			ready[i] = nil
			go s.ready()
		}
		ready = ready[:0]
	}
}
