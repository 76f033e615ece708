package dynamodb

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

const (
	// maxGets and maxDeletes are what the service takes in one request.
	maxGets, maxDeletes = 100, 25
	// maxParallel bounds the requests that one call makes at a time.
	maxParallel = 8
	// maxPause is the longest time between two attempts.
	maxPause = 500 * time.Millisecond
)

// pause is the time between attempts, which becomes longer by chance.
type pause struct{ n int }

// wait waits, as long as ctx lasts, and reports whether it did.
func (p *pause) wait(ctx context.Context) bool {
	longest := min(5*time.Millisecond<<min(p.n, 16), maxPause)
	p.n++
	return wait.For(ctx, time.Duration(rand.Int64N(int64(longest))))
}

// inParallel calls do with all numbers below n, some at a time. After an error no more
// are begun.
func inParallel(n int, do func(int) error) error {
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		next   int
		failed error
	)
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if failed != nil {
			return n
		}
		next++
		return next - 1
	}
	work := func() {
		for i := take(); i < n; i = take() {
			if err := do(i); err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		}
	}
	for range min(n, maxParallel) - 1 {
		all.Go(work)
	}
	work()
	all.Wait()
	return failed
}

// getAll are those of the items that are there, as they are now, in any order. No key
// may be given twice. Without attributes they are whole.
func (l *link) getAll(ctx context.Context, list []item, attributes ...string) ([]item, error) {
	chunks := slices.Collect(slices.Chunk(list, maxGets))
	got := make([][]item, len(chunks))
	err := inParallel(len(chunks), func(n int) (err error) {
		got[n], err = l.getChunk(ctx, chunks[n], attributes)
		return err
	})
	return slices.Concat(got...), err
}

func (l *link) getChunk(ctx context.Context, list []item, attributes []string) (got []item, err error) {
	ask := types.KeysAndAttributes{Keys: list, ConsistentRead: aws.Bool(true)}
	if len(attributes) > 0 {
		ask.ProjectionExpression, ask.ExpressionAttributeNames = projection(attributes...)
	}
	for p := (pause{}); ; {
		out, err := l.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{l.table: ask}})
		if err != nil {
			return nil, err
		}
		got = append(got, out.Responses[l.table]...)
		if ask.Keys = out.UnprocessedKeys[l.table].Keys; len(ask.Keys) == 0 {
			return got, nil
		}
		// An answer of 16 MiB is full, so only one that brought nothing is a reason to wait.
		if len(out.Responses[l.table]) == 0 && !p.wait(ctx) {
			return nil, ctx.Err()
		}
	}
}

// deleteAll removes items. No key may be given twice.
func (l *link) deleteAll(ctx context.Context, list []item) error {
	chunks := slices.Collect(slices.Chunk(list, maxDeletes))
	return inParallel(len(chunks), func(n int) error {
		writes := make([]types.WriteRequest, len(chunks[n]))
		for i, key := range chunks[n] {
			writes[i].DeleteRequest = &types.DeleteRequest{Key: key}
		}
		for p := (pause{}); ; {
			out, err := l.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{l.table: writes}})
			if err != nil {
				return err
			}
			if writes = out.UnprocessedItems[l.table]; len(writes) == 0 {
				return nil
			}
			if !p.wait(ctx) {
				return ctx.Err()
			}
		}
	})
}

// errHole says that something is not there that has to be: it has been removed since
// the head was read, or a transaction is being made.
var errHole = errors.New("an entry is missing")

// again reports whether something has failed because another is faster, or is at it.
func again(err error) bool {
	if errors.Is(err, errHole) || lostRace(err) || unmet(err) {
		return true
	}
	_, busy := errors.AsType[*types.TransactionConflictException](err)
	return busy
}

// unmet reports whether the condition of a write did not hold.
func unmet(err error) bool {
	_, is := errors.AsType[*types.ConditionalCheckFailedException](err)
	return is
}

// retried does something until nobody else is faster, as long as ctx lasts. What is
// missing for long is lost, and is not waited for.
func retried(ctx context.Context, do func() error) error {
	for p := (pause{}); ; {
		err := do()
		if !again(err) || errors.Is(err, errHole) && p.n == maxRaces || !p.wait(ctx) {
			return err
		}
	}
}
