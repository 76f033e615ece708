package dynamodb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// maxPushBytes bounds the values of one Apply together, in bytes. The service takes 4 MB
// in a transaction, with the keys of the items and all else that they say.
const maxPushBytes = 3 << 20

// Apply implements storage.PushStore. It is one transaction, tried until no other is in
// its way.
func (s *PushStore) Apply(ctx context.Context, changes ...storage.PushChange) error {
	if err := s.mayApply(changes); err != nil {
		return err
	}
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	writes, doors := writesOf(changes)
	if len(writes) == 0 {
		return nil
	}
	for _, door := range doors {
		if _, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: door}); err != nil {
			return s.fail(ctx, err)
		}
	}
	for p := (pause{}); ; {
		err := s.transact(ctx, writes)
		switch {
		case err == nil || ctx.Err() != nil:
			return s.fail(ctx, err)
		case refutes(err, writes):
			return fmt.Errorf("%s: a condition does not hold: %w", s.place, storage.ErrConflict)
		case !lostRace(err) || !p.wait(ctx):
			return s.fail(ctx, err)
		}
	}
}

// mayApply refuses what the service does not take.
func (s *PushStore) mayApply(changes []storage.PushChange) error {
	if err := storage.CheckPushChanges(changes); err != nil {
		return err
	}
	size := 0
	for i := range changes {
		n := len(changes[i].Value)
		if n > maxPayload {
			return fmt.Errorf("%s: a value of %d bytes, of at most %d: %w", s.place, n, maxPayload, storage.ErrTooLarge)
		}
		if size += n; size > maxPushBytes {
			return fmt.Errorf("%s: values of more than %d bytes at once: %w", s.place, maxPushBytes, storage.ErrTooLarge)
		}
	}
	return nil
}

// writesOf are the changes that do something, and the doors that they need.
func writesOf(changes []storage.PushChange) (writes []pushWrite, doors []item) {
	for i := range changes {
		c := &changes[i]
		if c.Op == storage.PushCheck && c.If == nil {
			continue
		}
		place, door := placeOf(&c.Key)
		writes = append(writes, pushWrite{PushChange: c, place: place, there: true})
		makes := (c.Op == storage.PushPut || c.Op == storage.PushAdd) && (c.If == nil || *c.If == 0)
		if door != nil && makes {
			doors = append(doors, door)
		}
	}
	return writes, doors
}

// transact makes the transaction. It has a token, by which one whose answer was lost is
// sent again without being made twice.
func (s *PushStore) transact(ctx context.Context, writes []pushWrite) error {
	ask := &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String(rand.Text())}
	for i := range writes {
		ask.TransactItems = append(ask.TransactItems, writes[i].write(s.table))
	}
	_, err := s.client.TransactWriteItems(ctx, ask)
	return err
}

// refutes reports whether a transaction was not made because a condition of the caller
// does not hold. Where one of a guess does not, the next transaction guesses otherwise.
func refutes(err error, writes []pushWrite) (refuted bool) {
	c, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok || len(c.CancellationReasons) != len(writes) {
		return false
	}
	for i, r := range c.CancellationReasons {
		if text(r.Code) != "ConditionalCheckFailed" {
			continue
		}
		if w := &writes[i]; w.guesses() {
			w.there = !w.there
		} else {
			refuted = true
		}
	}
	return refuted
}
