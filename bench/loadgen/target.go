//go:build linux

package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// Bounds of every scenario. They keep a mistyped option from taking the machine
// with it.
const (
	maxConnections = 19_500
	maxPublishers  = 99
	maxChannels    = 99_999
	maxWindow      = 999
	maxPayload     = 10_000
	maxPhase       = time.Minute
	spareFiles     = 200
)

// errBounds is wrapped by every refusal of a scenario's options.
var errBounds = errors.New("loadgen: option out of bounds")

// Target is the server under load and the application that it serves.
type Target struct {
	// Addr is the server's IPv4 loopback address and port, as "127.0.0.1:6001".
	Addr string
	// AppID, Key and Secret are the credentials of the application.
	AppID, Key, Secret string
	// PID is the server's process, whose CPU clock and memory are read.
	PID int
	// Others are more nodes of the same cluster. Connections are spread evenly over
	// all nodes, publishes go to the first, and usage is the sum.
	Others []Node
}

// Node is another node of a target.
type Node struct {
	// Addr is as that of the Target.
	Addr string
	// PID is the node's process.
	PID int
}

// sockaddr is the target in the form that connect(2) takes. It refuses every
// address that is not a loopback one.
func (t Target) sockaddr() (*syscall.SockaddrInet4, error) {
	ap, err := netip.ParseAddrPort(t.Addr)
	if err != nil {
		return nil, fmt.Errorf("loadgen: target: %w", err)
	}
	if !ap.Addr().Is4() || !ap.Addr().IsLoopback() {
		return nil, fmt.Errorf("%w: target %s is not an IPv4 loopback address", errBounds, t.Addr)
	}
	return &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}, nil
}

// sockaddrs are those of all nodes.
func (t Target) sockaddrs() ([]*syscall.SockaddrInet4, error) {
	var all []*syscall.SockaddrInet4
	for _, address := range t.addresses() {
		node := t
		node.Addr = address
		parsed, err := node.sockaddr()
		if err != nil {
			return nil, err
		}
		all = append(all, parsed)
	}
	return all, nil
}

func (t Target) addresses() []string {
	all := []string{t.Addr}
	for _, node := range t.Others {
		all = append(all, node.Addr)
	}
	return all
}

// usage is the sum over all nodes.
func (t Target) usage() (usage, error) {
	sum, err := readUsage(t.PID)
	for _, node := range t.Others {
		if err != nil {
			break
		}
		var u usage
		u, err = readUsage(node.PID)
		sum.cpu += u.cpu
		sum.rss += u.rss
		sum.writes += u.writes
	}
	return sum, err
}

// Scenario is one kind of load with its options.
type Scenario interface {
	// Run puts the load on the target and reports what came of it. Faults of the
	// server are in the result; an error means that there is no result.
	Run(ctx context.Context, target Target) (Result, error)
}

// bounded is a value with the range that it must lie in.
type bounded struct {
	name        string
	value       int
	least, most int
}

// checkBounds refuses the first value outside its range.
func checkBounds(values ...bounded) error {
	for _, v := range values {
		if v.value < v.least || v.value > v.most {
			return fmt.Errorf("%w: %s is %d, must be %d to %d", errBounds, v.name, v.value, v.least, v.most)
		}
	}
	return nil
}

// checkPhases refuses a phase longer than a minute.
func checkPhases(phases ...time.Duration) error {
	for _, d := range phases {
		if d < 0 || d > maxPhase {
			return fmt.Errorf("%w: a phase of %s, at most %s", errBounds, d, maxPhase)
		}
	}
	return nil
}

// checkFiles makes sure that this process may hold n sockets. The runtime has
// raised the soft limit to the hard one already.
func checkFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("loadgen: descriptor limit: %w", err)
	}
	if uint64(n+spareFiles) > limit.Cur {
		return fmt.Errorf("%w: %d connections need %d descriptors, the limit is %d", errBounds, n, n+spareFiles, limit.Cur)
	}
	return nil
}
