package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// DeadLetters lists failed jobs of the named queue, oldest first.
func (q *Queue) DeadLetters(ctx context.Context, queue string, limit int) ([]storage.DeadLetter, error) {
	if err := q.usable(ctx); err != nil || limit <= 0 {
		return nil, err
	}
	var seqs []string
	err := q.client.within(ctx, q.optionsNow().Timeout, func(ctx context.Context) (err error) {
		seqs, err = q.client.ZRange(ctx, q.base+"dead:"+queue, 0, int64(limit)-1).Result()
		return err
	})
	var letters []storage.DeadLetter
	for err == nil && len(seqs) > 0 {
		var some []storage.DeadLetter
		var looked int
		if some, looked, err = q.letters(ctx, queue, seqs[:min(len(seqs), 1000)]); err != nil {
			break
		}
		letters, seqs = append(letters, some...), seqs[looked:]
	}
	if err != nil {
		return nil, err
	}
	return letters, nil
}

// letters reads dead letters by number, as many as go into one answer. looked is how
// many of the numbers they are, those included that are dead letters no more.
func (q *Queue) letters(ctx context.Context, queue string, seqs []string) (letters []storage.DeadLetter, looked int, err error) {
	args := []any{maxReply}
	for _, seq := range seqs {
		args = append(args, seq)
	}
	reply, err := q.run(ctx, readLetters, []string{queue}, args...)
	if err != nil {
		return nil, 0, err
	}
	list, _ := reply.([]any)
	if n, err := integers(list[:min(1, len(list))], 1); err == nil {
		looked, list = int(n[0]), list[1:]
	}
	if looked < 1 || looked > len(seqs) {
		return nil, 0, fmt.Errorf("%s: the script has answered for %d of %d dead letters", q.client.place, looked, len(seqs))
	}
	for ; len(list) >= 7; list = list[7:] {
		counts, err := integers(list[3:5], 2)
		failed, notTime := strconv.ParseFloat(text(list[6]), 64)
		if err != nil || notTime != nil {
			return nil, 0, fmt.Errorf("%s: the dead letter %s cannot be read", q.client.place, text(list[0]))
		}
		letters = append(letters, storage.DeadLetter{
			Job: storage.Job{Queue: queue, ID: text(list[1]), Payload: []byte(text(list[2])), Attempt: int(counts[0]), MaxAttempts: int(counts[1])},
			Key: text(list[0]), Reason: text(list[5]), FailedAt: time.UnixMilli(int64(failed)),
		})
	}
	return letters, looked, nil
}

// Replay makes the failed job with the given key ready, as if it had never run.
func (q *Queue) Replay(ctx context.Context, queue, key string) error {
	if _, err := q.admit(0, 0); err != nil {
		return err
	}
	reply, err := q.run(ctx, replayLetter, []string{queue}, queue, key, q.channel())
	switch {
	case err != nil:
		return err
	case reply != int64(1):
		return fmt.Errorf("dead letter %q of queue %q: %w", key, queue, storage.ErrNotFound)
	}
	q.ready(queue)
	return nil
}

// Purge removes all failed jobs of the named queue, a thousand in each step.
func (q *Queue) Purge(ctx context.Context, queue string) (n int, err error) {
	if err := q.usable(ctx); err != nil {
		return 0, err
	}
	for {
		reply, err := q.run(ctx, dropLetters, []string{queue})
		some, _ := reply.(int64)
		if err != nil || some == 0 {
			return n, err
		}
		n += int(some)
	}
}
