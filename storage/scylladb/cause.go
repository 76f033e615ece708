package scylladb

import (
	"context"
	"errors"
	"slices"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// maxReasons bounds the nodes that an error speaks of.
const maxReasons = 3

// noise is what the client says in its messages, and what is better said in other
// words.
var noise = strings.NewReplacer(
	"gocql: unable to create session: ", "",
	"unable to connect to initial hosts: ", "",
	"gocql: no hosts available in the pool", "no node can be reached",
	"gocql: no response received from cassandra within timeout period", "no answer in time",
	"gocql: no response to connection startup within timeout", "no answer in time",
	"gocql: connection closed waiting for response", "the connection has broken",
	"gocql: ", "",
)

// plain is an error in one line.
func plain(err error) string {
	text := err.Error()
	if text == "EOF" {
		text = "the connection has broken"
	}
	text, _, _ = strings.Cut(noise.Replace(text), "\n")
	return text
}

// joined are the reasons for which nodes cannot be reached.
func joined(reasons []string) string {
	slices.Sort(reasons)
	if more := len(reasons) - maxReasons; more > 0 {
		reasons = append(reasons[:maxReasons], "and others")
	}
	return strings.Join(reasons, "; ")
}

// cause says why a statement has failed. The errors of contexts stay what they are.
func cause(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &failure{plain(err), err}
}

// failure is an error of the client or the server, in other words.
type failure struct {
	text string
	err  error
}

// Error is what has happened.
func (f *failure) Error() string { return f.text }

// Unwrap is what the client has said.
func (f *failure) Unwrap() error { return f.err }

// isCode reports whether an error is the server's answer with a code.
func isCode(err error, code int) bool {
	answer, ok := errors.AsType[gocql.RequestError](err)
	return ok && answer.Code() == code
}

// isUncertain reports whether a lightweight transaction may have been made, or not.
// Reading the row with its serial level tells.
func isUncertain(err error) bool {
	if _, ok := errors.AsType[*gocql.RequestErrWriteTimeout](err); ok {
		return true
	}
	if r, ok := errors.AsType[*gocql.RequestErrReadTimeout](err); ok {
		return r.Consistency == gocql.Serial
	}
	_, ok := errors.AsType[*gocql.RequestErrCASWriteUnknown](err)
	return ok
}
