package scylladb

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/sockudo/caddy-sockudo/storage"
)

// row is a row of the table of apps, or nil if there is none. Values are string,
// int, bool or, for a moment, int64 in milliseconds; a column without one is null.
type row map[string]any

// targets are what the client reads a row into, in the order of columns.
func targets(columns []column) []any {
	to := make([]any, len(columns))
	for i, c := range columns {
		switch c.kind {
		case text:
			to[i] = new(*string)
		case number:
			to[i] = new(*int)
		case flag:
			to[i] = new(*bool)
		case moment:
			to[i] = new(*int64)
		}
	}
	return to
}

// rowOf is what was read.
func rowOf(columns []column, from []any) row {
	r := row{}
	for i, c := range columns {
		switch v := from[i].(type) {
		case **string:
			take(r, c.name, *v)
		case **int:
			take(r, c.name, *v)
		case **bool:
			take(r, c.name, *v)
		case **int64:
			take(r, c.name, *v)
		}
	}
	return r
}

func take[T any](r row, name string, value *T) {
	if value != nil {
		r[name] = *value
	}
}

// text is a column that holds text, empty if it is null.
func (r row) text(name string) string {
	s, _ := r[name].(string)
	return s
}

// holds reports whether a row is that of an app with a key.
func (r row) holds(key string) bool { return r != nil && r.text("key") == key }

// marks are the columns by which a change notices that a row is not as it was read.
// updated_at never has the same value again, and the others show changes of those
// who do not keep it.
var marks = []string{"key", "secret", "enabled", "policy", "updated_at"}

// same reports whether a row is as another one, by its marks.
func (r row) same(other row) bool {
	if r == nil || other == nil {
		return r == nil && other == nil
	}
	for _, name := range marks {
		if r[name] != other[name] {
			return false
		}
	}
	return true
}

// app is a row as an app: by its policy or, in one that Sockudo has written before
// there was one, by the flat columns. A broken one has its id and key.
func (r row) app() (app *storage.App, ignored []string, err error) {
	enabled, _ := r["enabled"].(bool)
	app = &storage.App{ID: r.text("id"), Key: r.text("key"), Secret: r.text("secret"), Enabled: enabled}
	for _, name := range []string{"key", "secret"} {
		if r.text(name) == "" {
			return app, nil, fmt.Errorf("column %s is empty", name)
		}
	}
	policy := []byte(r.text("policy"))
	if len(policy) == 0 || string(policy) == "null" {
		if policy, err = r.flat(); err != nil {
			return app, nil, err
		}
	}
	ignored, err = storage.UnmarshalPolicy(policy, app)
	return app, ignored, err
}

// flat is the policy that the flat columns make.
func (r row) flat() ([]byte, error) {
	members := map[string]json.RawMessage{}
	for name, value := range r {
		switch v := value.(type) {
		case int:
			members[name] = strconv.AppendInt(nil, int64(v), 10)
		case bool:
			if name != "enabled" {
				members[name] = strconv.AppendBool(nil, v)
			}
		case string:
			switch name {
			case "id", "key", "secret", "policy":
			default:
				members[name] = json.RawMessage(v)
			}
		}
		if text := members[name]; len(text) > 0 && !json.Valid(text) {
			return nil, fmt.Errorf("column %s is no JSON", name)
		}
	}
	return storage.PolicyOfFlat(members)
}

// rowFor is the row of an app: the flat columns, which older readers know, and the
// policy, which counts.
func rowFor(app *storage.App) (row, error) {
	policy, err := storage.MarshalPolicy(app)
	if err != nil {
		return nil, err
	}
	webhooks, err := storage.MarshalWebhooks(app)
	if err != nil {
		return nil, err
	}
	l, f := &app.Limits, &app.Features
	r := row{
		"id": app.ID, "key": app.Key, "secret": app.Secret, "enabled": app.Enabled, "policy": string(policy),
		"max_connections": l.MaxConnections, "max_client_events_per_second": l.MaxClientEventsPerSecond,
		"enable_client_messages":     f.ClientMessages,
		"enable_user_authentication": f.UserAuthentication, "enable_watchlist_events": f.WatchlistEvents,
	}
	if len(webhooks) > 0 {
		r["webhooks"] = string(webhooks)
	}
	for name, n := range map[string]int{
		"max_backend_events_per_second":    l.MaxBackendEventsPerSecond,
		"max_read_requests_per_second":     l.MaxReadRequestsPerSecond,
		"max_presence_members_per_channel": l.MaxPresenceMembersPerChannel,
		"max_presence_member_size_in_kb":   l.MaxPresenceMemberSizeInKB,
		"max_channel_name_length":          l.MaxChannelNameLength,
		"max_event_channels_at_once":       l.MaxEventChannelsAtOnce,
		"max_event_name_length":            l.MaxEventNameLength,
		"max_event_payload_in_kb":          l.MaxEventPayloadInKB,
		"max_event_batch_size":             l.MaxEventBatchSize,
	} {
		if n != 0 {
			r[name] = n
		}
	}
	for name, value := range r {
		if n, ok := value.(int); ok && n != int(int32(n)) {
			return nil, errors.New(name + " is larger than the table can hold")
		}
	}
	return r, nil
}
