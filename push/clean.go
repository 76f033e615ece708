package push

import (
	"context"

	"github.com/sockudo/caddy-sockudo/storage"
)

// cleaned are the tables whose records are removed when they are due, by the category of
// the metrics.
var cleaned = []struct{ table, category string }{
	{tableDead, "dead_letter"}, {tableEvents, "delivery_event"}, {tableQuotas, "quota"}, {tableTombstones, "tombstone"},
}

// clean removes what is old, as long as it has not removed too much at once.
func (p *Pipeline) clean(ctx context.Context) error {
	left := p.settings.CleanMost
	if err := p.forget(ctx, &left); err != nil {
		p.board.Metrics.cleanErrors.WithLabelValues("store", "publish_status").Inc()
		return err
	}
	for _, c := range cleaned {
		for left > 0 {
			records, err := p.due(ctx, c.table, min(p.settings.CleanBatch, left))
			if err != nil {
				p.board.Metrics.cleanErrors.WithLabelValues("store", c.category).Inc()
				return err
			}
			if len(records) == 0 {
				break
			}
			p.board.Metrics.cleanScanned.WithLabelValues(c.category).Add(float64(len(records)))
			if err := p.eraseAll(ctx, records, c.category); err != nil {
				return err
			}
			left -= len(records)
		}
	}
	return nil
}

// eraseAll removes records that nobody changes any more.
func (p *Pipeline) eraseAll(ctx context.Context, records []storage.PushRecord, category string) error {
	for len(records) > 0 {
		n := min(len(records), storage.MaxPushChanges)
		changes := make([]storage.PushChange, n)
		for i := range n {
			changes[i] = erase(records[i].Key)
		}
		if _, err := p.apply(ctx, changes...); err != nil {
			p.board.Metrics.cleanErrors.WithLabelValues("store", category).Inc()
			return err
		}
		p.board.Metrics.cleanDeleted.WithLabelValues(category).Add(float64(n))
		records = records[n:]
	}
	return nil
}

// forget removes publishes that ended long ago, with everything about them. What it has
// begun it finds again, because the note that they are due goes last.
func (p *Pipeline) forget(ctx context.Context, left *int) error {
	for *left > 0 {
		records, err := p.due(ctx, tableExpiries, min(p.settings.CleanBatch, *left))
		if err != nil || len(records) == 0 {
			return err
		}
		p.board.Metrics.cleanScanned.WithLabelValues("publish_status").Add(float64(len(records)))
		for i := range records {
			if *left <= 0 {
				return nil
			}
			if err := p.forgetOne(ctx, records[i].Key.App, records[i].Key.Name, records[i].Version, left); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Pipeline) forgetOne(ctx context.Context, app, id string, version uint64, left *int) error {
	group := id
	for {
		batches, err := p.settings.Store.List(ctx, recordQuery{App: app, Table: tableBatches, Group: &group, Limit: 50})
		if err != nil {
			return err
		}
		for i := range batches {
			if err := p.eraseGroup(ctx, app, tableResults, resultGroup(id, batches[i].Key.Name), left); err != nil {
				return err
			}
			jobs := key(app, tableJobs, id, batches[i].Key.Name)
			if _, err := p.apply(ctx, erase(jobs), erase(batches[i].Key)); err != nil {
				return err
			}
			*left -= 2
		}
		if len(batches) < 50 {
			break
		}
	}
	*left -= 3
	p.board.Metrics.cleanDeleted.WithLabelValues("publish_status").Inc()
	_, err := p.apply(ctx,
		erase(key(app, tableIntents, "", id)), erase(key(app, tablePublishes, "", id)),
		remove(key(app, tableExpiries, "", id), version))
	return err
}

func (p *Pipeline) eraseGroup(ctx context.Context, app, table, group string, left *int) error {
	for {
		records, err := p.settings.Store.List(ctx, recordQuery{App: app, Table: table, Group: &group, Limit: storage.MaxPushChanges})
		if err != nil || len(records) == 0 {
			return err
		}
		if err := p.eraseAll(ctx, records, "result"); err != nil {
			return err
		}
		*left -= len(records)
	}
}
