package cqltest

import (
	"fmt"

	"github.com/datastax/go-cassandra-native-protocol/message"
	"github.com/datastax/go-cassandra-native-protocol/primitive"
)

// FaultError is an answer that is an error.
type FaultError struct{ Message message.Error }

// Error is what the answer says.
func (f *FaultError) Error() string { return f.Message.GetErrorMessage() }

// invalid is the error of a statement that cannot mean anything.
func invalid(format string, args ...any) error {
	return &FaultError{&message.Invalid{ErrorMessage: fmt.Sprintf(format, args...)}}
}

// syntax is the error of a statement that cannot be read.
func syntax(format string, args ...any) error {
	return &FaultError{&message.SyntaxError{ErrorMessage: fmt.Sprintf(format, args...)}}
}

// Overloaded is the error of a node that has too much to do.
func Overloaded() error {
	return &FaultError{&message.Overloaded{ErrorMessage: "Server is overloaded"}}
}

// Broken is an error inside the server.
func Broken() error {
	return &FaultError{&message.ServerError{ErrorMessage: "java.lang.NullPointerException"}}
}

// Unauthorized is the error of somebody who has no right to do something.
func Unauthorized(what string) error {
	return &FaultError{&message.Unauthorized{ErrorMessage: what}}
}

// WriteTimeout is the error of a write that not enough replicas have confirmed in
// time. A kind of CAS says that it is not known whether a lightweight transaction
// was made.
func WriteTimeout(kind string) error {
	return &FaultError{&message.WriteTimeout{
		ErrorMessage: "Operation timed out - received only 1 responses", Consistency: primitive.ConsistencyLevelSerial,
		Received: 1, BlockFor: 2, WriteType: primitive.WriteType(kind),
	}}
}

// ReadTimeout is the error of a serial read that could not end what others have
// begun.
func ReadTimeout() error {
	return &FaultError{&message.ReadTimeout{
		ErrorMessage: "Operation timed out - received only 1 responses", Consistency: primitive.ConsistencyLevelSerial,
		Received: 1, BlockFor: 2,
	}}
}

// unavailable is the error of a level that the nodes which are up cannot reach.
func unavailable(level primitive.ConsistencyLevel, required, alive int) error {
	return &FaultError{&message.Unavailable{
		ErrorMessage: fmt.Sprintf("Cannot achieve consistency level for cl %s. Requires %d, alive %d", levelName(level), required, alive),
		Consistency:  level, Required: int32(required), Alive: int32(alive),
	}}
}
