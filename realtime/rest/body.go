package rest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"
)

// readBody reads the body into the call's buffer. The buffer grows with what has
// come, whatever the request announces, and never over the cap.
func (c *call) readBody() *failure {
	limit := c.settings().HTTP.MaxBody
	if c.r.ContentLength > limit {
		return c.tooLarge(limit)
	}
	if n := c.r.ContentLength; n > int64(cap(c.body)) {
		c.body = slices.Grow(c.body, int(min(n+1, keepBuffer)))
	}
	reader := http.MaxBytesReader(c.w, c.r.Body, limit)
	for {
		if len(c.body) == cap(c.body) {
			c.body = slices.Grow(c.body, 512)
		}
		n, err := reader.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return c.unreadable(err, limit)
		}
	}
}

func (c *call) unreadable(err error, limit int64) *failure {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return c.tooLarge(limit)
	}
	c.settings().Log.Debug("reading a request body", zap.Error(err))
	return errInternal
}

// tooLarge refuses a body over the cap. The rest of it is not waited for, so the
// connection cannot be used again; HTTP/2 resets the stream by itself.
func (c *call) tooLarge(limit int64) *failure {
	if c.r.ProtoMajor == 1 {
		c.w.Header().Set("Connection", "close")
	}
	return payloadTooLarge.with(fmt.Sprintf("Request body exceeds the limit of %d bytes", limit))
}

// document is the body as a JSON object. Events travel on in text frames, so
// what is not UTF-8 is refused here.
func (c *call) document() ([]byte, *failure) {
	if !isJSON(c.r.Header.Get("Content-Type")) {
		return nil, errContentType
	}
	text := bytes.Trim(c.body, " \t\r\n")
	switch {
	case !utf8.Valid(text):
		return nil, errNotUTF8
	case !validJSON(text):
		return nil, errSyntax
	case text[0] != '{':
		return nil, wrongShape.with("Request body must be a JSON object")
	}
	return text, nil
}

// isJSON reports whether a content type is JSON: application/json, or
// application/ anything +json.
func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return false
	}
	return media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}
