package push

import "sync"

// fair divides the batches that are sent at once among apps, so that one with much to send,
// or a slow receiver, leaves room for others.
type fair struct {
	mu      sync.Mutex
	running map[fairKey]int
}

type fairKey struct {
	kind Kind
	app  string
}

// enter takes a place for a batch, if the app may have one more: a quarter of all.
func (f *fair) enter(kind Kind, app string, all int) (leave func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := fairKey{kind, app}
	if f.running[k] >= max(1, all/4) {
		return nil, false
	}
	if f.running == nil {
		f.running = map[fairKey]int{}
	}
	f.running[k]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.running[k]--; f.running[k] == 0 {
			delete(f.running, k)
		}
	}, true
}
