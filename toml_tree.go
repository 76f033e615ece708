package sockudo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// fileNode is a value in a file of Sockudo, with the place where it is written.
type fileNode struct {
	line int
	path string // with dots, as in a message
	// value is a fileTable, a []*fileNode, a string, a json.Number, a bool, nil, or a
	// fileDate.
	value any
}

// fileTable is a table or an object.
type fileTable map[string]*fileNode

// fileDate is a date or a time, which no key takes.
type fileDate string

// like makes a value that stands for another one, and is found where that is.
func (n *fileNode) like(value any) *fileNode { return &fileNode{n.line, n.path, value} }

// table is the table of a value, or none.
func (n *fileNode) table() fileTable {
	if n == nil {
		return nil
	}
	t, _ := n.value.(fileTable)
	return t
}

// get is the value at a path, or nil.
func (n *fileNode) get(path ...string) *fileNode {
	for _, key := range path {
		n = n.table()[key]
	}
	return n
}

// take is get, and removes the value.
func (n *fileNode) take(path ...string) *fileNode {
	last := len(path) - 1
	t := n.get(path[:last]...).table()
	found := t[path[last]]
	delete(t, path[last])
	return found
}

// keys are those of a table, in the order of the file.
func (n *fileNode) keys() []string {
	t := n.table()
	keys := sortedKeys(t)
	slices.SortStableFunc(keys, func(a, b string) int { return t[a].line - t[b].line })
	return keys
}

// describe is a value as a message shows it.
func (n *fileNode) describe() string {
	switch v := n.value.(type) {
	case fileTable:
		return "a table"
	case []*fileNode:
		return "a list"
	case string:
		return strconv.Quote(v)
	case nil:
		return "null"
	default:
		return fmt.Sprint(v)
	}
}

// placedError is an error with its place in the file.
type placedError struct {
	line int
	text string
}

func (e placedError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

// parseFile reads TOML, or the same tree in JSON.
func parseFile(text []byte) (*fileNode, error) {
	if bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		return parseFileJSON(text)
	}
	return parseFileTOML(text)
}

// parseFileTOML reads TOML twice: the library tells what is valid, and where every key
// stands.
func parseFileTOML(text []byte) (*fileNode, error) {
	var valid map[string]any
	if err := toml.Unmarshal(text, &valid); err != nil {
		if where, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, _ := where.Position()
			return nil, placedError{line, strings.TrimPrefix(where.Error(), "toml: ")}
		}
		return nil, placedError{1, err.Error()}
	}
	b := &treeBuilder{root: &fileNode{1, "", fileTable{}}}
	b.parser.Reset(text)
	here := b.root
	for b.parser.NextExpression() {
		switch e := b.parser.Expression(); e.Kind {
		case unstable.Table:
			here = b.descend(b.root, e.Key(), false)
		case unstable.ArrayTable:
			here = b.descend(b.root, e.Key(), true)
		case unstable.KeyValue:
			b.assign(here, e)
		default: // an expression is nothing else
		}
	}
	return b.root, b.parser.Error()
}

// treeBuilder builds the tree of TOML that was found valid.
type treeBuilder struct {
	parser unstable.Parser
	root   *fileNode
}

func (b *treeBuilder) line(n *unstable.Node) int { return b.parser.Shape(n.Raw).Start.Line }

// descend finds the table of a key, or makes it. A list stands for its last element, and
// asElement adds one.
func (b *treeBuilder) descend(from *fileNode, key unstable.Iterator, asElement bool) *fileNode {
	for key.Next() {
		k := key.Node()
		name := string(k.Data)
		t := from.table()
		next := t[name]
		if next == nil {
			next = &fileNode{b.line(k), join(from.path, name), fileTable{}}
			if asElement && key.IsLast() {
				next.value = []*fileNode(nil)
			}
			t[name] = next
		}
		list, isList := next.value.([]*fileNode)
		if isList && asElement && key.IsLast() {
			list = append(list, &fileNode{b.line(k), join(next.path, strconv.Itoa(len(list))), fileTable{}})
			next.value = list
		}
		if isList {
			next = list[len(list)-1]
		}
		from = next
	}
	return from
}

// assign sets a key of a table.
func (b *treeBuilder) assign(table *fileNode, e *unstable.Node) {
	key := e.Key()
	for key.Next() {
		k := key.Node()
		name := string(k.Data)
		if key.IsLast() {
			table.table()[name] = b.value(e.Value(), b.line(k), join(table.path, name))
			return
		}
		next := table.table()[name]
		if next == nil {
			next = &fileNode{b.line(k), join(table.path, name), fileTable{}}
			table.table()[name] = next
		}
		table = next
	}
}

func (b *treeBuilder) value(v *unstable.Node, line int, path string) *fileNode {
	n := &fileNode{line: line, path: path}
	if v.Raw.Length > 0 {
		n.line = max(line, b.line(v))
	}
	switch v.Kind {
	case unstable.String:
		n.value = string(v.Data)
	case unstable.Bool:
		n.value = string(v.Data) == "true"
	case unstable.Integer, unstable.Float:
		n.value = tomlNumber(string(v.Data))
	case unstable.Array:
		list := []*fileNode{}
		for elements := v.Children(); elements.Next(); {
			if elements.Node().Kind != unstable.Comment {
				list = append(list, b.value(elements.Node(), n.line, join(path, strconv.Itoa(len(list)))))
			}
		}
		n.value = list
	case unstable.InlineTable:
		n.value = fileTable{}
		for pairs := v.Children(); pairs.Next(); {
			if pairs.Node().Kind == unstable.KeyValue {
				b.assign(n, pairs.Node())
			}
		}
	default:
		n.value = fileDate(v.Data)
	}
	return n
}

// tomlNumber is a number as JSON writes it. One that JSON has no form for stays text,
// which no key takes.
func tomlNumber(text string) any {
	text = strings.ReplaceAll(text, "_", "")
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return json.Number(strconv.FormatInt(n, 10))
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
		return json.Number(strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, 64), "+"))
	}
	return fileDate(text)
}
