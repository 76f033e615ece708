package scylladb

import (
	"slices"

	"github.com/sockudo/caddy-sockudo/storage"
)

// pushKeyIs names one record.
const pushKeyIs = " WHERE app = ? AND tbl = ? AND grp = ? AND name = ?"

func pushKeyValues(key *storage.PushKey) []any {
	return []any{[]byte(key.App), []byte(key.Table), []byte(key.Group), []byte(key.Name)}
}

// statement is a change of a record that is as it was read, nil for none, and of no
// other. What does not need the counters does not mind that others add to them.
func (a *applying) statement(c *storage.PushChange, r *pushRow) (statement string, args []any) {
	key := pushKeyValues(&c.Key)
	makes := c.Op == storage.PushPut || c.Op == storage.PushAdd
	if r == nil && makes {
		return "INSERT INTO " + a.s.table + " (app, tbl, grp, name, version, stamp, due, note, bucket, value, counts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS",
			slices.Concat(key, a.content(c), []any{countsText(c.Counts)})
	}
	if r == nil { // there is nothing to remove: it only must stay so
		return "DELETE FROM " + a.s.table + pushKeyIs + " IF version = ?", append(key, nil)
	}
	const set, content = "UPDATE ", " SET version = ?, stamp = ?, due = ?, note = ?, bucket = ?, value = ?"
	asVersion, asStamp := append(key, r.Version), append(slices.Clone(key), []byte(r.stamp))
	adds := c.Counts != [storage.PushCounts]int64{}
	sum := r.Counts
	for i, n := range c.Counts {
		sum[i] += n
	}
	switch {
	case c.Op == storage.PushDelete:
		return "DELETE FROM " + a.s.table + pushKeyIs + " IF version = ?", asVersion
	case c.Op == storage.PushPut && adds:
		return set + a.s.table + content + ", counts = ?" + pushKeyIs + " IF stamp = ?", slices.Concat(a.content(c), []any{countsText(sum)}, asStamp)
	case c.Op == storage.PushPut:
		return set + a.s.table + content + pushKeyIs + " IF version = ?", slices.Concat(a.content(c), asVersion)
	case c.Op == storage.PushAdd && adds:
		return set + a.s.table + " SET stamp = ?, counts = ?" + pushKeyIs + " IF stamp = ?", slices.Concat([]any{[]byte(a.id), countsText(sum)}, asStamp)
	}
	return set + a.s.table + " SET version = ?" + pushKeyIs + " IF version = ?", slices.Concat([]any{r.Version}, asVersion) // it only must stay so
}

// content are the columns of a record that is put, but for its counters.
func (a *applying) content(c *storage.PushChange) []any {
	id, bucket := "", int64(0)
	if c.Due > 0 {
		id, bucket = a.id, a.bucketOf(c)
	}
	return []any{c.Version, []byte(a.id), c.Due, []byte(id), bucket, append([]byte{}, c.Value...)}
}
