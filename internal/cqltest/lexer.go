package cqltest

import (
	"regexp"
	"strings"
)

// tokenKind is what a piece of a statement is.
type tokenKind int

const (
	endToken    tokenKind = iota
	wordToken             // in small letters
	quotedToken           // a name in double quotes, without them
	stringToken           // in single quotes, without them
	numberToken
	markToken // a bind marker or punctuation
)

type token struct {
	kind tokenKind
	text string
	at   int // where it begins
}

// pieces are how each kind of token looks at the beginning of what is left.
var pieces = []struct {
	kind tokenKind
	form *regexp.Regexp
}{
	{wordToken, regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*`)},
	{quotedToken, regexp.MustCompile(`^"((?:[^"]|"")+)"`)},
	{stringToken, regexp.MustCompile(`^'((?:[^']|'')*)'`)},
	{numberToken, regexp.MustCompile(`^-?[0-9]+`)},
	{markToken, regexp.MustCompile(`^(?:<=|>=|[?(),.=;{}:*<>])`)},
}

// tokens takes a statement apart.
func tokens(text string) ([]token, error) {
	var list []token
	for at := 0; ; {
		at += len(text[at:]) - len(strings.TrimLeft(text[at:], " \t\r\n"))
		if at == len(text) {
			return append(list, token{kind: endToken, at: at}), nil
		}
		t, size := piece(text[at:])
		if size == 0 {
			return nil, syntax("line 1:%d no viable alternative at character '%c'", at, text[at])
		}
		t.at = at
		list, at = append(list, t), at+size
	}
}

func piece(text string) (t token, size int) {
	for _, p := range pieces {
		m := p.form.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		t = token{kind: p.kind, text: m[len(m)-1]}
		switch p.kind {
		case wordToken:
			t.text = strings.ToLower(t.text)
		case quotedToken:
			t.text = strings.ReplaceAll(t.text, `""`, `"`)
		case stringToken:
			t.text = strings.ReplaceAll(t.text, `''`, `'`)
		default:
		}
		return t, len(m[0])
	}
	return token{}, 0
}

// reserved are words that no name is without quotes.
var reserved = map[string]bool{}

func init() {
	for word := range strings.FieldsSeq(`add allow alter and apply asc authorize batch begin by columnfamily create delete
		desc describe drop entries execute from full grant if in index infinity insert into is keyspace limit materialized
		modify nan norecursive not null of on or order primary rename replace revoke schema select set table to token
		truncate unlogged update use using view where with`) {
		reserved[word] = true
	}
}

// parser reads a statement.
type parser struct {
	tokens []token
	at     int
	marks  int // bind markers so far
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != endToken {
		p.at++
	}
	return t
}

// unexpected is the error of a token that cannot stand where it is.
func (p *parser) unexpected(want string) error {
	t := p.peek()
	if t.kind == endToken {
		return syntax("line 1:%d mismatched input '<EOF>' expecting %s", t.at, want)
	}
	return syntax("line 1:%d no viable alternative at input '%s' expecting %s", t.at, t.text, want)
}

// has takes words or marks if they come next, all or none.
func (p *parser) has(texts ...string) bool {
	for i, text := range texts {
		if p.at+i >= len(p.tokens) {
			return false
		}
		if t := p.tokens[p.at+i]; t.text != text || t.kind != wordToken && t.kind != markToken {
			return false
		}
	}
	p.at += len(texts)
	return true
}

// want takes words or marks that must come next.
func (p *parser) want(texts ...string) error {
	if !p.has(texts...) {
		return p.unexpected(strings.ToUpper(strings.Join(texts, " ")))
	}
	return nil
}

// name takes the name of something.
func (p *parser) name() (string, error) {
	if t := p.peek(); t.kind == quotedToken || t.kind == wordToken && !reserved[t.text] {
		return p.next().text, nil
	}
	return "", p.unexpected("a name")
}

// listed takes things with commas between them, in parentheses.
func (p *parser) listed(one func() error) error {
	if err := p.want("("); err != nil {
		return err
	}
	for {
		if err := one(); err != nil {
			return err
		}
		if !p.has(",") {
			return p.want(")")
		}
	}
}
