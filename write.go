package sockudo

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// caddyfileWriter writes lines of a Caddyfile. It is the way back of what this package
// parses.
type caddyfileWriter struct {
	bytes.Buffer
	depth int
}

// line writes words, quoted as far as they need it. The first of them is ours.
func (w *caddyfileWriter) line(words ...string) error {
	for range w.depth {
		w.WriteByte('\t')
	}
	for i, word := range words {
		if i > 0 {
			w.WriteByte(' ')
		}
		text, err := quoteWord(word)
		if err != nil {
			return fmt.Errorf("%s: %w", words[0], err)
		}
		w.WriteString(text)
	}
	w.WriteByte('\n')
	return nil
}

// block writes words and what body writes, between braces.
func (w *caddyfileWriter) block(body func() error, words ...string) error {
	if err := w.line(words...); err != nil {
		return err
	}
	w.Truncate(w.Len() - 1)
	w.WriteString(" {\n")
	w.depth++
	err := body()
	w.depth--
	for range w.depth {
		w.WriteByte('\t')
	}
	w.WriteString("}\n")
	return err
}

// bare is text that a Caddyfile reads as it is, without quotes.
var bare = regexp.MustCompile(`^[\pL\pN_./:*@%+,;=~^$?&!|()\[\]{}-]+$`)

// quoteWord writes a word so that a Caddyfile has it unchanged.
func quoteWord(text string) (string, error) {
	if strings.ContainsFunc(text, func(r rune) bool {
		return r == unicode.ReplacementChar || r != '\n' && r != '\t' && unicode.IsControl(r)
	}) {
		return "", fmt.Errorf("%q has characters that a Caddyfile cannot have", text)
	}
	text = closeLiterals(text)
	var quoted string
	switch {
	case isBare(text):
		quoted = text
	case !strings.Contains(text, `\"`) && !strings.HasSuffix(text, `\`):
		quoted = `"` + strings.ReplaceAll(text, `"`, `\"`) + `"`
	case !strings.Contains(text, "`"):
		quoted = "`" + text + "`"
	default:
		return "", fmt.Errorf("%q has quotes, backquotes and backslashes, which a Caddyfile cannot have together", text)
	}
	// A variable of the Caddyfile itself is replaced before anything is read, quoted or
	// not. One without a name is replaced by what stands behind its colon.
	return strings.ReplaceAll(quoted, "{$", "{$:{$}"), nil
}

// isBare reports whether text needs no quotes. Braces are words of their own only where
// they stand alone.
func isBare(text string) bool {
	return bare.MatchString(text) && text != "{" && text != "}" && !strings.HasSuffix(text, "{") && text != "import"
}

// closeLiterals writes a brace that closes what a literal brace has opened as literally as
// that: Caddy would take "\{host}" for a short placeholder of its own.
func closeLiterals(text string) string {
	if !strings.Contains(text, `\{`) {
		return text
	}
	var b strings.Builder
	within := false
	for i, r := range text {
		escaped := i > 0 && text[i-1] == '\\'
		switch {
		case r == '{' && !escaped:
			within = true
		case r == '}' && within:
			within = false
		case r == '}' && !escaped:
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
