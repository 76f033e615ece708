package rest

import (
	"net/http"
	"strconv"

	"github.com/sockudo/caddy-sockudo/push"
)

// The number of items of a page.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// page is what part of a list is asked for.
type page struct {
	kind     push.CursorKind
	position string
	limit    int
}

// page reads limit and cursor.
func (c *call) page(kind push.CursorKind) (page, error) {
	p := page{kind: kind, limit: defaultLimit}
	if text, ok := c.in.Query.Get("limit"); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return p, errLimit
		}
		p.limit = n
	}
	text := c.in.Param("cursor")
	if text == "" {
		return p, nil
	}
	var first error
	for _, secret := range c.secrets() {
		position, err := push.DecodeCursor(secret, c.app, kind, text)
		if err == nil {
			p.position = position
			return p, nil
		}
		if first == nil {
			first = err
		}
	}
	return p, first
}

// list is the envelope of a page.
type list[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next_cursor"`
	More  bool    `json:"has_more"`
}

// listed answers with a page, and the cursor of the position where the rest begins.
func listed[T any](c *call, p page, items []T, next string) reply {
	l := list[T]{Items: items}
	if items == nil {
		l.Items = []T{}
	}
	if next != "" {
		cursor := push.EncodeCursor(c.in.App.Secret, c.app, p.kind, next)
		l.Next, l.More = &cursor, true
	}
	return reply{http.StatusOK, l}
}
