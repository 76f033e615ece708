package push

import (
	"context"
	"fmt"
	"strconv"

	"github.com/sockudo/caddy-sockudo/storage"
)

type (
	recordKey   = storage.PushKey
	recordQuery = storage.PushQuery
)

const (
	// maxBatch bounds the recipients of a batch, and maxBatchBytes their record.
	maxBatch      = 500
	maxBatchBytes = 192 << 10
	// shortHash is how much of the hash of an address is kept with a batch.
	shortHash = 20
)

// notice is one notification of a batch. It never changes.
type notice struct {
	// Device is that of a registered recipient, whose address is read when it is sent.
	Device string     `json:"d,omitempty"`
	Direct *Recipient `json:"r,omitempty"`
	// Hash is the beginning of that of the address.
	Hash string `json:"h"`
}

// batch is how far a batch is. Its notices are in a record of their own.
type batch struct {
	Provider Kind `json:"provider"`
	Size     int  `json:"size"`
	// Owner sends it now, until Until, in Unix milliseconds, unless it says so again.
	Owner string `json:"owner,omitempty"`
	Until int64  `json:"until,omitempty"`
	// NextMS is when there is something to do again.
	NextMS int64 `json:"next,omitempty"`
	// Results is how many records of results there are.
	Results int `json:"results,omitempty"`
	// Marked says that there is a dead letter about refused notifications.
	Marked bool `json:"marked,omitempty"`
	Closed bool `json:"closed,omitempty"`
	// Replay says that a dead letter is sent again, which its publish does not count.
	Replay bool `json:"replay,omitempty"`
	// FirstMS is when its notices were first to be sent.
	FirstMS int64 `json:"first"`
}

// result is what has come of one attempt. The newest one of a notice counts.
type result struct {
	Index int `json:"i"`
	// End is empty for a notice that is tried again at NextMS.
	End       string `json:"e,omitempty"`
	Attempt   int    `json:"a"`
	NextMS    int64  `json:"n,omitempty"`
	AtMS      int64  `json:"t"`
	MessageID string `json:"m,omitempty"`
	Class     Class  `json:"c,omitempty"`
	Reason    string `json:"r,omitempty"`
}

// The ends of notices.
const (
	endSucceeded = "succeeded"
	endFailed    = "failed"
	endExpired   = "expired"
	endDead      = "dead_lettered"
)

// keptReason bounds the reason that is kept of a result, and maxMessageID the id, in bytes.
const (
	keptReason   = 160
	maxMessageID = 256
)

func batchKey(app, publish, name string) recordKey { return key(app, tableBatches, publish, name) }

func resultGroup(publish, batch string) string { return publish + "\x00" + batch }

func resultKey(app, publish, batch string, n int) recordKey {
	return key(app, tableResults, resultGroup(publish, batch), fmt.Sprintf("%08d", n))
}

func decodeBatch(r *storage.PushRecord) (*batch, error) {
	b := new(batch)
	return b, decode(r, b)
}

func decodeJobs(r *storage.PushRecord) (all []notice, err error) {
	return all, decode(r, &all)
}

// loadBatch reads a batch and what has come of its notices so far, by their number.
func (p *Pipeline) loadBatch(ctx context.Context, app, publish, name string, b *batch) (notices []notice, results []result, err error) {
	records, err := p.settings.Store.Get(ctx, key(app, tableJobs, publish, name))
	if err != nil {
		return nil, nil, fmt.Errorf("reading a batch: %w", err)
	}
	if records[0].Version == 0 {
		return nil, nil, fmt.Errorf("the notifications of a batch: %w", storage.ErrNotFound)
	}
	if notices, err = decodeJobs(&records[0]); err != nil {
		return nil, nil, err
	}
	results = make([]result, len(notices))
	if b.Results == 0 {
		return notices, results, nil
	}
	err = p.eachResult(ctx, app, publish, name, func(r *result) {
		if r.Index >= 0 && r.Index < len(results) {
			results[r.Index] = *r
		}
	})
	return notices, results, err
}

// eachResult reads all results of a batch in the order in which they came.
func (p *Pipeline) eachResult(ctx context.Context, app, publish, name string, do func(*result)) error {
	group, after := resultGroup(publish, name), ""
	for {
		records, err := p.settings.Store.List(ctx, recordQuery{App: app, Table: tableResults, Group: &group, AfterName: after, Limit: 200})
		if err != nil {
			return fmt.Errorf("reading the results of a batch: %w", err)
		}
		for i := range records {
			var some []result
			if err := decode(&records[i], &some); err != nil {
				return err
			}
			for j := range some {
				do(&some[j])
			}
		}
		if len(records) < 200 {
			return nil
		}
		after = records[len(records)-1].Key.Name
	}
}

// batchName is the id of a batch: the regime, the provider and a number.
func batchName(pub *publish, kind Kind, target, n int) string {
	prefix := "fast"
	if pub.Regime == shardPath {
		prefix = "shard-" + strconv.Itoa(target)
	}
	return prefix + "-batch-" + kind.Key() + "-" + strconv.Itoa(n)
}
