package history

import (
	"context"
	"encoding/json"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// RevisionsAt reads the newest version of each row that has been changed, as of the serial
// at.
func (l Log) RevisionsAt(ctx context.Context, head storage.LogHead, rows []storage.LogEntry, at uint64) (map[string]storage.LogEntry, error) {
	var subjects []string
	for i := range rows {
		if rows[i].Subject != "" {
			subjects = append(subjects, rows[i].Subject)
		}
	}
	if len(subjects) == 0 || head.Row == head.Serial || !l.Retention.Versions {
		return nil, nil
	}
	latest, err := l.Store.Latest(ctx, l.Key, head.Stream, subjects)
	if err != nil {
		return nil, err
	}
	for subject, e := range latest {
		if e.Serial <= at {
			continue
		}
		before, err := l.Store.Read(ctx, l.Key, head.Stream, storage.LogQuery{Subject: subject, To: at, Reverse: true, Limit: 1})
		if err != nil {
			return nil, err
		}
		if delete(latest, subject); len(before) > 0 {
			latest[subject] = before[0]
		}
	}
	return latest, nil
}

// Revision is what envelopes say of the version, nil for an event that cannot be
// changed.
func (r *Record) Revision() json.RawMessage {
	if r.MessageSerial == "" {
		return nil
	}
	v := protocol.Revision{
		Action: r.action(), Message: r.MessageSerial, Serial: r.VersionSerial, History: r.HistorySerial, At: r.VersionAt, Fragment: r.Fragment,
	}
	return v.AppendJSON()
}

// AsVersion is the message as readers of its versions see it, at its place in the log.
func (r *Record) AsVersion(channel string, e *storage.LogEntry) Version {
	row := r.HistorySerial
	if e.IsRow {
		row = e.Row
	}
	v := Version{
		Channel: channel, Action: r.action(), Fragment: r.Fragment, MessageSerial: r.MessageSerial, VersionSerial: r.VersionSerial,
		HistorySerial: row, DeliverySerial: e.Serial, At: r.VersionAt, ClientID: r.VersionClient, Description: r.Description, Metadata: r.Metadata,
	}
	v.Data, v.Extras = r.Data, r.extras(row)
	if name := r.name(); name != "" {
		v.Name = &name
	}
	return v
}
