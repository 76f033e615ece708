package realtime

import (
	"sync"
	"time"
)

const (
	// maxJournal bounds what is remembered, in subjects.
	maxJournal = 10000
	// lonelyAfter is how long everything is remembered after the network is whole again.
	lonelyAfter = time.Minute
	// lonelyFor is how long a node is waited for. One that was killed never comes back.
	lonelyFor = time.Hour
)

// journal remembers what this node has told webhooks lately, for nodes that have
// not heard of it: with everything that a node tells goes what it has told last, as
// long as nobody else has told something later.
//
// While other nodes are out of reach, who see and tell the opposite, all of it is
// remembered. When one of them is back it is said to everybody again: what was told
// last, here, is then what counts, and the owner tells what has become of it since.
type journal struct {
	mu   sync.Mutex
	lost map[string]time.Time // nodes that went silent, and when
	told map[journalSubject]journalEntry
	over time.Time // when nobody was missing any more
}

type journalSubject struct {
	app string
	subject
}

type journalEntry struct {
	lastWord
	since time.Time
}

// lose says that a node went silent.
func (j *journal) lose(node string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lost == nil {
		j.lost = map[string]time.Time{}
	}
	if len(j.lost) < maxWindows {
		j.lost[node] = time.Now()
	}
}

// add takes what was told of a subject.
func (j *journal) add(app string, s subject, word lastWord) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.told == nil {
		j.told = map[journalSubject]journalEntry{}
	}
	if key := (journalSubject{app, s}); len(j.told) < maxJournal || j.told[key] != (journalEntry{}) {
		j.told[key] = journalEntry{word, time.Now()}
	}
}

// has reports whether this node was the last to tell of a subject.
func (j *journal) has(app string, s subject) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, ok := j.told[journalSubject{app, s}]
	return ok
}

// remove forgets a subject that another node has told since.
func (j *journal) remove(app string, s subject) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.told, journalSubject{app, s})
}

// of are the entries of one app.
func (j *journal) of(app string) map[subject]lastWord {
	j.mu.Lock()
	defer j.mu.Unlock()
	told := map[subject]lastWord{}
	for s, e := range j.told {
		if s.app == app {
			told[s.subject] = e.lastWord
		}
	}
	return told
}

// find says that a node is there. The result is what everybody is to be told, if it
// was missing before.
func (j *journal) find(node string) map[journalSubject]lastWord {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, was := j.lost[node]; !was {
		return nil
	}
	delete(j.lost, node)
	if len(j.lost) == 0 {
		j.over = time.Now()
	}
	told := make(map[journalSubject]lastWord, len(j.told))
	for s, e := range j.told {
		told[s] = e.lastWord
	}
	return told
}

// prune forgets what is of no use any more. While no node is missing that is what
// is older than recent. It reports whether that is so.
func (j *journal) prune(now time.Time, recent time.Duration) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for node, since := range j.lost {
		if now.Sub(since) > lonelyFor {
			delete(j.lost, node)
			j.over = now
		}
	}
	if len(j.lost) > 0 || now.Sub(j.over) < lonelyAfter {
		return false
	}
	for s, e := range j.told {
		if now.Sub(e.since) > recent {
			delete(j.told, s)
		}
	}
	return true
}
