package sockudo

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Signs of Unicode's private use stand for what is not to be read as the text of the
// file: the name of a variable that is a whole string, and a brace that came out of one.
const (
	markOpen, markShut = "\uE000", "\uE001"
	markBrace          = "\uE002"
)

// fileVariable is ${NAME} or ${NAME:-DEFAULT}. A default ends at the first brace.
var fileVariable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`)

// fileVariables are the variables of a file.
type fileVariables struct {
	lookup func(string) (string, bool)
	// marked says that strings which are nothing but a variable stand as marks.
	marked bool
}

// expandFile puts the variables of the environment into the text of a file, those in
// comments too, once and before it is parsed. One that is not set or empty and has no
// default is missing, and all of them are reported together.
func (v *fileVariables) expandFile(text []byte) ([]byte, error) {
	v.marked = !bytes.ContainsAny(text, markOpen+markShut+markBrace)
	var out bytes.Buffer
	var missing []string
	from := 0
	for _, m := range fileVariable.FindAllSubmatchIndex(text, -1) {
		out.Write(text[from:m[0]])
		from = m[1]
		name := string(text[m[2]:m[3]])
		value, _ := v.lookup(name)
		switch {
		case value == "" && m[4] >= 0:
			out.Write(text[m[6]:m[7]])
		case value == "":
			line := 1 + bytes.Count(text[:m[0]], []byte("\n"))
			if what := fmt.Sprintf("%s (line %d)", name, line); !slices.Contains(missing, what) {
				missing = append(missing, what)
			}
		case v.marked && isWholeString(text, m[0], m[1]):
			out.WriteString(markOpen + name + markShut)
		case v.marked:
			out.WriteString(strings.ReplaceAll(value, "{", markBrace))
		default:
			out.WriteString(value)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("these environment variables are not set or empty: %s; set them, or write a default as in ${NAME:-default}", strings.Join(missing, ", "))
	}
	out.Write(text[from:])
	return out.Bytes(), nil
}

// isWholeString reports whether quotes stand before and behind a part of the text, and
// no further ones, which would be those of a text of several lines.
func isWholeString(text []byte, from, to int) bool {
	if from < 1 || to >= len(text) {
		return false
	}
	quote := text[from-1]
	if (quote != '"' && quote != '\'') || text[to] != quote {
		return false
	}
	return (from < 2 || text[from-2] != quote && text[from-2] != '\\') && (to+1 >= len(text) || text[to+1] != quote)
}

// variableIn is the name of the variable that a string of the file consists of.
func (v *fileVariables) variableIn(text string) (name string, ok bool) {
	if !v.marked || !strings.HasPrefix(text, markOpen) || !strings.HasSuffix(text, markShut) {
		return "", false
	}
	name = strings.TrimSuffix(strings.TrimPrefix(text, markOpen), markShut)
	return name, !strings.ContainsAny(name, markOpen+markShut)
}

// plain is a string of the file with the values of its variables.
func (v *fileVariables) plain(text string) string {
	if !v.marked {
		return text
	}
	for {
		before, rest, found := strings.Cut(text, markOpen)
		name, after, closed := strings.Cut(rest, markShut)
		if !found || !closed {
			return strings.ReplaceAll(text, markBrace, "{")
		}
		value, _ := v.lookup(name)
		text = before + strings.ReplaceAll(value, markOpen, "") + after
	}
}

// caddyPlaceholder is a placeholder of Caddy, which a file may have too.
var caddyPlaceholder = regexp.MustCompile(`\{(?:env|file|system)\.[^{}]+\}`)

// forCaddy is a string of the file as a setting has it: a variable that is all of it
// stays a placeholder, so that its value is in no configuration, and a brace means
// nothing unless it is that of such a placeholder.
func (v *fileVariables) forCaddy(text string) string {
	if name, ok := v.variableIn(text); ok {
		return "{env." + name + "}"
	}
	if !strings.Contains(text, "{") && !strings.Contains(text, markBrace) && !strings.Contains(text, markOpen) {
		return text
	}
	var b strings.Builder
	from := 0
	for _, m := range caddyPlaceholder.FindAllStringIndex(text, -1) {
		b.WriteString(escapeBraces(v.plain(text[from:m[0]])))
		b.WriteString(text[m[0]:m[1]])
		from = m[1]
	}
	b.WriteString(escapeBraces(v.plain(text[from:])))
	return b.String()
}

// escapeBraces makes braces plain text. A backslash before one would be taken for that,
// and is doubled.
func escapeBraces(text string) string {
	return strings.NewReplacer("{", `\{`, `\}`, `\\}`).Replace(text)
}
