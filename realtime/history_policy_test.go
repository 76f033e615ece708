package realtime

import (
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// What a namespace says goes before the app, and what the app says before the hub; what
// nobody has an own word for is the hub's.
//
// Checklist: configuration 45
func TestNarrowerPlacesGoFirst(t *testing.T) {
	s := DefaultSettings()
	s.History.Enabled, s.History.Retention, s.History.MaxItems, s.History.MaxBytes = true, time.Hour, 100, 1000
	s.Recovery.Enabled, s.Recovery.BufferSize, s.Recovery.TTL = true, 1000, time.Hour
	app := &storage.App{
		ID:       "app-id",
		History:  storage.AppHistory{Retention: 30 * time.Minute, MaxItems: 50},
		Recovery: storage.AppRecovery{BufferSize: 50},
		Namespaces: map[string]*storage.Namespace{
			"chat":  {Name: "chat", History: storage.AppHistory{Retention: time.Minute}},
			"plain": {Name: "plain"},
		},
	}
	l := Live{Settings: &s}
	for channel, want := range map[string]struct {
		age         time.Duration
		rows, bytes uint64
	}{
		"chat:1":  {time.Minute, 50, 1000},
		"plain:1": {30 * time.Minute, 50, 1000},
		"room":    {30 * time.Minute, 50, 1000},
	} {
		if r := l.HistoryPolicy(app, channel).Retention; r.Age != want.age || uint64(r.Rows) != want.rows || uint64(r.Bytes) != want.bytes {
			t.Errorf("%s is kept as %+v, want %+v", channel, r, want)
		}
	}
	if r := l.HistoryPolicy(&storage.App{ID: "other"}, "chat:1").Retention; r.Age != time.Hour || r.Rows != 100 {
		t.Errorf("an app that says nothing is kept as %+v", r)
	}
	if r := newRecovery(app, &s); r.size != 50 || r.ttl != time.Hour {
		t.Errorf("recovery is %+v", r)
	}
}
