package dynamodb

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// noise is what the SDK says in all of its messages, and what is better said in
// other words.
var noise = strings.NewReplacer(
	fmt.Sprintf("exceeded maximum number of attempts, %d, ", maxAttempts), "",
	"https response error StatusCode: 0, RequestID: , ", "",
	"request send failed, ", "",
	"canceled, context deadline exceeded", "no answer in time",
	"get identity: get credentials: ", "no credentials: ",
)

// operation is an error that knows what was asked, and refusal one that the
// service has answered.
type (
	operation interface {
		error
		Operation() string
	}
	refusal interface {
		error
		ErrorCode() string
		ErrorMessage() string
	}
)

// cause says why a request has failed. Of what the service answers only the first
// line is kept: when a signature is wrong it goes on with the headers of the
// request, where a session token is.
func cause(err error) error {
	asked, text := "", err.Error()
	if op, ok := errors.AsType[operation](err); ok {
		asked = op.Operation() + ": "
		text = noise.Replace(errors.Unwrap(op).Error())
	}
	if r, ok := errors.AsType[refusal](err); ok {
		text = r.ErrorCode() + ": " + r.ErrorMessage()
	}
	if c, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		text = strings.Join(reasons(c), ", ")
	}
	text, _, _ = strings.Cut(text, "\n")
	return errors.New(asked + text)
}

// reasons are why a transaction was not made.
func reasons(c *types.TransactionCanceledException) (list []string) {
	for _, r := range c.CancellationReasons {
		if code := text(r.Code); code != "" && code != "None" {
			list = append(list, code+": "+text(r.Message))
		}
	}
	return list
}

// text is a string that may be missing.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// lostRace reports whether a transaction was not made because somebody else was
// faster, or is at it: what it was made of is to be read again.
func lostRace(err error) bool {
	c, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return false
	}
	for _, r := range c.CancellationReasons {
		switch text(r.Code) {
		case "", "None", "ConditionalCheckFailed", "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError":
		default:
			return false
		}
	}
	return true
}
