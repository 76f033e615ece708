package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Variable is one of a file of environment variables.
type Variable struct {
	// Name and Value are what it says. References to other variables are replaced.
	Name, Value string
	// Refers is the name of the variable that the whole value stands for, as with
	// A="${B}".
	Refers string
	// Line is where it begins.
	Line int
}

// A name is not bounded to capitals, since some have small letters.
var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	reference    = regexp.MustCompile(`\\?\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}`)
)

// maxValue bounds a value, in bytes: references to references could make it grow without
// end.
const maxValue = 256 << 10

var errTooLong = fmt.Errorf("the value is longer than %d bytes", maxValue)

// envReader goes through the lines of a file.
type envReader struct {
	lines []string
	at    int // the line to be read next
	known map[string]string
}

// ReadEnv reads a file of environment variables as dotenv does: with quotes, comments,
// export, values of several lines, and references to variables that stand before.
func ReadEnv(f File) ([]Variable, error) {
	text := bytes.TrimPrefix(f.Text, []byte("\ufeff"))
	if !utf8.Valid(text) || bytes.ContainsRune(text, 0) {
		return nil, fmt.Errorf("%s is not a file of text", f.Name)
	}
	r := &envReader{lines: strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), known: map[string]string{}}
	var list []Variable
	for r.at < len(r.lines) {
		line := r.at + 1
		v, ok, err := r.next()
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", f.Name, line, err)
		}
		if ok && len(v.Value) > maxValue {
			return nil, fmt.Errorf("%s:%d: %s: %w", f.Name, line, v.Name, errTooLong)
		}
		if ok {
			v.Line = line
			r.known[v.Name] = v.Value
			list = append(list, v)
		}
	}
	return list, nil
}

// next reads one line, and those that belong to it.
func (r *envReader) next() (v Variable, ok bool, err error) {
	line := strings.TrimSpace(r.lines[r.at])
	r.at++
	if line == "" || line[0] == '#' {
		return v, false, nil
	}
	if rest, exported := strings.CutPrefix(line, "export"); exported && strings.TrimLeft(rest, " \t") != rest {
		line = strings.TrimLeft(rest, " \t")
	}
	name, text, found := strings.Cut(line, "=")
	name = strings.TrimSpace(name)
	switch {
	case !found:
		return v, false, errors.New("a line has to be like NAME=VALUE")
	case !variableName.MatchString(name):
		return v, false, fmt.Errorf("%q is not the name of a variable", name)
	}
	v.Name = name
	text = strings.TrimSpace(text)
	if text == "" || !strings.ContainsRune("'\"`", rune(text[0])) {
		v.Value, v.Refers = r.expand(uncommented(text), func(s string) string { return s })
		return v, true, nil
	}
	quote := text[0]
	if text, err = r.quoted(text[1:], quote); err != nil {
		return v, false, fmt.Errorf("%s: %w", name, err)
	}
	if quote == '"' {
		v.Value, v.Refers = r.expand(text, escapes.Replace)
	} else {
		v.Value = text
	}
	return v, true, nil
}

// escapes are what stands for something else between double quotes.
var escapes = strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\"`, `"`, `\\`, `\`, `\$`, "$")

// uncommented is a value without quotes, up to a comment.
func uncommented(text string) string {
	for i := range text {
		if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
			return strings.TrimSpace(text[:i])
		}
	}
	return text
}

// quoted reads up to the closing quote, on this line or a later one.
func (r *envReader) quoted(text string, quote byte) (string, error) {
	from := 0
	for {
		end := closing(text, quote, from)
		if end >= 0 {
			if rest := strings.TrimSpace(text[end+1:]); rest != "" && rest[0] != '#' {
				return "", errors.New("there is text behind the closing quote")
			}
			return text[:end], nil
		}
		switch {
		case r.at == len(r.lines):
			return "", fmt.Errorf("the closing %c is missing", quote)
		case len(text) > maxValue:
			return "", errTooLong
		}
		from = len(text) + 1
		text += "\n" + r.lines[r.at]
		r.at++
	}
}

// closing is where the quote stands that is not escaped, or -1.
func closing(text string, quote byte, from int) int {
	for i := from; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] == quote:
			return i
		}
	}
	return -1
}

// expand replaces references to variables that are known. Others are left as they are.
// unescape is for what is no reference.
func (r *envReader) expand(text string, unescape func(string) string) (expanded, refers string) {
	var b strings.Builder
	last := 0
	for _, m := range reference.FindAllStringSubmatchIndex(text, -1) {
		match, name := text[m[0]:m[1]], text[m[2]:m[3]]
		if match[0] == '\\' {
			continue
		}
		value := r.known[name]
		switch {
		case value != "" && match == text:
			refers = name
		case value == "" && m[4] >= 0:
			value = text[m[4]:m[5]]
		case value == "":
			value = match
		}
		b.WriteString(unescape(text[last:m[0]]) + value)
		last = m[1]
	}
	b.WriteString(unescape(text[last:]))
	return b.String(), refers
}

// sameForCaddy reports whether a file has a variable, and whether "caddy run --envfile"
// reads the same value.
func sameForCaddy(f File, name string) (there, same bool) {
	variables, err := ReadEnv(f)
	if err != nil {
		return false, false
	}
	lines := strings.Split(strings.ReplaceAll(string(f.Text), "\r\n", "\n"), "\n")
	for _, v := range variables {
		if v.Name != name {
			continue
		}
		key, text, _ := strings.Cut(strings.TrimSpace(lines[v.Line-1]), "=")
		text, _, _ = strings.Cut(text, "#")
		text = strings.TrimRight(text, " \t")
		if len(text) > 1 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0] {
			text = text[1 : len(text)-1]
		}
		there, same = true, text == v.Value && strings.TrimPrefix(key, "export ") == name
	}
	return there, same
}
