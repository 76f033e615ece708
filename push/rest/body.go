package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sockudo/caddy-sockudo/push"
)

// maxDepth bounds objects and arrays in each other.
const maxDepth = 64

// readable refuses a body that is no JSON text, and one that two programs could read
// in two ways: a proxy that has looked at a member must have looked at the one that
// counts.
func (c *call) readable() error {
	if !isJSON(c.r.Header.Get("Content-Type")) {
		return errContentType
	}
	if !utf8.Valid(c.in.Body) {
		return push.Fault("body", "it is not valid UTF-8")
	}
	s := shape{d: json.NewDecoder(bytes.NewReader(c.in.Body))}
	s.d.UseNumber()
	return s.check()
}

// isJSON reports whether a content type is application/json, or anything +json.
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return false
	}
	return media == "application/json" || strings.Contains(media, "/") && strings.HasSuffix(media, "+json")
}

// free are members whose content is the caller's own: names that differ in case only
// are two names there.
var free = map[string]bool{"METADATA": true, "TEMPLATEDATA": true, "LOCALES": true, "PROVIDEROVERRIDES": true, "SERVICEACCOUNTJSON": true}

// shape goes through a JSON text.
type shape struct {
	d    *json.Decoder
	open []level
}

// level is an object or array that is not closed yet.
type level struct {
	object bool
	// free says that names that differ in case are different.
	free  bool
	names map[string]bool
	// name is the last member, and value says that its value comes next.
	name  string
	value bool
}

// check reads one value, and wants nothing after it.
func (s *shape) check() error {
	for first := true; first || len(s.open) > 0; first = false {
		token, err := s.d.Token()
		if err != nil {
			return push.Fault("body", "it is not valid JSON")
		}
		if err := s.take(token); err != nil {
			return err
		}
	}
	if _, err := s.d.Token(); !errors.Is(err, io.EOF) {
		return push.Fault("body", "there is more after the JSON value")
	}
	return nil
}

// take looks at one token.
func (s *shape) take(token json.Token) error {
	switch token {
	case json.Delim('}'), json.Delim(']'):
		s.open = s.open[:len(s.open)-1]
		return nil
	}
	inFree := false
	if n := len(s.open); n > 0 {
		top := &s.open[n-1]
		if top.object && !top.value {
			return top.member(token)
		}
		top.value = false
		inFree = top.free || top.object && free[fold(top.name)]
	}
	switch token {
	case json.Delim('{'):
		s.open = append(s.open, level{object: true, free: inFree, names: map[string]bool{}})
	case json.Delim('['):
		s.open = append(s.open, level{free: inFree})
	}
	if len(s.open) > maxDepth {
		return push.Fault("body", "it has more than %d objects and arrays in each other", maxDepth)
	}
	return nil
}

// member takes the name of a member.
func (l *level) member(token json.Token) error {
	l.name, _ = token.(string) // the decoder takes nothing else
	l.value = true
	known := l.name
	if !l.free {
		known = fold(known)
	}
	if l.names[known] {
		return push.Fault("body", "a member is there twice: %s", bounded(l.name))
	}
	l.names[known] = true
	return nil
}

// fold is the same for names that a decoder of JSON may take for one another.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r { // the least of them
				return next
			}
			r = next
		}
	}, name)
}
