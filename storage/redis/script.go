package redis

import (
	"context"
	"crypto/sha1" //nolint:gosec // see newScript
	"encoding/hex"
	"errors"
	"net"

	"github.com/redis/go-redis/v9"
)

// script is a program that the server runs in one step. Its keys are in one slot.
type script struct{ text, hash string }

func newScript(text string) *script {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // the name that Redis gives a script
	return &script{text, hex.EncodeToString(sum[:])}
}

// run runs a script once. If the connection breaks in the middle, it may have run
// or not; it is never tried again then, since it would count twice what it counts.
func (c *Client) run(ctx context.Context, s *script, keys []string, args ...any) (any, error) {
	reply, err := c.evaluate(ctx, "evalsha", s.hash, keys, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = c.evaluate(ctx, "eval", s.text, keys, args)
	}
	return reply, err
}

func (c *Client) evaluate(ctx context.Context, name, script string, keys []string, args []any) (any, error) {
	words := make([]any, 0, 3+len(keys)+len(args))
	words = append(words, name, script, len(keys))
	for _, key := range keys {
		words = append(words, key)
	}
	command := once{redis.NewCmd(ctx, append(words, args...)...)}
	command.SetFirstKeyPos(3)
	if err := c.Process(ctx, command); err != nil {
		return nil, err
	}
	return command.Val(), nil
}

// write runs a command that changes something once, as run does a script. A reply
// that is nothing is redis.Nil.
func (c *Client) write(ctx context.Context, words ...any) error {
	return c.Process(ctx, once{redis.NewCmd(ctx, words...)})
}

// once is a command that is sent again only if it cannot have been executed.
type once struct{ *redis.Cmd }

// NoRetry says whether the client must give up.
func (o once) NoRetry() bool {
	err := o.Err()
	if dialing, ok := errors.AsType[*net.OpError](err); ok && dialing.Op == "dial" {
		return false
	}
	for _, refused := range []string{"LOADING", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "READONLY"} {
		if redis.HasErrorPrefix(err, refused) {
			return false
		}
	}
	return !errors.Is(err, redis.ErrPoolTimeout)
}
