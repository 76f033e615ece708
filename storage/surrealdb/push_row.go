package surrealdb

import (
	"math"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/storage"
)

// neverDue is when a record is due that has no time.
const neverDue = math.MaxInt64

// pushRowOf is a record as it is made.
func pushRowOf(c *storage.PushChange) map[string]any {
	value, due := c.Value, c.Due
	if value == nil {
		value = []byte{}
	}
	if due == 0 {
		due = neverDue
	}
	row := map[string]any{
		"app": spelled(c.Key.App), "tbl": spelled(c.Key.Table), "grp": spelled(c.Key.Group), "name": spelled(c.Key.Name),
		"version": c.Version, "due": due, "size": len(value), "value": value,
	}
	for i, n := range c.Counts {
		if n != 0 {
			row[counterField(i)] = n
		}
	}
	return row
}

// counterField is the field of a counter, which is there if something was ever added to it.
func counterField(i int) string { return "c" + strconv.Itoa(i) }

const keyColumns = "app, tbl, grp, name"

// pushColumns are what is asked for of a record, without its value.
var pushColumns = func() string {
	counts := make([]string, storage.PushCounts)
	for i := range counts {
		counts[i] = counterField(i) + " ?? 0"
	}
	return keyColumns + ", version, due, size, [" + strings.Join(counts, ", ") + "] AS counts"
}()

// pushRow is a record as it is read. The value may have been left out.
type pushRow struct {
	App     string  `json:"app"`
	Table   string  `json:"tbl"`
	Group   string  `json:"grp"`
	Name    string  `json:"name"`
	Version uint64  `json:"version"`
	Due     int64   `json:"due"`
	Size    int     `json:"size"`
	Counts  []int64 `json:"counts"`
	Value   raw     `json:"value"`
}

// key is that of the record.
func (r *pushRow) key() (k storage.PushKey, err error) {
	for _, part := range []struct {
		text string
		to   *string
	}{{r.App, &k.App}, {r.Table, &k.Table}, {r.Group, &k.Group}, {r.Name, &k.Name}} {
		if *part.to, err = unspelled(part.text); err != nil {
			return storage.PushKey{}, err
		}
	}
	if k.Check() != nil {
		return storage.PushKey{}, errForeign
	}
	return k, nil
}

// record is the record, with its value.
func (r *pushRow) record() (storage.PushRecord, error) {
	k, err := r.key()
	if err != nil {
		return storage.PushRecord{}, err
	}
	p := storage.PushRecord{Key: k, Version: r.Version, Due: r.Due}
	if r.Due == neverDue {
		p.Due = 0
	}
	if r.Version == 0 || r.Due <= 0 || len(r.Counts) != storage.PushCounts || read(r.Value, &p.Value) != nil || len(p.Value) != r.Size {
		return storage.PushRecord{}, errForeign
	}
	copy(p.Counts[:], r.Counts)
	return p, nil
}
