package dynamodb

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// dueSearch goes through the queues of a table together, the earliest first.
type dueSearch struct {
	table  string
	now    int64
	queues [pushQueues]dueQueue
	seen   map[string]bool // what an index that lags shows at two times comes once
	found  []dueItem       // of all queues, in order
}

// dueQueue is how far a queue has been read.
type dueQueue struct {
	last  int64 // the time of the last item
	from  item  // nil before the first page and after the last
	ended bool
}

type dueItem struct {
	due   int64
	place item
}

// next are the places of the next records that are due, at most limit. more is false if
// there are no others.
func (d *dueSearch) next(ctx context.Context, s *PushStore, limit int) (places []item, more bool, err error) {
	horizon := d.horizon()
	if len(d.found) == 0 || d.found[min(limit, len(d.found))-1].due > horizon {
		if horizon, err = d.read(ctx, s, limit); err != nil {
			return nil, false, err
		}
	}
	n := 0
	for ; n < min(limit, len(d.found)) && d.found[n].due <= horizon; n++ {
		places = append(places, d.found[n].place)
	}
	d.found = d.found[n:]
	return places, len(d.found) > 0 || horizon < math.MaxInt64, nil
}

// horizon is the time up to which all that is in the queues has been read.
func (d *dueSearch) horizon() int64 {
	horizon := int64(math.MaxInt64)
	for i := range d.queues {
		if q := &d.queues[i]; !q.ended {
			horizon = min(horizon, q.last)
		}
	}
	return horizon
}

// read reads on in those queues that the others wait for.
func (d *dueSearch) read(ctx context.Context, s *PushStore, limit int) (horizon int64, err error) {
	horizon = d.horizon()
	var pages [pushQueues][]dueItem
	err = inParallel(pushQueues, func(n int) (err error) {
		if q := &d.queues[n]; !q.ended && q.last == horizon {
			pages[n], err = d.page(ctx, s, n, limit)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, page := range pages {
		for _, i := range page {
			id := string(keyPart(i.place, attributeTable)) + string(keyPart(i.place, attributeRecord))
			if !d.seen[id] {
				d.seen[id] = true
				d.found = append(d.found, i)
			}
		}
	}
	slices.SortStableFunc(d.found, func(a, b dueItem) int { return cmp.Compare(a.due, b.due) })
	return d.horizon(), nil
}

// page reads a page of one queue.
func (d *dueSearch) page(ctx context.Context, s *PushStore, n, limit int) (page []dueItem, err error) {
	q := &d.queues[n]
	out, err := s.client.Query(ctx, &dynamodb.QueryInput{
		TableName: &s.table, IndexName: aws.String(queueIndex), ExclusiveStartKey: q.from, Limit: aws.Int32(int32(min(limit, maxPage))),
		KeyConditionExpression:    aws.String("#queue = :queue AND #due <= :now"),
		ExpressionAttributeNames:  map[string]string{"#queue": attributeQueue, "#due": attributeDue},
		ExpressionAttributeValues: item{":queue": bin(queueKey(d.table, n)), ":now": num(d.now)},
	})
	if err != nil {
		return nil, err
	}
	for _, i := range out.Items {
		r := reader{item: i}
		q.last = r.signed(attributeDue)
		page = append(page, dueItem{q.last, recordAt(r.binary(attributeTable), r.binary(attributeRecord))})
		if r.err != nil {
			return nil, r.err
		}
	}
	q.from, q.ended = out.LastEvaluatedKey, out.LastEvaluatedKey == nil
	return page, nil
}
