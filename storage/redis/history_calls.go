package redis

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// call is one run of a script among several.
type call struct {
	keys []string
	args []any

	reply any
	err   error
}

// runAll runs a script several times, on its way to each server at once, and sets what
// each run has answered. As with run, none is tried again that may have run.
func (c *Client) runAll(ctx context.Context, s *script, calls []call) {
	pipe := c.Pipeline()
	commands := make([]once, len(calls))
	for i := range calls {
		words := make([]any, 0, 3+len(calls[i].keys)+len(calls[i].args))
		words = append(words, "evalsha", s.hash, len(calls[i].keys))
		for _, key := range calls[i].keys {
			words = append(words, key)
		}
		commands[i] = once{redis.NewCmd(ctx, append(words, calls[i].args...)...)}
		commands[i].SetFirstKeyPos(3)
		_ = pipe.Process(ctx, commands[i])
	}
	_, failure := pipe.Exec(ctx)
	for i := range calls {
		r := &calls[i]
		r.reply, r.err = commands[i].Result()
		switch {
		case redis.HasErrorPrefix(r.err, "NOSCRIPT"), redis.HasErrorPrefix(r.err, "TRYAGAIN"): // it has not run
			r.reply, r.err = c.run(ctx, s, r.keys, r.args...)
		case r.err == nil && r.reply == nil:
			r.err = errors.Join(errors.New("the script gave no answer"), failure)
		}
	}
}
