package storage

import (
	"strings"
	"sync"

	"go.uber.org/zap"
)

// AppNotes logs what is odd about the records of an app manager, each oddity once
// until it changes. The zero value logs nothing.
type AppNotes struct {
	// Store names the driver and its place, without secrets.
	Store string
	Log   *zap.Logger

	mu     sync.Mutex
	told   map[string]string // what was told, by app id
	broken map[string]struct{}
}

// UnreadableApps is an AppManager that counts the records it cannot read. Its apps
// are not served, and the others are.
type UnreadableApps interface {
	// UnreadableApps is the number of such records, as far as they have been met.
	UnreadableApps() int
}

// Note takes what reading a record has shown: members that nobody has use for, or
// an error. Both nil say that all is well.
func (n *AppNotes) Note(id string, ignored []string, broken error) {
	text := strings.Join(ignored, ", ")
	if broken != nil {
		text = broken.Error()
	}
	n.mu.Lock()
	same := n.told[id] == text
	if n.told == nil {
		n.told, n.broken = map[string]string{}, map[string]struct{}{}
	}
	if n.told[id] = text; text == "" {
		delete(n.told, id)
	}
	if delete(n.broken, id); broken != nil {
		n.broken[id] = struct{}{}
	}
	n.mu.Unlock()
	switch {
	case same || n.Log == nil:
	case broken != nil:
		n.Log.Error("an app's record cannot be read, so the app is not served", zap.String("store", n.Store), zap.String("app", id), zap.Error(broken))
	case text != "":
		n.Log.Warn("an app's record says what this version has no use for", zap.String("store", n.Store), zap.String("app", id), zap.Strings("ignored", ignored))
	}
}

// UnreadableApps is the number of records that could not be read when they were
// last met.
func (n *AppNotes) UnreadableApps() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.broken)
}
