package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// setting is one of the other server.
type setting struct {
	// name is how its user knows it: a variable, or words with dots between them.
	name string
	// path is where it belongs, whatever it is called.
	path  string
	value any // a string, a json.Number, a bool, nil, or a list of these
	place string
	// variable is that of the environment which it came from, or empty.
	variable string
}

// importer turns settings into words, one by one.
type importer struct {
	Result
	settings map[string]*setting // by path
	order    []string            // of paths
	done     map[string]bool
	// hubSet are words that are one for all apps, once they are set.
	hubSet map[string]any
	err    error
}

func newImporter() *importer {
	return &importer{Result: Result{Hub: map[string]any{}}, settings: map[string]*setting{}, done: map[string]bool{}}
}

// add keeps a setting in the place of those that it overrides.
func (m *importer) add(s *setting) {
	for _, path := range slices.Clone(m.order) {
		if old := m.settings[path]; path == s.path || strings.HasPrefix(path, s.path+".") && old.place != s.place {
			m.note(old, NotNeeded, "", "it is overridden by "+s.name+" in "+s.place)
			m.order = slices.DeleteFunc(m.order, func(p string) bool { return p == path })
			delete(m.settings, path)
		}
	}
	m.settings[s.path] = s
	m.order = append(m.order, s.path)
}

// addTree adds what is in a value of JSON.
func (m *importer) addTree(n *node, file, name, path, variable string) {
	n.flatten("", func(within string, value any, line int) {
		if joinPath(name, within) == "" {
			return // the file says nothing
		}
		m.add(&setting{joinPath(name, within), joinPath(path, within), value, fmt.Sprintf("%s:%d", file, line), variable})
	})
}

func joinPath(path, name string) string {
	if name == "" {
		return path
	}
	return join(path, name)
}

// take finds a setting that says something, and counts as having dealt with it.
func (m *importer) take(path string) *setting {
	s := m.settings[path]
	if s == nil || m.done[path] {
		return nil
	}
	m.done[path] = true
	if s.saysNothing() {
		m.note(s, NotNeeded, "", "it is empty")
		return nil
	}
	return s
}

// has reports whether a setting is there, without dealing with it.
func (m *importer) has(path string) bool {
	s := m.settings[path]
	return s != nil && !s.saysNothing()
}

func (s *setting) saysNothing() bool {
	list, isList := s.value.([]any)
	if _, empty := s.value.(emptyObject); empty {
		return !strings.HasSuffix(s.path, "tls") // which is switched on by it
	}
	return s.value == nil || s.value == "" || s.value == "null" || isList && len(list) == 0
}

// below are the paths of settings within a path, each without it, that nobody has taken.
func (m *importer) below(path string) (list []string) {
	for _, p := range m.order {
		if rest, ok := strings.CutPrefix(p, path+"."); ok && !m.done[p] {
			list = append(list, rest)
		}
	}
	return list
}

// indices are the numbers of the elements of a list.
func (m *importer) indices(path string) []string {
	seen := map[int]bool{}
	for _, rest := range m.below(path) {
		first, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(first); err == nil {
			seen[n] = true
		}
	}
	var list []string
	for _, n := range slices.Sorted(maps.Keys(seen)) {
		list = append(list, strconv.Itoa(n))
	}
	return list
}

// note reports what has become of a setting.
func (m *importer) note(s *setting, outcome Outcome, word, note string) {
	m.Report = append(m.Report, Entry{Setting: s.name, Value: m.shownValue(s), Place: s.place, Outcome: outcome, Word: word, Note: note})
}

// secretNames are the ends of names whose values are shown to nobody.
var secretNames = []string{"secret", "password", "pass", "passphrase", "token", "nats_credentials", "secretkey", "accesskey", "accesskeyid", "private_key", "master_key", "authtoken", "api_key"}

func isSecretName(name string) bool {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, "nats.credentials") {
		return true
	}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	return slices.ContainsFunc(secretNames, func(end string) bool { return strings.HasSuffix(name, end) }) || strings.Contains(name, "secret") ||
		strings.Contains(name, "password") || strings.Contains(name, "authorization")
}

func (m *importer) shownValue(s *setting) string {
	list, isList := s.value.([]any)
	if isSecretName(s.name) || isSecretName(s.path) || hasCredentials(fmt.Sprint(s.value)) && !isList || m.isKnownSecret(fmt.Sprint(s.value)) ||
		slices.ContainsFunc(list, func(one any) bool { return hasCredentials(fmt.Sprint(one)) }) {
		return hidden
	}
	if isList {
		b, _ := json.Marshal(list) //nolint:errchkjson // it came from JSON
		return shown(string(b))
	}
	if s.value == nil {
		return "null"
	}
	return shown(fmt.Sprint(s.value))
}

func (m *importer) isKnownSecret(value string) bool {
	return slices.ContainsFunc(m.Secrets, func(s Secret) bool { return len(s.Value) > 3 && strings.Contains(value, s.Value) })
}

// set writes a word, whose path has dots between its parts.
func (m *importer) set(path string, value any) { setIn(m.Hub, path, value) }

func setIn(object map[string]any, path string, value any) {
	for {
		first, rest, more := strings.Cut(path, ".")
		if !more {
			object[path] = value
			return
		}
		inner, ok := object[first].(map[string]any)
		if !ok {
			inner = map[string]any{}
			object[first] = inner
		}
		object, path = inner, rest
	}
}

// fail keeps the first error, with the place of the setting.
func (m *importer) fail(s *setting, err error) {
	if m.err == nil {
		m.err = fmt.Errorf("%s: %s: %w", s.place, s.name, err)
	}
}

// text is the value of a setting as text.
func (m *importer) text(s *setting) string {
	switch v := s.value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	m.fail(s, errors.New("it has to be one value"))
	return ""
}

// texts are the values of a list, or of a text with commas.
func (m *importer) texts(s *setting) (list []string) {
	values, ok := s.value.([]any)
	if !ok {
		for part := range strings.SplitSeq(m.text(s), ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		return list
	}
	for _, v := range values {
		list = append(list, fmt.Sprint(v))
	}
	return list
}

// number is the value of a setting as a whole number.
func (m *importer) number(s *setting) int64 {
	text := m.text(s)
	if m.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 32)
	if err != nil {
		m.fail(s, fmt.Errorf("%q is not a whole number", shown(text)))
	}
	return n
}

// positive is number for what cannot be less than one.
func (m *importer) positive(s *setting) int64 {
	n := m.number(s)
	if n < 1 {
		m.fail(s, fmt.Errorf("%d has to be at least 1", n))
	}
	return n
}

// bool is the value of a setting as a switch.
func (m *importer) bool(s *setting) bool {
	switch strings.ToLower(m.text(s)) {
	case "true", "1", "yes", "on", "(true)":
		return true
	case "false", "0", "no", "off", "(false)":
		return false
	}
	m.fail(s, fmt.Errorf("%q is neither true nor false", shown(m.text(s))))
	return false
}

// rest reports what nobody has dealt with.
func (m *importer) rest(unknown string) {
	for _, path := range slices.Clone(m.order) {
		if s := m.take(path); s != nil {
			m.note(s, NoEquivalent, "", unknown)
		}
	}
}
