package cqltest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/datastax/go-cassandra-native-protocol/primitive"
)

// attempts is how often a port is looked for that is free on all addresses.
const attempts = 20

// Options say what the server is like.
type Options struct {
	// DataCenters are the nodes, by where they are. They listen on 127.0.0.1, 127.0.0.2
	// and so on, all on one port. Default: one, in "datacenter1".
	DataCenters []string
	// Cassandra makes the server answer as Cassandra does where ScyllaDB does not.
	Cassandra bool
	// TLS encrypts. Default: plain text.
	TLS *tls.Config
	// Logins are those who may come in, by name. None means that everybody may do
	// everything.
	Logins map[string]Login
}

// Login is somebody who may come in.
type Login struct {
	Password string
	// Rights are what he may do: CREATE, ALTER, DROP, SELECT and MODIFY.
	Rights []string
}

// Request is a statement that a client wants to have executed.
type Request struct {
	// Text is the statement.
	Text string
	// Values are those of its markers, nil for null.
	Values [][]byte
	// Consistency and Serial are the levels, by name. Serial is empty if the client
	// named none.
	Consistency, Serial string
	// Node is the number of the node that was asked.
	Node int
	// User is who asked.
	User string
}

// Hook stands before the execution of statements. It may call run, which executes
// the statement and reports how that went. Nil is answered with the result, anything
// else with that error: a FaultError as it is, and ErrDrop by closing the connection.
type Hook func(r Request, run func() error) error

// ErrDrop closes the connection instead of an answer.
var ErrDrop = errors.New("drop the connection")

// Server is a cluster of nodes that share one store.
type Server struct {
	options Options
	port    int
	nodes   []*Node
	store   *store

	mu       sync.Mutex
	prepared map[string]string // statements by id
	hook     Hook
	asked    []Request
}

// Node is one node of a server.
type Node struct {
	server  *Server
	number  int
	address net.IP
	center  string
	id      primitive.UUID

	mu       sync.Mutex
	listener net.Listener
	conns    map[*conn]struct{}
	loops    sync.WaitGroup
}

// Start starts a server, which ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if len(o.DataCenters) == 0 {
		o.DataCenters = []string{"datacenter1"}
	}
	s := &Server{options: o, prepared: map[string]string{}}
	s.store = newStore()
	for i, center := range o.DataCenters {
		s.nodes = append(s.nodes, &Node{
			server: s, number: i, address: net.IPv4(127, 0, 0, byte(i+1)).To4(), center: center,
			id: newUUID(), conns: map[*conn]struct{}{},
		})
	}
	t.Cleanup(s.stop)
	var err error
	for range attempts {
		if err = s.listen(); err == nil {
			return s
		}
		s.stop()
		s.port = 0
	}
	t.Fatalf("no port is free on all addresses: %v", err)
	return nil
}

func (s *Server) listen() error {
	for _, n := range s.nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) stop() {
	for _, n := range s.nodes {
		n.Stop()
	}
}

// Addr is HOST:PORT of the first node.
func (s *Server) Addr() string { return s.nodes[0].Addr() }

// Node is a node by its number, from 0.
func (s *Server) Node(i int) *Node { return s.nodes[i] }

// Let gives the server a hook. Nil takes it away.
func (s *Server) Let(hook Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// Asked are the statements that came since it was asked last, but for those about
// the systems' own tables.
func (s *Server) Asked() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// HoldIndexes keeps back what changes in indexes, as where these are brought up to
// date in the background.
func (s *Server) HoldIndexes() { s.store.hold(true) }

// ReleaseIndexes brings indexes up to date.
func (s *Server) ReleaseIndexes() { s.store.hold(false) }

// up are the nodes that run.
func (s *Server) up() (nodes []*Node) {
	for _, n := range s.nodes {
		n.mu.Lock()
		if n.listener != nil {
			nodes = append(nodes, n)
		}
		n.mu.Unlock()
	}
	return nodes
}

// Addr is HOST:PORT of the node.
func (n *Node) Addr() string {
	return net.JoinHostPort(n.address.String(), strconv.Itoa(n.server.port))
}

// Start starts a node that was stopped.
func (n *Node) Start() error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", n.Addr())
	if err != nil {
		return err
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("%v is no address", listener.Addr())
	}
	if n.server.port == 0 {
		n.server.port = address.Port
	}
	if n.server.options.TLS != nil {
		listener = tls.NewListener(listener, n.server.options.TLS)
	}
	n.mu.Lock()
	n.listener = listener
	n.mu.Unlock()
	n.loops.Go(func() { n.accept(listener) })
	return nil
}

// Stop ends a node as a kill does: its connections break.
func (n *Node) Stop() {
	n.mu.Lock()
	if n.listener != nil {
		_ = n.listener.Close()
	}
	n.listener = nil
	for c := range n.conns {
		c.close()
	}
	n.mu.Unlock()
	n.loops.Wait()
}

func (n *Node) accept(listener net.Listener) {
	for {
		raw, err := listener.Accept()
		if err != nil {
			return
		}
		c := &conn{Conn: raw, node: n}
		n.mu.Lock()
		gone := n.listener != listener
		if !gone {
			n.conns[c] = struct{}{}
		}
		n.mu.Unlock()
		if gone {
			c.close()
			return
		}
		n.loops.Go(func() {
			c.serve()
			n.mu.Lock()
			delete(n.conns, c)
			n.mu.Unlock()
		})
	}
}
