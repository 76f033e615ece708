package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Operation is something that a capability permits on channels (section 1.5).
type Operation uint8

// The operations. The first four are unrestricted for clients whose capabilities do
// not list them; all others are denied to them.
const (
	OpSubscribe Operation = iota
	OpPublish
	OpHistory
	OpPresence
	OpAnnotationSubscribe
	OpAnnotationPublish
	OpAnnotationDeleteOwn
	OpAnnotationDeleteAny
	OpMessageUpdateOwn
	OpMessageUpdateAny
	OpMessageDeleteOwn
	OpMessageDeleteAny
	OpMessageAppendOwn
	OpMessageAppendAny
	OpPushAdmin
	OpPushSubscribe
)

var operationNames = [...]string{
	OpSubscribe:           "subscribe",
	OpPublish:             "publish",
	OpHistory:             "history",
	OpPresence:            "presence",
	OpAnnotationSubscribe: "annotation-subscribe",
	OpAnnotationPublish:   "annotation-publish",
	OpAnnotationDeleteOwn: "annotation-delete-own",
	OpAnnotationDeleteAny: "annotation-delete-any",
	OpMessageUpdateOwn:    "message-update-own",
	OpMessageUpdateAny:    "message-update-any",
	OpMessageDeleteOwn:    "message-delete-own",
	OpMessageDeleteAny:    "message-delete-any",
	OpMessageAppendOwn:    "message-append-own",
	OpMessageAppendAny:    "message-append-any",
	OpPushAdmin:           "push-admin",
	OpPushSubscribe:       "push-subscribe",
}

// operationsByName has every operation in both spellings.
var operationsByName = func() map[string]Operation {
	all := map[string]Operation{}
	for op, name := range operationNames {
		all[name] = Operation(op)
		all[strings.ReplaceAll(name, "-", "_")] = Operation(op)
	}
	return all
}()

// String is the name of the operation, words joined by hyphens.
func (op Operation) String() string {
	if int(op) < len(operationNames) {
		return operationNames[op]
	}
	return fmt.Sprintf("operation %d", uint8(op))
}

// free reports whether the operation needs no capability that permits it.
func (op Operation) free() bool { return op <= OpPresence }

// operationSet is a set of operations, a bit for each.
type operationSet uint16

// allOperations are those there are.
const allOperations = 1<<(OpPushSubscribe+1) - 1

func (s operationSet) has(op Operation) bool { return s&(1<<op) != 0 }

// Limits of capabilities. A token has at most so many patterns, and so has each list
// of a signin, whose lists together are bounded in bytes.
const (
	maxPatterns           = 100
	maxSigninCapabilities = 64 << 10
)

// Capabilities are what a client may do on which channels. They never change. Nil
// are those of a client that has shown none, which are the same as the zero value.
type Capabilities struct {
	// listed are the operations that are permitted on the channels of grants and
	// nowhere else. Of the others, the free ones are unrestricted and the rest denied.
	listed operationSet
	grants []grant
}

// grant permits operations on the channels that a pattern matches (section 1.5):
// those that begin with prefix and end with suffix, or, if it is not wild, the one
// of the name prefix.
type grant struct {
	prefix, suffix string
	wild           bool
	operations     operationSet
}

// newGrant reads a pattern. One with several '*' is not wild: it matches nothing but
// itself, and no channel has such a name.
func newGrant(pattern string, operations operationSet) grant {
	prefix, suffix, wild := strings.Cut(pattern, "*")
	if !wild || strings.Contains(suffix, "*") {
		return grant{prefix: pattern, operations: operations}
	}
	return grant{prefix, suffix, true, operations}
}

func (g *grant) matches(channel string) bool {
	if !g.wild {
		return channel == g.prefix
	}
	return len(channel) >= len(g.prefix)+len(g.suffix) &&
		strings.HasPrefix(channel, g.prefix) && strings.HasSuffix(channel, g.suffix)
}

// Allows reports whether an operation is permitted on a channel. Names are compared
// by byte, and '*' stands for any bytes or none. A subscription to a presence channel
// needs OpSubscribe and OpPresence; that is for the caller to ask.
func (c *Capabilities) Allows(op Operation, channel string) bool {
	if c == nil || !c.listed.has(op) {
		return op.free()
	}
	for i := range c.grants {
		if g := &c.grants[i]; g.operations.has(op) && g.matches(channel) {
			return true
		}
	}
	return false
}

// AllowsPattern reports whether an operation is permitted on every channel that
// pattern, which has exactly one '*', can match (section 3.8). It asks for a single
// pattern of the capabilities that covers them all, so it may deny what several cover
// together, and never permits what is not covered.
func (c *Capabilities) AllowsPattern(op Operation, pattern string) bool {
	prefix, suffix, wild := strings.Cut(pattern, "*")
	if !wild || strings.Contains(suffix, "*") {
		return false
	}
	if c == nil || !c.listed.has(op) {
		return op.free()
	}
	for i := range c.grants {
		g := &c.grants[i]
		if g.operations.has(op) && g.wild && strings.HasPrefix(prefix, g.prefix) && strings.HasSuffix(suffix, g.suffix) {
			return true
		}
	}
	return false
}

var (
	errEmptyPattern    = errors.New("has an empty pattern")
	errTooManyPatterns = fmt.Errorf("has more than %d patterns", maxPatterns)
)

// tokenCapabilities reads the capability claim of a token: an object of patterns with
// lists of operations, or a string that holds one. Every operation counts as listed.
// The errors do not repeat the claim.
func tokenCapabilities(raw json.RawMessage) (*Capabilities, error) {
	if len(raw) == 0 {
		return nil, errors.New("is missing")
	}
	text := []byte(raw)
	if inner, ok := stringOf(raw); ok {
		text = []byte(inner)
	}
	members, err := strictObjectOf(text)
	if err != nil {
		return nil, fmt.Errorf("is %w", err)
	}
	if len(members) > maxPatterns {
		return nil, errTooManyPatterns
	}
	c := &Capabilities{listed: allOperations, grants: make([]grant, 0, len(members))}
	for _, m := range members {
		if m.name == "" {
			return nil, errEmptyPattern
		}
		names, ok := textsOf(m.value)
		if !ok {
			return nil, errors.New("must have a list of operations for each pattern")
		}
		var operations operationSet
		for _, name := range names {
			op, known := operationsByName[name]
			if !known {
				return nil, errors.New("has an unknown operation")
			}
			operations |= 1 << op
		}
		if operations != 0 {
			c.grants = append(c.grants, newGrant(m.name, operations))
		}
	}
	return c, nil
}

// ParseSigninCapabilities reads the capabilities of user_data (section 5.1): an object
// of operations with lists of patterns, at most 100 in each. An operation without a
// list, or with null instead of one, keeps what counts without capabilities. Nothing
// and null are no capabilities, which is nil. An unknown operation is an error: a
// misspelt one would otherwise be unrestricted.
func ParseSigninCapabilities(raw json.RawMessage) (*Capabilities, *Error) {
	if len(raw) == 0 || isNull(raw) {
		return nil, nil
	}
	c, err := signinCapabilities(raw)
	if err != nil {
		return nil, BadSignin("user_data: capabilities " + err.Error())
	}
	return c, nil
}

func signinCapabilities(raw json.RawMessage) (*Capabilities, error) {
	if len(raw) > maxSigninCapabilities {
		return nil, fmt.Errorf("are longer than %d bytes", maxSigninCapabilities)
	}
	members, err := strictObjectOf(raw)
	if err != nil {
		return nil, fmt.Errorf("are %w", err)
	}
	c := &Capabilities{}
	known := map[string]int{} // the place of a pattern in grants
	for _, m := range members {
		op, ok := operationsByName[m.name]
		switch {
		case !ok:
			return nil, fmt.Errorf("have the unknown operation %q", m.name[:min(len(m.name), 64)])
		case isNull(m.value):
			continue
		case c.listed.has(op):
			return nil, fmt.Errorf("list %s twice", op)
		}
		c.listed |= 1 << op
		if err := c.addList(op, m.value, known); err != nil {
			return nil, fmt.Errorf("are not valid: %s %w", op, err)
		}
	}
	return c, nil
}

// addList permits an operation on the channels of a list of patterns.
func (c *Capabilities) addList(op Operation, raw json.RawMessage, known map[string]int) error {
	patterns, ok := textsOf(raw)
	if !ok {
		return errors.New("must be a list of patterns")
	}
	if len(patterns) > maxPatterns {
		return errTooManyPatterns
	}
	for _, pattern := range patterns {
		if pattern == "" {
			return errEmptyPattern
		}
		at, ok := known[pattern]
		if !ok {
			at = len(c.grants)
			known[pattern] = at
			c.grants = append(c.grants, newGrant(pattern, 0))
		}
		c.grants[at].operations |= 1 << op
	}
	return nil
}
