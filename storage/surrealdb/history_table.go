package surrealdb

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/surrealdb/surrealdb.go/pkg/models"

	"github.com/sockudo/caddy-sockudo/storage"
)

// tables is what the names of the tables begin with. They need no quoting.
type tables string

func (t tables) logs() string     { return string(t) + "_log" }
func (t tables) entries() string  { return string(t) + "_entry" }
func (t tables) onces() string    { return string(t) + "_once" }
func (t tables) subjects() string { return string(t) + "_subject" }

// index is the name of the index that finds what is due.
func (t tables) index() string { return t.logs() + "_due_idx" }

// logID is the id of a log's record: short, and of letters only, whatever the key.
func logID(key storage.LogKey) string {
	text := binary.BigEndian.AppendUint32(nil, uint32(len(key.App)))
	sum := sha256.Sum256(append(append(text, key.App...), key.Channel...))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (t tables) log(id string) models.RecordID { return models.NewRecordID(t.logs(), id) }

// textOrBytes is how a text is stored: as one, so that people can read it, where that
// can be, and as bytes where not. One text is never stored both ways.
func textOrBytes(s string) any {
	if utf8.ValidString(s) && !strings.ContainsRune(s, 0) {
		return s
	}
	return []byte(s)
}

// branch is where the records of one log with one id are.
type branch struct {
	tables

	id, stream string
}

func (b branch) entry(serial uint64) models.RecordID {
	return models.NewRecordID(b.entries(), []any{b.id, textOrBytes(b.stream), serial})
}

func (b branch) once(text string) models.RecordID {
	return models.NewRecordID(b.onces(), []any{b.id, textOrBytes(b.stream), textOrBytes(text)})
}

// about is the record that says that an entry is about a subject. That of no serial
// says which one is the newest.
func (b branch) about(subject string, serial uint64) models.RecordID {
	return models.NewRecordID(b.subjects(), []any{b.id, textOrBytes(b.stream), textOrBytes(subject), serial})
}

type (
	included = models.BoundIncluded[any]
	span     = models.Range[any, included, included]
)

// from is the range of records from one to another of the same table. It had better
// be short: up to 3.0 at least the server goes through all of a range, whatever the
// LIMIT, and through all of it forwards where the last ones are asked for.
func from(first, last models.RecordID) models.RecordID {
	return models.NewRecordID(first.Table, &span{Begin: &included{Value: first.ID}, End: &included{Value: last.ID}})
}

// dueIndex is how the server describes the index.
var dueIndex = regexp.MustCompile("(FIELDS|COLUMNS) `?due`?$")

// prepare makes the tables if there are none. The index comes last: where it is, there
// is nothing to do, and reading rights are enough.
func (h *History) prepare(ctx context.Context) error {
	found, err := h.indexed(ctx)
	if found || err != nil {
		return err
	}
	err = raced(ctx, func() error { return h.define(ctx) })
	if err != nil {
		return fmt.Errorf("making the tables: %w", err)
	}
	if found, err = h.indexed(ctx); !found && err == nil {
		err = fmt.Errorf("the table %s has no index %s, though it was made", h.names.logs(), h.names.index())
	}
	return err
}

func (h *History) define(ctx context.Context) error {
	for _, table := range []string{h.names.logs(), h.names.entries(), h.names.onces(), h.names.subjects()} {
		if err := h.link.query(ctx, true, "DEFINE TABLE IF NOT EXISTS `"+table+"` SCHEMALESS", nil, nil); err != nil {
			return err
		}
	}
	return h.link.query(ctx, true, "DEFINE INDEX IF NOT EXISTS `"+h.names.index()+"` ON TABLE `"+h.names.logs()+"` FIELDS due", nil, nil)
}

// indexed reports whether the index is there. It is an error if it is another one.
func (h *History) indexed(ctx context.Context) (bool, error) {
	var info struct {
		Indexes map[string]any `json:"indexes"`
	}
	if err := h.link.query(ctx, true, "INFO FOR TABLE `"+h.names.logs()+"`", nil, &info); err != nil {
		return false, err
	}
	definition, ok := info.Indexes[h.names.index()].(string)
	switch {
	case !ok:
		return false, nil
	case !dueIndex.MatchString(definition):
		return false, fmt.Errorf("the table is another one: its index %s is not one of due", h.names.index())
	}
	return true, nil
}
