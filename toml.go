package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

func init() {
	caddyconfig.RegisterAdapter("sockudo", fileAdapter{})
}

// fileAdapter turns a configuration file of Sockudo into Caddy's JSON:
//
//	caddy run --config sockudo.toml --adapter sockudo
type fileAdapter struct{}

// Adapt reads TOML, or the same tree in JSON. What is read over is a warning.
func (fileAdapter) Adapt(body []byte, options map[string]any) ([]byte, []caddyconfig.Warning, error) {
	name, _ := options["filename"].(string)
	if name == "" {
		name = "sockudo.toml"
	}
	file, err := readSockudo(body, name, os.LookupEnv)
	if err != nil {
		return nil, nil, err
	}
	var warnings []caddyconfig.Warning
	for _, n := range file.notes {
		warnings = append(warnings, caddyconfig.Warning{File: name, Line: n.line, Message: n.text})
	}
	config, err := json.Marshal(file.caddy())
	return config, warnings, err
}

// sockudoFile is what a configuration file of Sockudo says, in the words of the handler's
// JSON.
type sockudoFile struct {
	// Hub is the object of the handler, without its name.
	Hub map[string]any
	// Host and Port are where it listens, unless there is a Unix socket.
	Host string
	Port int
	// Debug makes the log say more.
	Debug bool
	// Metrics is where metrics are served, nil if nowhere.
	Metrics *struct {
		Host string
		Port int
	}
	// Notes are what was read over, and why, each with its line.
	Notes []string

	notes  []placedError
	server fileServer
}

// readSockudo reads a configuration file of Sockudo, in TOML or JSON. All that is wrong
// with it is one error, with the line of each fault.
func readSockudo(text []byte, name string, lookup func(string) (string, bool)) (*sockudoFile, error) {
	r := &fileReader{vars: fileVariables{lookup: lookup}}
	text, err := r.vars.expandFile(text)
	if err != nil {
		return nil, at(name, err)
	}
	root, err := parseFile(text)
	if err != nil {
		return nil, inFile(name, err)
	}
	f := new(sockudoFile)
	r.readServer(root, f)
	r.arrange(root)
	f.Hub = r.section(root, hubType)
	if len(r.errs) > 0 {
		slices.SortStableFunc(r.errs, byLine)
		all := make([]error, len(r.errs))
		for i, e := range r.errs {
			all[i] = inFile(name, e)
		}
		return nil, errors.Join(all...)
	}
	if f.Hub, err = canonicalHub(f.Hub); err != nil {
		return nil, at(name, err)
	}
	slices.SortStableFunc(r.notes, byLine)
	f.notes = r.notes
	for _, n := range r.notes {
		f.Notes = append(f.Notes, n.Error())
	}
	return f, nil
}

func inFile(name string, err error) error { return fmt.Errorf("%s, %w", name, err) }

func byLine(a, b placedError) int { return a.line - b.line }

// canonicalHub reads an object once more, as the handler reads it, and writes it in the
// handler's own spelling.
func canonicalHub(object map[string]any) (map[string]any, error) {
	b, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	h := new(Handler)
	if err := json.Unmarshal(b, h); err != nil {
		return nil, err
	}
	if b, err = json.Marshal(&h.HubConfig); err != nil {
		return nil, err
	}
	return objectOf(b)
}

// fileReader reads the tree of a file, and keeps what is wrong with it.
type fileReader struct {
	vars  fileVariables
	errs  []placedError
	notes []placedError
}

// fail says what is wrong with a value.
func (r *fileReader) fail(n *fileNode, err error) {
	text := "the file " + err.Error()
	if n.path != "" {
		text = n.path + " " + err.Error()
	}
	r.errs = append(r.errs, placedError{n.line, text})
}

// failf is fail with a text.
func (r *fileReader) failf(n *fileNode, format string, args ...any) {
	r.fail(n, fmt.Errorf(format, args...))
}

// refuse says what is wrong with a value, and shows it unless it is secret.
func (r *fileReader) refuse(n *fileNode, secret bool, err error) {
	shown := " = " + n.describe()
	if s, ok := n.value.(string); ok {
		shown = " = " + n.like(r.vars.plain(s)).describe()
	}
	if secret {
		shown = ""
	}
	r.errs = append(r.errs, placedError{n.line, n.path + shown + ": " + err.Error()})
}

// note says why a value is read over.
func (r *fileReader) note(n *fileNode, format string, args ...any) {
	r.notes = append(r.notes, placedError{n.line, n.path + " is read over: " + fmt.Sprintf(format, args...)})
}

// put puts a value at another path of a tree.
func (r *fileReader) put(tree, n *fileNode, path ...string) {
	if n == nil {
		return
	}
	last := len(path) - 1
	for _, key := range path[:last] {
		if tree.table()[key] == nil {
			tree.table()[key] = &fileNode{n.line, n.path, fileTable{}}
		}
		tree = tree.table()[key]
		if tree.table() == nil {
			r.refuse(tree, true, errors.New("must be a table"))
			return
		}
	}
	if other := tree.table()[path[last]]; other != nil {
		r.failf(n, "and %s mean the same: write one of them", other.path)
		return
	}
	tree.table()[path[last]] = n
}

// merge puts all that is in a table into another one.
func (r *fileReader) merge(into, from *fileNode) {
	for _, key := range from.keys() {
		r.put(into, from.table()[key], key)
	}
}
