package surrealdb

import (
	"context"
	"hash/maphash"
	"slices"

	"github.com/sockudo/caddy-sockudo/storage"
)

// latches put in order what changes the same records from here, so that only the
// transactions of other nodes are in their way, and have to be made again. Several records
// may share one.
type latches struct {
	seed  maphash.Seed
	gates []chan struct{} // each holds a value while somebody has it
}

const pushLatches = 1024

func newLatches() latches {
	l := latches{maphash.MakeSeed(), make([]chan struct{}, pushLatches)}
	for i := range l.gates {
		l.gates[i] = make(chan struct{}, 1)
	}
	return l
}

// hold takes the latches of changes, one after the other in their order, so that nobody
// waits in a circle.
func (l *latches) hold(ctx context.Context, changes []storage.PushChange) (letGo func(), err error) {
	places := make([]int, len(changes))
	for i := range changes {
		places[i] = int(maphash.Comparable(l.seed, changes[i].Key) % pushLatches)
	}
	slices.Sort(places)
	places = slices.Compact(places)
	held := 0
	letGo = func() {
		for _, place := range places[:held] {
			<-l.gates[place]
		}
	}
	for _, place := range places {
		select {
		case l.gates[place] <- struct{}{}:
			held++
		case <-ctx.Done():
			letGo()
			return nil, ctx.Err()
		}
	}
	return letGo, nil
}
