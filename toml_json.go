package sockudo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// jsonBuilder builds the tree of JSON.
type jsonBuilder struct {
	text    []byte
	decoder *json.Decoder
	// counted is how much of the text the lines were counted of, and line its last one.
	counted, line int
}

// parseFileJSON reads the tree in JSON, as files of Sockudo may have it.
func parseFileJSON(text []byte) (*fileNode, error) {
	b := &jsonBuilder{text: text, decoder: json.NewDecoder(bytes.NewReader(text)), line: 1}
	if !json.Valid(text) { // which bounds the depth too
		var v any
		err := json.Unmarshal(text, &v)
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, placedError{b.lineAt(int(syntax.Offset)), err.Error()}
		}
		return nil, placedError{1, fmt.Sprint("it is no JSON: ", err)}
	}
	b.decoder.UseNumber()
	n, err := b.read("")
	if err != nil {
		return nil, err
	}
	if _, err := b.decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, placedError{b.here(), "something stands behind the object"}
	}
	return n, nil
}

// here is the line of the token that was read last.
func (b *jsonBuilder) here() int { return b.lineAt(int(b.decoder.InputOffset())) }

func (b *jsonBuilder) lineAt(offset int) int {
	if offset = min(offset, len(b.text)); offset > b.counted {
		b.line += bytes.Count(b.text[b.counted:offset], []byte("\n"))
		b.counted = offset
	}
	return b.line
}

func (b *jsonBuilder) read(path string) (*fileNode, error) {
	token, err := b.decoder.Token()
	if err != nil {
		return nil, err
	}
	n := &fileNode{b.here(), path, token}
	switch token {
	case json.Delim('{'):
		table := fileTable{}
		for b.decoder.More() {
			key, err := b.decoder.Token()
			if err != nil {
				return nil, err
			}
			name, line := key.(string), b.here()
			if table[name] != nil {
				return nil, placedError{line, join(path, name) + " is written twice"}
			}
			if table[name], err = b.read(join(path, name)); err != nil {
				return nil, err
			}
			table[name].line = line
		}
		n.value = table
		_, err = b.decoder.Token()
	case json.Delim('['):
		list := []*fileNode{}
		for b.decoder.More() {
			element, err := b.read(join(path, strconv.Itoa(len(list))))
			if err != nil {
				return nil, err
			}
			list = append(list, element)
		}
		n.value = list
		_, err = b.decoder.Token()
	}
	return n, err
}
