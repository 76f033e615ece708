//go:build linux

package loadgen

import (
	"errors"
	"fmt"
	"syscall"
)

// openMore begins connections while some are wanted and not too many are on
// their way.
func (s *swarm) openMore() {
	for len(s.sessions) < s.connections && s.underway < s.opening {
		c := s.newSession(len(s.sessions))
		s.sessions = append(s.sessions, c)
		s.underway++
		if err := s.connect(c); err != nil {
			s.fail(c, err)
		}
	}
}

// connect starts a non-blocking connect; the loop goes on when the socket is
// writable.
func (s *swarm) connect(c *session) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	c.fd = fd
	for fd >= len(s.byFD) {
		s.byFD = append(s.byFD, make([]*session, 1024)...)
	}
	s.byFD[fd] = c
	if err := syscall.Connect(fd, s.addresses[c.number%len(s.addresses)]); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		return fmt.Errorf("connect: %w", err)
	}
	return s.watch(fd, syscall.EPOLL_CTL_ADD, syscall.EPOLLOUT)
}

// connected follows a connect that has ended, well or badly.
func (s *swarm) connected(c *session) error {
	code, err := syscall.GetsockoptInt(c.fd, syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err == nil && code != 0 {
		err = syscall.Errno(code)
	}
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := s.watch(c.fd, syscall.EPOLL_CTL_MOD, syscall.EPOLLIN); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	c.state = stateUpgrading
	return c.write(s.target.upgradeRequest(handshakeKey(c.number), s.dialect))
}

// becomeReady marks a connection as open and subscribed.
func (s *swarm) becomeReady(c *session) {
	c.state = stateReady
	s.underway--
	s.tally.ready++
	s.tally.openings.add(nanos() - c.startedAt)
}

// fail ends one connection for a reason that is not the generator's own.
func (s *swarm) fail(c *session, reason error) {
	s.blame(fmt.Errorf("connection %d: %w", c.number, reason))
	if c.state == stateReady {
		s.tally.ready--
		s.tally.dropped++
	} else {
		s.underway--
		s.tally.failed++
	}
	c.state = stateClosed
	if c.fd >= 0 {
		s.byFD[c.fd] = nil
		closeWithReset(c.fd)
		c.fd = -1
	}
}

func closeWithReset(fd int) {
	_ = syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1, Linger: 0})
	syscall.Close(fd)
}
