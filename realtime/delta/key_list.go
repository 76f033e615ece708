package delta

// keyList holds the runs of the conflation keys of a channel in the order of their
// last use.
type keyList struct {
	entries        map[string]*keyEntry
	newest, oldest *keyEntry
}

type keyEntry struct {
	key          string
	run          sequenceRun
	newer, older *keyEntry
}

// use finds the run of a key, or begins one. While that makes more than limit, the one
// that was not used for longest leaves. hold is the longest that those which left
// demand of their successors.
func (l *keyList) use(key string, limit int) (run *sequenceRun, hold uint64) {
	e := l.entries[key]
	if e == nil {
		if l.entries == nil {
			l.entries = make(map[string]*keyEntry)
		}
		e = &keyEntry{key: key}
		l.entries[key] = e
	} else {
		l.unlink(e)
	}
	l.link(e)
	for len(l.entries) > limit {
		last := l.oldest
		l.unlink(last)
		delete(l.entries, last.key)
		hold = max(hold, last.run.holdAfter())
	}
	return &e.run, hold
}

func (l *keyList) link(e *keyEntry) {
	e.newer, e.older = nil, l.newest
	if l.newest != nil {
		l.newest.newer = e
	} else {
		l.oldest = e
	}
	l.newest = e
}

func (l *keyList) unlink(e *keyEntry) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		l.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		l.oldest = e.newer
	}
	e.newer, e.older = nil, nil
}
