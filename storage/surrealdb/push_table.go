package surrealdb

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/surrealdb/surrealdb.go/pkg/models"

	"github.com/sockudo/caddy-sockudo/storage"
)

// pushID is the id of a record: short, and of letters only, whatever the key.
func (s *PushStore) pushID(k *storage.PushKey) models.RecordID {
	var all []byte
	for _, part := range []string{k.App, k.Table, k.Group, k.Name} {
		all = append(binary.BigEndian.AppendUint32(all, uint32(len(part))), part...)
	}
	sum := sha256.Sum256(all)
	return models.NewRecordID(s.table, base64.RawURLEncoding.EncodeToString(sum[:]))
}

// zeroMark stands before what means the bytes 0 and 1, of which the server's texts and
// indexes hold no 0.
const zeroMark = '\x01'

// spelled is a part of a key as a text, in an order that is that of the bytes. Most letters
// mean themselves.
func spelled(part string) string {
	var b strings.Builder
	for _, c := range []byte(part) {
		if c <= 1 {
			b.WriteRune(zeroMark)
			c++
		}
		b.WriteRune(rune(c))
	}
	return b.String()
}

// afterSpelled is behind a text in their order, and before all others that follow it.
func afterSpelled(text string) string { return text + string(zeroMark) }

// unspelled is the part that a text means.
func unspelled(text string) (string, error) {
	b := make([]byte, 0, len(text))
	marked := false
	for _, r := range text {
		switch {
		case r > 0xff, r == 0, marked && r > 2:
			return "", errForeign
		case r == zeroMark && !marked:
			marked = true
			continue
		case marked:
			r--
		}
		b, marked = append(b, byte(r)), false
	}
	if marked {
		return "", errForeign
	}
	return string(b), nil
}

func (s *PushStore) placeIndex() string { return s.table + "_place_idx" }
func (s *PushStore) dueIndex() string   { return s.table + "_due_idx" }

// pushIndexes are how the server describes the indexes.
var (
	pushPlace = regexp.MustCompile("(FIELDS|COLUMNS) `?app`?, `?tbl`?, `?grp`?, `?name`?$")
	pushDue   = regexp.MustCompile("(FIELDS|COLUMNS) `?tbl`?, `?due`?$")
)

// prepare makes the table if there is none, and tries to write: a server takes what a user
// changes who may only read, and does not do it. The index of what is due comes last: where
// it is, there is nothing to make.
func (s *PushStore) prepare(ctx context.Context) error {
	found, err := s.indexed(ctx)
	if err != nil {
		return err
	}
	if !found {
		if err := raced(ctx, func() error { return s.define(ctx) }); err != nil {
			return fmt.Errorf("making the table: %w", err)
		}
		if found, err = s.indexed(ctx); !found && err == nil {
			err = fmt.Errorf("the table %s has no index %s, though it was made", s.table, s.dueIndex())
		}
		if err != nil {
			return err
		}
	}
	return raced(ctx, func() error { return s.tryToWrite(ctx) })
}

func (s *PushStore) define(ctx context.Context) error {
	for _, statement := range []string{
		"DEFINE TABLE IF NOT EXISTS `" + s.table + "` SCHEMALESS",
		"DEFINE INDEX IF NOT EXISTS `" + s.placeIndex() + "` ON TABLE `" + s.table + "` FIELDS app, tbl, grp, name",
		"DEFINE INDEX IF NOT EXISTS `" + s.dueIndex() + "` ON TABLE `" + s.table + "` FIELDS tbl, due",
	} {
		if err := s.link.query(ctx, true, statement, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// tryToWrite makes a record that is gone again when the transaction is made.
func (s *PushStore) tryToWrite(ctx context.Context) error {
	id := s.pushID(&storage.PushKey{Name: strconv.FormatUint(storage.NewPushVersion(), 10)})
	vars := map[string]any{"id": id, "try": []map[string]any{{"id": id, "version": 1}}}
	text := "{ LET $made = (INSERT INTO `" + s.table + "` $try RETURN VALUE version); DELETE $id RETURN NONE; RETURN array::len($made) }"
	var made int
	err := s.link.query(ctx, true, text, vars, &made)
	if err == nil && made != 1 {
		err = errNoRight
	}
	return err
}

// indexed reports whether the indexes are there. It is an error if one is another one.
func (s *PushStore) indexed(ctx context.Context) (found bool, err error) {
	var info struct {
		Indexes map[string]any `json:"indexes"`
	}
	if err := s.link.query(ctx, true, "INFO FOR TABLE `"+s.table+"`", nil, &info); err != nil {
		return false, err
	}
	for name, is := range map[string]*regexp.Regexp{s.placeIndex(): pushPlace, s.dueIndex(): pushDue} {
		definition, ok := info.Indexes[name].(string)
		switch {
		case !ok:
			return false, nil
		case !is.MatchString(definition):
			return false, fmt.Errorf("the table is another one: its index %s is not that of push notifications", name)
		}
	}
	return true, nil
}
