package sockudo

import "sync"

// maxTold bounds the apps that are warned of one by one.
const maxTold = 1000

// toldApps are apps that the log has warned of.
type toldApps struct {
	mu   sync.Mutex
	told map[string]bool
}

// first reports whether an app has not been warned of yet, and should be now.
func (t *toldApps) first(app string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.told[app] || len(t.told) >= maxTold {
		return false
	}
	if t.told == nil {
		t.told = map[string]bool{}
	}
	t.told[app] = true
	return true
}
