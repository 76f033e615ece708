package surrealdb

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/surrealdb/surrealdb.go/surrealcbor"
)

// codec writes and reads what goes over the wire.
var codec = surrealcbor.New()

// request is something asked of the server.
type request struct {
	ID     string `json:"id"`
	Method string `json:"method"`
	Params []any  `json:"params"`
}

// response is the answer to a request, or the news of something else.
type response struct {
	ID     any          `json:"id"`
	Error  *serverError `json:"error"`
	Result raw          `json:"result"`
}

// serverError is an error that the server has answered, to a request or to one of the
// statements in it.
type serverError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *serverError) Error() string { return plain(e.Message) }

// statement is the answer to a statement of a query.
type statement struct {
	Status string `json:"status"`
	Result raw    `json:"result"`
}

// raw is a value as it came. Sent back, it is the same value.
type raw []byte

// MarshalCBOR gives the value back.
func (r raw) MarshalCBOR() ([]byte, error) {
	if len(r) == 0 {
		return []byte{0xf6}, nil // null
	}
	return r, nil
}

// UnmarshalCBOR takes any value.
func (r *raw) UnmarshalCBOR(data []byte) error {
	*r = slices.Clone(data)
	return nil
}

// read decodes a value. Nothing that a server sends makes it panic.
func read(data []byte, to any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the answer cannot be read: %v", r)
		}
	}()
	if err := codec.Unmarshal(data, to); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	return nil
}

// answerTo is the result of a request.
func answerTo(data []byte) (raw, error) {
	var r response
	if err := read(data, &r); err != nil {
		return nil, err
	}
	if r.Error != nil {
		return nil, r.Error
	}
	return r.Result, nil
}

// answerOf is the result of a query of one statement. Nothing is read into a nil to.
func answerOf(data raw, to any) error {
	var answers []statement
	if err := read(data, &answers); err != nil {
		return err
	}
	if len(answers) != 1 {
		return fmt.Errorf("the server has answered %d statements, not 1", len(answers))
	}
	a := answers[0]
	switch {
	case a.Status != "OK":
		var message string
		if err := read(a.Result, &message); err != nil {
			return err
		}
		return &serverError{Message: message}
	case to == nil || len(a.Result) == 0:
		return nil
	}
	return read(a.Result, to)
}

// maxMessage is how much of a message of the server's is shown, in bytes.
const maxMessage = 300

// plain is what of a message may be shown: its first line, and nothing behind the
// first brace. When a value does not fit, the server shows it, and that of a payload
// begins with a brace and has secrets in it.
func plain(message string) string {
	cut := false
	if i := strings.IndexAny(message, "{\n"); i >= 0 {
		message, cut = message[:i], true
	}
	if len(message) > maxMessage {
		message, cut = strings.ToValidUTF8(message[:maxMessage], ""), true
	}
	if message = strings.TrimSpace(message); cut {
		message += " …"
	}
	return message
}

// says reports whether the server has refused something with a message that the
// condition holds for.
func says(err error, condition func(message string) bool) bool {
	r, ok := errors.AsType[*serverError](err)
	return ok && condition(r.Message)
}

// isExpired says that a session has ended, whatever its user may do in a new one.
func isExpired(err error) bool {
	return says(err, func(m string) bool { return strings.HasSuffix(m, "The session has expired") })
}

// isRace says that somebody else has written at the same time, so that nothing was
// written here.
func isRace(err error) bool {
	return says(err, func(m string) bool { return strings.HasSuffix(m, "This transaction can be retried") })
}

// isThere says that a record exists that was to be made.
func isThere(err error) bool {
	return says(err, func(m string) bool {
		return strings.HasPrefix(m, "Database record `") && strings.HasSuffix(m, " already exists")
	})
}

// isTaken says that a unique index has another record with a value.
func isTaken(err error, index string) bool {
	return says(err, func(m string) bool { return strings.HasPrefix(m, "Database index `"+index+"` already contains ") })
}
