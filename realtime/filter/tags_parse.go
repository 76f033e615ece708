package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits of a tag filter (section 6.4).
const (
	maxNodes  = 128
	maxDepth  = 16
	maxKey    = 256  // bytes
	maxValue  = 1024 // bytes
	maxValues = 128
)

// parseTags reads a tag node and all below it. where is its place in the request.
func parseTags(where string, raw json.RawMessage) (*node, error) {
	nodes := 0
	return parseNode(where, raw, 1, &nodes)
}

// parseNode reads one node at a depth, and counts it.
func parseNode(where string, raw json.RawMessage, depth int, nodes *int) (*node, error) {
	if *nodes++; *nodes > maxNodes {
		return nil, fmt.Errorf("%s: the filter has more than %d nodes", where, maxNodes)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("%s: the filter is nested more than %d deep", where, maxDepth)
	}
	members, err := objectOf(where, raw)
	if err != nil {
		return nil, err
	}
	if err := onlyKnown(where, members, "op", "nodes", "key", "cmp", "val", "vals"); err != nil {
		return nil, err
	}
	// Clients write out what is absent as null or as an empty array, too.
	for name, value := range members {
		if !present(value) || (name == "nodes" || name == "vals") && isEmptyArray(value) {
			delete(members, name)
		}
	}
	if _, branch := members["op"]; branch {
		return parseBranch(where, members, depth, nodes)
	}
	if members["nodes"] != nil {
		return nil, fmt.Errorf("%s.op is missing, which nodes need", where)
	}
	return parseLeaf(where, members)
}

func parseBranch(where string, members map[string]json.RawMessage, depth int, nodes *int) (*node, error) {
	op, _ := textOf(members["op"])
	at := slices.Index(names[and:], op)
	if at < 0 {
		return nil, fmt.Errorf(`%s.op must be "and", "or" or "not", and is %.40s`, where, members["op"])
	}
	for _, name := range []string{"key", "cmp", "val", "vals"} {
		if members[name] != nil {
			return nil, fmt.Errorf("%s.%s must not stand beside op", where, name)
		}
	}
	var children []json.RawMessage
	if raw := members["nodes"]; raw != nil && json.Unmarshal(raw, &children) != nil {
		return nil, fmt.Errorf("%s.nodes must be an array, and is %.40s", where, raw)
	}
	n := &node{cmp: and + comparison(at)}
	switch {
	case n.cmp == not && len(children) != 1:
		return nil, fmt.Errorf("%s.nodes must be one node for not, and is %d", where, len(children))
	case len(children) == 0:
		return nil, fmt.Errorf("%s.nodes must be at least one node", where)
	}
	for i, raw := range children {
		child, err := parseNode(fmt.Sprintf("%s.nodes[%d]", where, i), raw, depth+1, nodes)
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, child)
	}
	return n, nil
}

func parseLeaf(where string, members map[string]json.RawMessage) (*node, error) {
	n := &node{}
	var ok bool
	switch n.key, ok = textOf(members["key"]); {
	case !ok:
		return nil, fmt.Errorf("%s.key must be a string, and is %.40s", where, orMissing(members["key"]))
	case n.key == "":
		return nil, fmt.Errorf("%s.key is empty", where)
	case len(n.key) > maxKey:
		return nil, fmt.Errorf("%s.key has %d bytes, more than %d: %.40q", where, len(n.key), maxKey, n.key)
	}
	cmp, _ := textOf(members["cmp"])
	at := slices.Index(names[:and], cmp)
	if at < 0 {
		return nil, fmt.Errorf("%s.cmp must be one of %s, and is %.40s", where, strings.Join(names[:and], " "), orMissing(members["cmp"]))
	}
	n.cmp = comparison(at)
	switch n.cmp {
	case exists, notExists:
		return n, nil
	case in, notIn:
		return n, n.takeValues(where, members["vals"])
	default:
		return n, n.takeValue(where, members["val"])
	}
}

func (n *node) takeValue(where string, raw json.RawMessage) (err error) {
	if n.value, err = valueOf(raw); err != nil {
		return fmt.Errorf("%s.val %w", where, err)
	}
	if n.value == "" {
		return fmt.Errorf("%s.val is empty", where)
	}
	n.number = numberOf(n.value)
	return nil
}

func (n *node) takeValues(where string, raw json.RawMessage) error {
	var list []json.RawMessage
	if raw == nil || json.Unmarshal(raw, &list) != nil {
		return fmt.Errorf("%s.vals must be an array of values, at least one, and is %.40s", where, orMissing(raw))
	}
	if len(list) > maxValues {
		return fmt.Errorf("%s.vals has %d values, more than %d", where, len(list), maxValues)
	}
	for i, raw := range list {
		value, err := valueOf(raw)
		if err != nil {
			return fmt.Errorf("%s.vals[%d] %w", where, i, err)
		}
		n.values = append(n.values, value)
	}
	slices.Sort(n.values)
	n.values = slices.Compact(n.values)
	return nil
}

// valueOf is a value as a text. A number or a boolean is what stands there.
func valueOf(raw json.RawMessage) (string, error) {
	text, ok := textOf(raw)
	switch {
	case len(raw) == 0:
		return "", errors.New("is missing")
	case !ok && strings.IndexByte("{[n", raw[0]) >= 0:
		return "", fmt.Errorf("must be a string, a number or a boolean, and is %.40s", raw)
	case !ok:
		text = string(raw)
	}
	if len(text) > maxValue {
		return "", fmt.Errorf("has %d bytes, more than %d: %.40q", len(text), maxValue, text)
	}
	return text, nil
}

func isEmptyArray(raw json.RawMessage) bool {
	var list []json.RawMessage
	return raw[0] == '[' && json.Unmarshal(raw, &list) == nil && len(list) == 0
}
