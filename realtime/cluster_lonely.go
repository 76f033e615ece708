package realtime

import (
	"maps"
	"sync"
	"time"
)

const (
	// maxLonely bounds what is remembered of a division of the network.
	maxLonely = 10000
	// lonelyAfter is how long it is remembered after the network is whole again.
	lonelyAfter = time.Minute
	// lonelyFor is how long a node is waited for. One that was killed never comes back.
	lonelyFor = time.Hour
)

// lonely remembers what this node has told webhooks while others were out of
// reach, who saw and told the opposite. When one of them is back, it is said to
// everybody again: what was told last, here, is then what counts, and the owner
// tells what has become of it since.
type lonely struct {
	mu   sync.Mutex
	lost map[string]time.Time // nodes that went silent, and when
	told map[lonelySubject]int
	over time.Time // when nobody was missing any more
}

type lonelySubject struct {
	app string
	subject
}

// lose says that a node went silent.
func (l *lonely) lose(node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil {
		l.lost, l.told = map[string]time.Time{}, map[lonelySubject]int{}
	}
	if len(l.lost) < maxWindows {
		l.lost[node] = time.Now()
	}
}

func (l *lonely) add(app string, s subject, value int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lost) > 0 && len(l.told) < maxLonely {
		l.told[lonelySubject{app, s}] = value
	}
}

func (l *lonely) has(app string, s subject) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.told[lonelySubject{app, s}]
	return ok
}

// remove forgets a subject that another node has told since.
func (l *lonely) remove(app string, s subject) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.told, lonelySubject{app, s})
}

// find says that a node is there. The result is what it is to be told, if it was
// missing before.
func (l *lonely) find(node string) map[lonelySubject]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, was := l.lost[node]; !was {
		return nil
	}
	delete(l.lost, node)
	if len(l.lost) == 0 {
		l.over = time.Now()
	}
	told := make(map[lonelySubject]int, len(l.told))
	maps.Copy(told, l.told)
	return told
}

// end forgets what is of no use any more.
func (l *lonely) end(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for node, since := range l.lost {
		if now.Sub(since) > lonelyFor {
			delete(l.lost, node)
			l.over = now
		}
	}
	if len(l.told) > 0 && len(l.lost) == 0 && now.Sub(l.over) > lonelyAfter {
		clear(l.told)
	}
}
