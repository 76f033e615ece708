package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// node is a value of JSON and where it stands.
type node struct {
	line    int
	members []member // of an object
	list    []*node
	scalar  any // a string, a json.Number, a bool or nil
	kind    kind
}

type kind int

const (
	scalarKind kind = iota
	objectKind
	listKind
)

type member struct {
	name string
	node *node
}

// treeReader reads JSON and keeps its lines.
type treeReader struct {
	text []byte
	*json.Decoder
	// first is added to the number of each line.
	first int
	// counted lines end before offset.
	offset int64
	line   int
}

// readTree reads one value of JSON.
func readTree(name string, text []byte) (*node, error) {
	n, err := parseTree(text, 1)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", name, err)
	}
	return n, nil
}

// parseTree is readTree for text that begins at a line.
func parseTree(text []byte, first int) (*node, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !json.Valid(text) { // bounds the depth too
		var v any
		err := json.Unmarshal(text, &v)
		end := len(text)
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			end = min(end, int(syntax.Offset))
		}
		return nil, fmt.Errorf("%d: %w", first+bytes.Count(text[:end], []byte("\n")), err)
	}
	r := &treeReader{text: text, Decoder: json.NewDecoder(bytes.NewReader(text)), first: first}
	r.UseNumber()
	return r.value()
}

// here is the line that has been read up to.
func (r *treeReader) here() int {
	now := r.InputOffset()
	r.line += bytes.Count(r.text[r.offset:now], []byte("\n"))
	r.offset = now
	return r.first + r.line
}

func (r *treeReader) value() (*node, error) {
	token, err := r.Token()
	if err != nil {
		return nil, fmt.Errorf("%d: %w", r.here(), err)
	}
	n := &node{line: r.here(), scalar: token}
	switch token {
	case json.Delim('{'):
		n.kind, n.scalar = objectKind, nil
		err = r.object(n)
	case json.Delim('['):
		n.kind, n.scalar = listKind, nil
		for r.More() && err == nil {
			var one *node
			if one, err = r.value(); err == nil {
				n.list = append(n.list, one)
			}
		}
		if err == nil {
			_, err = r.Token()
		}
	}
	return n, err
}

func (r *treeReader) object(n *node) error {
	seen := map[string]bool{}
	for r.More() {
		token, err := r.Token()
		if err != nil {
			return fmt.Errorf("%d: %w", r.here(), err)
		}
		name, _ := token.(string)
		if seen[name] {
			return fmt.Errorf("%d: %s is written twice", r.here(), name)
		}
		seen[name] = true
		value, err := r.value()
		if err != nil {
			return err
		}
		n.members = append(n.members, member{name, value})
	}
	_, err := r.Token()
	return err
}

// flatten calls leaf for each value that has no further ones in it: scalars, lists of
// scalars, and what is empty. Paths have dots between their words.
func (n *node) flatten(path string, leaf func(path string, value any, line int)) {
	switch {
	case n.kind == objectKind && len(n.members) > 0:
		for _, m := range n.members {
			m.node.flatten(join(path, m.name), leaf)
		}
	case n.kind == listKind && !n.isPlain():
		for i, one := range n.list {
			one.flatten(join(path, strconv.Itoa(i)), leaf)
		}
	case n.kind == listKind:
		list := make([]any, len(n.list))
		for i, one := range n.list {
			list[i] = one.scalar
		}
		leaf(path, list, n.line)
	case n.kind == objectKind:
		leaf(path, emptyObject{}, n.line)
	default:
		leaf(path, n.scalar, n.line)
	}
}

// emptyObject is the value of an object without members.
type emptyObject struct{}

func (emptyObject) String() string { return "{}" }

// isPlain reports whether a list has scalars only.
func (n *node) isPlain() bool {
	for _, one := range n.list {
		if one.kind != scalarKind {
			return false
		}
	}
	return true
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
