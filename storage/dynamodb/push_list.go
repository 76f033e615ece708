package dynamodb

import (
	"bytes"
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sockudo/caddy-sockudo/storage"
)

// listing reads records of a table in their order.
type listing struct {
	store *PushStore
	table []byte
	left  int
	read  []storage.PushRecord
}

// List implements storage.PushStore. Each page that the service has is a step of its own.
func (s *PushStore) List(ctx context.Context, q storage.PushQuery) ([]storage.PushRecord, error) {
	if s.closed.Err() != nil || ctx.Err() != nil {
		return nil, s.fail(ctx, ctx.Err())
	}
	if !mayFind(&q) {
		return nil, nil
	}
	from, to := boundsOf(&q)
	l := &listing{store: s, table: tableKey(q.App, q.Table), left: q.Limit}
	if err := l.between(ctx, from, to); err != nil {
		return nil, err
	}
	return l.read, nil
}

// mayFind reports whether there can be records that a query asks for.
func mayFind(q *storage.PushQuery) bool {
	one := storage.PushKey{App: q.App, Table: q.Table, Name: "any"}
	if q.Group != nil {
		one.Group = *q.Group
	}
	return q.Limit > 0 && one.Check() == nil
}

// boundsOf are what the first record of a query can be called at least, and what comes
// behind the last one. They are nil if there is no bound.
func boundsOf(q *storage.PushQuery) (from, to []byte) {
	// Names and groups may be longer here than any that there are. What is cut off makes
	// no difference to what is behind them.
	cut := func(text string) string { return text[:min(len(text), 513)] }
	group := cut(q.AfterGroup)
	if q.Group != nil {
		group = *q.Group
		to = groupStart(group)
		to[len(to)-1] = groupPast
	} else if q.AfterName == "" {
		return nil, nil
	}
	from = groupStart(group)
	if q.AfterName != "" {
		from = append(append(from, cut(q.AfterName)...), 0) // the next name that there can be
	}
	return from, to
}

// between reads what is called at least from, and less than to.
func (l *listing) between(ctx context.Context, from, to []byte) error {
	if len(from) <= maxRecord {
		return l.query(ctx, nil, from, to)
	}
	before, rest := from[:maxRecord], from[maxRecord:]
	if bytes.HasPrefix(to, before) {
		return l.query(ctx, before, rest, to[maxRecord:])
	}
	if err := l.query(ctx, before, rest, nil); err != nil {
		return err
	}
	return l.query(ctx, nil, append(doorOf(before), 0), to)
}

// query reads what is under one hash key: that of the table, or what goes on behind a
// door, which is called something that begins with before.
func (l *listing) query(ctx context.Context, before, from, to []byte) error {
	if l.left == 0 {
		return nil
	}
	ask := &dynamodb.QueryInput{
		TableName: &l.store.table, ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("#table = :table"),
		ExpressionAttributeNames:  map[string]string{"#table": attributeTable},
		ExpressionAttributeValues: item{":table": bin(bytes.Join([][]byte{l.table, before}, nil))},
	}
	switch condition := ask.KeyConditionExpression; {
	case to != nil:
		*condition += " AND #record BETWEEN :from AND :to" // nothing is called to
		ask.ExpressionAttributeValues[":to"] = bin(to)
	case from != nil:
		*condition += " AND #record >= :from"
	}
	if from != nil {
		ask.ExpressionAttributeNames["#record"] = attributeRecord
		ask.ExpressionAttributeValues[":from"] = bin(from)
	}
	for l.left > 0 {
		page, err := l.page(ctx, ask)
		if err != nil {
			return err
		}
		for _, i := range page {
			if err := l.take(ctx, len(before) > 0, i); err != nil {
				return err
			}
		}
		if ask.ExclusiveStartKey == nil {
			return nil
		}
	}
	return nil
}

// page reads a page, after which the question is for the next one.
func (l *listing) page(ctx context.Context, ask *dynamodb.QueryInput) (page []item, err error) {
	ask.Limit = aws.Int32(int32(min(l.left, maxPage)))
	err = l.store.step(ctx, func(ctx context.Context) error {
		out, err := l.store.client.Query(ctx, ask)
		if err == nil {
			page, ask.ExclusiveStartKey = out.Items, out.LastEvaluatedKey
		}
		return err
	})
	return page, err
}

// take takes an item, or what is behind it if it is a door.
func (l *listing) take(ctx context.Context, behind bool, i item) error {
	if l.left == 0 {
		return nil
	}
	if name := keyPart(i, attributeRecord); !behind && len(name) > maxRecord {
		return l.query(ctx, name[:maxRecord], nil, nil)
	}
	r, err := recordOf(i)
	if err != nil {
		return l.store.fail(ctx, err)
	}
	l.left--
	l.read = append(l.read, r)
	return nil
}
