package rest

import (
	"fmt"
	"strconv"

	"github.com/sockudo/caddy-sockudo/realtime/history"
)

// versionQuery is what a call for the versions of a message asks for (section 6.7): at
// most limit of them.
func (c *call) versionQuery(message string, limit int) (q history.VersionQuery, f *failure) {
	q.Message = message
	if q.Limit, f = c.limit(limit, "versions limit must be greater than 0"); f != nil {
		return q, f
	}
	if direction, given := c.query.Get("direction"); given {
		if q.OldestFirst = direction == "oldest_first"; !q.OldestFirst && direction != "newest_first" {
			return q, invalidInput.with(fmt.Sprintf("Invalid direction '%s'. Accepted values: newest_first, oldest_first", direction))
		}
	}
	if q.Cursor, _ = c.query.Get("cursor"); q.Cursor != "" {
		if err := history.CheckSerial("version_serial", q.Cursor); err != nil {
			return q, invalidInput.with(err.Error())
		}
	}
	return q, nil
}

// limit is the limit of a page: that of the query, but at most the one given. zero is
// the refusal of none.
func (c *call) limit(most int, zero string) (int, *failure) {
	text, given := c.query.Get("limit")
	if !given {
		return most, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	switch {
	case err != nil:
		return 0, invalidInput.with(fmt.Sprintf("limit must be a whole number: '%s'", text))
	case n == 0:
		return 0, invalidInput.with(zero)
	}
	return int(min(n, uint64(most))), nil
}
