package surrealdb

import (
	"context"
	"fmt"
	"regexp"
	"time"
)

// OpenTimeout is how long opening may take. The index of a table that has many
// records already is not made at once.
const OpenTimeout = 30 * time.Second

// uniqueKey is how the server describes the index.
var uniqueKey = regexp.MustCompile("(FIELDS|COLUMNS) `?key`? UNIQUE")

// index is the name of the index that makes keys unique.
func (m *AppManager) index() string { return m.table + "_key_idx" }

// prepare makes the table and its index if there are none. Others may do so at the
// same time. What is there is not touched, so that reading rights are enough for it.
func (m *AppManager) prepare(ctx context.Context) error {
	found, err := m.indexed(ctx)
	if found || err != nil {
		return err
	}
	err = raced(ctx, func() error { return m.define(ctx) })
	if err != nil {
		return fmt.Errorf("making the table: %w", err)
	}
	if found, err = m.indexed(ctx); !found && err == nil {
		err = fmt.Errorf("the table has no index %s, though it was made", m.index())
	}
	return err
}

func (m *AppManager) define(ctx context.Context) error {
	for _, statement := range []string{
		"DEFINE TABLE IF NOT EXISTS `" + m.table + "` SCHEMALESS",
		"DEFINE INDEX IF NOT EXISTS `" + m.index() + "` ON TABLE `" + m.table + "` FIELDS key UNIQUE",
	} {
		if err := m.link.query(ctx, true, statement, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// indexed reports whether the index is there. It is an error if it is another one.
func (m *AppManager) indexed(ctx context.Context) (bool, error) {
	var info struct {
		Indexes map[string]any `json:"indexes"`
	}
	if err := m.link.query(ctx, true, "INFO FOR TABLE `"+m.table+"`", nil, &info); err != nil {
		return false, err
	}
	definition, ok := info.Indexes[m.index()].(string)
	switch {
	case !ok:
		return false, nil
	case !uniqueKey.MatchString(definition):
		return false, fmt.Errorf("the table is another one: its index %s does not make key unique", m.index())
	}
	return true, nil
}
