package sockudo

import (
	"maps"
	"reflect"
)

var historyType = reflect.TypeFor[HistoryConfig]()

// The words of Sockudo for history, its versions and annotations.
var (
	// retentionAliases are how it calls the time for which anything is kept: in its page,
	// and in its files and records.
	retentionAliases = map[string]alias{
		"retention_seconds": {"retention", unit("s")}, "retention_window_seconds": {"retention", unit("s")},
	}
	// historyAliases are those of the history of events besides.
	historyAliases = merged(retentionAliases, map[string]alias{
		"rewind_enabled": {"rewind", nil}, "max_messages_per_channel": {"max_items_per_channel", nil},
	})
	annotationsAlias = map[string]alias{"annotations_enabled": {"annotations", nil}}
	// purgeSteps are how much goes at once, which each driver knows best.
	purgeSteps = map[string]needlessError{
		"purge_batch_size":   {reason: "drivers remove what is to go in steps of their own"},
		"max_purge_per_tick": {reason: "drivers remove what is to go in steps of their own"},
	}
	// purgeElsewhere are words about versions that go with their messages.
	purgeElsewhere = map[string]string{
		"purge_interval":         "history, which keeps versions too: history { purge_interval DURATION }",
		"purge_interval_seconds": "history, which keeps versions too: history { purge_interval_seconds N }",
	}
)

// merged are the aliases of two lists.
func merged(a, b map[string]alias) map[string]alias {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}
