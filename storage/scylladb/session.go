package scylladb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"go.uber.org/zap"
)

const (
	// connectTimeout bounds making one connection, TLS and login included.
	connectTimeout = 5 * time.Second
	// answerTimeout bounds the wait for the answer to one statement, also of those
	// that change the schema, for which nodes have to agree.
	answerTimeout = 15 * time.Second
	// agreementTimeout bounds the wait until all nodes know of a changed schema.
	agreementTimeout = 10 * time.Second
	// reconnectInterval is the time between two attempts to reach a node that is down.
	reconnectInterval = time.Second
	// closeTimeout bounds the wait for the client to end.
	closeTimeout = 5 * time.Second
	// readRetries is how often reading is tried again with another node.
	readRetries = 2
	// pageSize is how many rows the server gives at a time.
	pageSize = 100
)

// session is a connection to a cluster. The client behind it keeps connections to
// the nodes, and makes them anew when they are lost.
type session struct {
	*gocql.Session
	dialer *dialer
	faults *faults
}

// connect finds the nodes of a cluster. The client takes no context for that, so it
// runs beside, and is ended by ending what it dials.
func (o Options) connect(ctx context.Context, log *zap.Logger) (*session, error) {
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	s := &session{dialer: d, faults: &faults{by: map[string]error{}}}
	config, err := o.cluster(s, log)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Session, err = config.CreateSession()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		d.end()
		<-done
		if err == nil {
			s.Close()
		}
		return nil, s.faults.explain(ctx.Err())
	}
	if err != nil {
		d.end()
		return nil, s.faults.explain(err)
	}
	return s, nil
}

// Close ends everything. Ending the connections first lets the client find out
// quickly. It may never do so if it has just made one, since it then waits for what
// it has ended itself; nobody waits for that.
func (s *session) Close() {
	s.dialer.end()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Session.Close()
	}()
	select {
	case <-done:
	case <-time.After(closeTimeout):
	}
}

func (o Options) cluster(s *session, log *zap.Logger) (*gocql.ClusterConfig, error) {
	c := gocql.NewCluster(o.Nodes...)
	_, port, err := net.SplitHostPort(o.Nodes[0])
	if err != nil {
		return nil, err
	}
	if c.Port, err = strconv.Atoi(port); err != nil { // that of nodes that were not written
		return nil, err
	}
	c.ProtoVersion = 4 // the newest that ScyllaDB speaks, and Cassandra since 2.2
	c.HostDialer, c.ConnectObserver = s.dialer, s.faults
	c.ConnectTimeout, c.Timeout = connectTimeout, answerTimeout
	c.HostFilter = new(nearest)
	c.Consistency, c.SerialConsistency = gocql.LocalQuorum, gocql.Serial // see doc.go
	c.RetryPolicy = &gocql.SimpleRetryPolicy{NumRetries: readRetries}    // of what is marked idempotent
	c.ReconnectInterval = reconnectInterval
	c.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 1, Interval: 0}
	c.MaxWaitSchemaAgreement, c.PageSize = agreementTimeout, pageSize
	c.Metadata.CacheMode = gocql.Disabled
	c.Events.DisableSchemaEvents = true
	c.Logger = clientLogger{log}
	if o.Username != "" {
		c.Authenticator = gocql.PasswordAuthenticator{Username: o.Username, Password: o.Password}
	}
	return c, nil
}

// nearest admits nodes of one data centre only: that of the first node that is
// reached, which is one of those that are written.
type nearest struct {
	mu     sync.Mutex
	center string
}

// Accept reports whether a node is to be asked.
func (n *nearest) Accept(host *gocql.HostInfo) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	center := host.DataCenter()
	if n.center == "" {
		n.center = center
	}
	return center == n.center
}

// faults are why nodes could not be connected to, by address. Errors of the client
// say only that there is no connection.
type faults struct {
	mu sync.Mutex
	by map[string]error
}

// ObserveConnect hears of an attempt to connect to a node.
func (f *faults) ObserveConnect(o gocql.ObservedConnect) {
	f.mu.Lock()
	defer f.mu.Unlock()
	address := o.Host.ConnectAddressAndPort()
	if f.by[address] = o.Err; o.Err == nil || errors.Is(o.Err, context.Canceled) || errors.Is(o.Err, errEnded) {
		delete(f.by, address)
	}
}

// explain adds to an error why nodes cannot be connected to.
func (f *faults) explain(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var reasons []string
	for address, reason := range f.by {
		text := plain(reason)
		if !strings.Contains(text, address) {
			text = address + ": " + text
		}
		reasons = append(reasons, text)
	}
	switch {
	case len(reasons) == 0:
		return cause(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s", err, joined(reasons))
	}
	return errors.New(joined(reasons))
}

// clientLogger takes what the client has to say. It is about connections that fail,
// and comes back to the callers as errors too.
type clientLogger struct{ log *zap.Logger }

func (l clientLogger) write(text string, fields []gocql.LogField) {
	if l.log == nil {
		return
	}
	list := make([]zap.Field, len(fields))
	for i, f := range fields {
		list[i] = zap.String(f.Name, f.Value.String())
	}
	l.log.Debug(text, list...)
}

// Error takes an error.
func (l clientLogger) Error(text string, fields ...gocql.LogField) { l.write(text, fields) }

// Warning takes a warning.
func (l clientLogger) Warning(text string, fields ...gocql.LogField) { l.write(text, fields) }

// Info takes what is good to know.
func (l clientLogger) Info(text string, fields ...gocql.LogField) { l.write(text, fields) }

// Debug takes what is rarely good to know.
func (l clientLogger) Debug(string, ...gocql.LogField) {}
