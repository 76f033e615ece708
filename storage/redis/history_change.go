package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/sockudo/caddy-sockudo/storage"
)

// trimEntries is how many entries one script removes, and trimSize how many bytes of
// payloads, besides one entry.
const (
	trimEntries = 500
	trimSize    = 32 << 20
)

// Trim removes the oldest entries, in steps between which others are served.
func (h *History) Trim(ctx context.Context, key storage.LogKey, stream string, before uint64) error {
	if err := checkLog(key); err != nil {
		return err
	}
	for {
		_, rest, err := h.run(ctx, trimLog, key, logName(key), stream, clamp(before), trimEntries, trimSize)
		if err != nil {
			return err
		}
		if len(rest) != 1 || rest[0] != int64(1) {
			return nil
		}
	}
}

// Reset removes everything of a log, and begins another. It is how a log that a
// failover has degraded goes on.
func (h *History) Reset(ctx context.Context, key storage.LogKey, fresh string) error {
	if err := (&storage.LogAppend{Key: key, Fresh: fresh}).Check(); err != nil {
		return err
	}
	_, _, err := h.run(ctx, resetLog, key, logName(key), fresh)
	return err
}

// maxStateText bounds what is noted of a state, in bytes.
const maxStateText = 4096

// Mark notes a state. One that a failover has given stays until the log is reset.
func (h *History) Mark(ctx context.Context, key storage.LogKey, stream string, state storage.LogState) error {
	if len(state.Name)+len(state.Reason)+len(state.Node) > maxStateText {
		return fmt.Errorf("log: a state of more than %d bytes", maxStateText)
	}
	if err := checkLog(key); err != nil {
		return err
	}
	if state.Since > maxNumber {
		return errors.New("log: since is not in Unix milliseconds")
	}
	_, _, err := h.run(ctx, markLog, key, stream, state.Name, state.Reason, state.Node, state.Since)
	return err
}
