package dynamodb

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Due implements storage.History. The index lags behind, so the heads that it names
// have the last word. It begins anywhere, so that no log waits for those before it.
func (h *History) Due(ctx context.Context, now time.Time, limit int) (due []storage.LogKey, err error) {
	if h.closed.Err() != nil || ctx.Err() != nil {
		return nil, h.fail(ctx, ctx.Err())
	}
	first := rand.IntN(dueBuckets)
	for n := range dueBuckets {
		var from item
		for len(due) < limit {
			err := h.step(ctx, func(ctx context.Context) error {
				keys, next, err := h.dueIn(ctx, (first+n)%dueBuckets, now.UnixMilli(), from, limit-len(due))
				due, from = append(due, keys...), next
				return err
			})
			if err != nil {
				return nil, err
			}
			if from == nil {
				break
			}
		}
	}
	return due, nil
}

// dueIn are logs of one bucket that are due, at most limit. next is nil after the last
// one.
func (h *History) dueIn(ctx context.Context, bucket int, now int64, from item, limit int) (due []storage.LogKey, next item, err error) {
	out, err := h.client.Query(ctx, &dynamodb.QueryInput{
		TableName: &h.table, IndexName: aws.String(dueIndex), ExclusiveStartKey: from, Limit: aws.Int32(int32(min(limit, maxPage))),
		KeyConditionExpression:    aws.String("#bucket = :bucket AND #due < :now"),
		ExpressionAttributeNames:  map[string]string{"#bucket": attributeBucket, "#due": attributeDue},
		ExpressionAttributeValues: item{":bucket": num(bucket), ":now": num(now)},
	})
	if err != nil {
		return nil, nil, err
	}
	heads := make([]item, len(out.Items))
	for n, i := range out.Items {
		heads[n] = item{attributeLog: i[attributeLog], attributeItem: i[attributeItem]}
	}
	heads, err = h.getAll(ctx, heads)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range heads {
		head, err := headOf(i)
		if err != nil {
			return nil, nil, err
		}
		if at, ever := head.due(); !ever || at >= now {
			continue
		}
		r := reader{item: i}
		key, err := keyOf(r.binary(attributeLog))
		if err != nil {
			return nil, nil, err
		}
		due = append(due, key)
	}
	return due, out.LastEvaluatedKey, nil
}
