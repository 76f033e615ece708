package history

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// AnnotationPage is a part of the annotations of a message, oldest first.
type AnnotationPage struct {
	Items []protocol.Annotation
	// Next is the serial after which it goes on, empty at the end.
	Next string
}

// At most annotationScan entries are looked at for one page. When those that are asked
// for are rare among the others of their message, a page has less than it could have.
const (
	annotationScan  = 10_000
	annotationChunk = 256
)

// List reads annotations of a message after a serial, at most limit: those of one
// type, or all for an empty one.
func (a Annotations) List(ctx context.Context, message, annotationType string, after uint64, limit int) (page AnnotationPage, err error) {
	head, err := a.Store.Head(ctx, a.Key())
	if errors.Is(err, storage.ErrNotFound) || err == nil && after >= head.Serial {
		return page, nil
	}
	if err != nil {
		return page, fmt.Errorf("annotations of %q: %w", a.Channel, err)
	}
	q := a.query()
	q.From, q.To, q.Subject, q.Limit = after+1, head.Serial, message, limit+1
	if annotationType != "" {
		q.Limit = max(q.Limit, annotationChunk)
	}
	for scanned := 0; ; {
		entries, err := a.Store.Read(ctx, a.Key(), head.Stream, q)
		if err != nil {
			return page, fmt.Errorf("annotations of %q: %w", a.Channel, err)
		}
		for i := range entries {
			one, err := annotationOf(&entries[i])
			if err != nil || annotationType != "" && one.Type != annotationType {
				continue // one that cannot be read is none
			}
			if len(page.Items) == limit {
				page.Next = page.Items[limit-1].Serial
				return page, nil
			}
			page.Items = append(page.Items, one)
		}
		if len(entries) < q.Limit {
			return page, nil
		}
		last := entries[len(entries)-1].Serial
		if scanned += len(entries); scanned >= annotationScan {
			page.Next = annotationSerial(last)
			return page, nil
		}
		q.From = last + 1
	}
}

// AppendJSON appends the page as clients get it (HTTP API, section 7.6).
func (p *AnnotationPage) AppendJSON(b []byte, channel, message string, limit int) []byte {
	b = protocol.AppendString(append(b, `{"channel":`...), channel)
	b = protocol.AppendString(append(b, `,"messageSerial":`...), message)
	b = strconv.AppendInt(append(b, `,"limit":`...), int64(limit), 10)
	b = strconv.AppendBool(append(b, `,"hasMore":`...), p.Next != "")
	b = append(b, `,"nextCursor":`...)
	if p.Next == "" {
		b = append(b, "null"...)
	} else {
		b = protocol.AppendString(b, p.Next)
	}
	b = append(b, `,"items":[`...)
	for i := range p.Items {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.Items[i].AppendJSON(b)
	}
	return append(b, `]}`...)
}
