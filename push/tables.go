package push

import (
	"github.com/sockudo/caddy-sockudo/storage"
)

// The tables of the store, and what the groups and names of their records are.
const (
	tableDevices     = "devices"      // "", device id
	tableClients     = "clients"      // client id, device id
	tableSubscribers = "subscribers"  // channel, device id
	tableInterests   = "interests"    // device id, channel
	tableChannels    = "channels"     // "", channel; the first counter is that of its subscribers
	tableCredentials = "credentials"  // "", credential id
	tableTemplates   = "templates"    // "", template id
	tablePublishes   = "publishes"    // "", publish id
	tableIntents     = "intents"      // "", publish id
	tableExpiries    = "expiries"     // "", publish id; when an ended publish is forgotten
	tableJobs        = "jobs"         // publish id, batch id; never changes
	tableResults     = "results"      // <publish id> NUL <batch id>, number
	tableBatches     = "batches"      // publish id, batch id
	tableOnce        = "once"         // "", idempotency key
	tableDead        = "dead_letters" // "", <20 digits of ms>:<id>
	tableEvents      = "events"       // publish id, <20 digits of ms>:<id>
	tableQuotas      = "quotas"       // "", day
	tableTombstones  = "tombstones"   // "", device id
)

// MaxName bounds ids and names of channels that the store keeps, in bytes.
const MaxName = 512

func key(app, table, group, name string) storage.PushKey {
	return storage.PushKey{App: app, Table: table, Group: group, Name: name}
}

// put writes a record over the one that has been read: absent, if that has no version.
func put(k storage.PushKey, old uint64, value any, due int64) storage.PushChange {
	return storage.PushChange{Op: storage.PushPut, Key: k, If: &old, Version: storage.NewPushVersion(), Due: due, Value: raw(value)}
}

// set writes a record whatever is there.
func set(k storage.PushKey, value any, due int64) storage.PushChange {
	c := put(k, 0, value, due)
	c.If = nil
	return c
}

// remove deletes the record that has been read.
func remove(k storage.PushKey, old uint64) storage.PushChange {
	return storage.PushChange{Op: storage.PushDelete, Key: k, If: &old}
}

// erase deletes a record whatever is there.
func erase(k storage.PushKey) storage.PushChange {
	return storage.PushChange{Op: storage.PushDelete, Key: k}
}

// check makes a change depend on a record that has been read.
func check(k storage.PushKey, old uint64) storage.PushChange {
	return storage.PushChange{Op: storage.PushCheck, Key: k, If: &old}
}
