package jmespath

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

type kind uint8

const (
	tokenEnd kind = iota
	tokenName
	tokenQuoted
	tokenLiteral
	tokenNumber
	tokenCurrent
	tokenReference
	tokenComma
	tokenColon
	tokenParen
	tokenParenEnd
	tokenBracketEnd
	tokenBraceEnd
	tokenPipe
	tokenOr
	tokenAnd
	tokenEqual
	tokenNotEqual
	tokenLess
	tokenLessOrEqual
	tokenGreater
	tokenGreaterOrEqual
	tokenFlatten
	tokenStar
	tokenFilter
	tokenDot
	tokenNot
	tokenBrace
	tokenBracket
)

// powers say how strongly a token binds what stands before it. Those that cannot
// follow an operand bind nothing.
var powers = [...]int{
	tokenPipe: 1, tokenOr: 2, tokenAnd: 3,
	tokenEqual: 5, tokenNotEqual: 5, tokenLess: 5, tokenLessOrEqual: 5, tokenGreater: 5, tokenGreaterOrEqual: 5,
	tokenFlatten: 9, tokenStar: 20, tokenFilter: 21, tokenDot: 40, tokenBrace: 50, tokenBracket: 55,
}

const (
	// projectionStop is the power below which a token ends a projection.
	projectionStop = 10
	// notPower lets "!" bind less than all that selects, and more than comparisons:
	// "!a.b" is the negation of "a.b". To the implementations at jmespath.org it is the
	// member b of "!a", which nothing has.
	notPower = 8
)

// symbols are the tokens that are always written alike, longer ones first.
var symbols = [...]struct {
	text string
	kind kind
}{
	{"[]", tokenFlatten},
	{"[?", tokenFilter},
	{"||", tokenOr},
	{"&&", tokenAnd},
	{"==", tokenEqual},
	{"!=", tokenNotEqual},
	{"<=", tokenLessOrEqual},
	{">=", tokenGreaterOrEqual},
	{"@", tokenCurrent},
	{"&", tokenReference},
	{",", tokenComma},
	{":", tokenColon},
	{"(", tokenParen},
	{")", tokenParenEnd},
	{"]", tokenBracketEnd},
	{"}", tokenBraceEnd},
	{"|", tokenPipe},
	{"<", tokenLess},
	{">", tokenGreater},
	{"*", tokenStar},
	{".", tokenDot},
	{"!", tokenNot},
	{"{", tokenBrace},
	{"[", tokenBracket},
}

type token struct {
	kind   kind
	at     int    // in bytes
	text   string // as it is written
	name   string // of a name, without quotes
	value  any    // of a literal
	number int
}

func (t token) String() string {
	if t.kind == tokenEnd {
		return "the end"
	}
	return fmt.Sprintf("%.40q at byte %d", t.text, t.at)
}

// tokenize splits an expression. The last token is the end.
func tokenize(source string) ([]token, error) {
	var tokens []token
	for at := 0; ; {
		at += len(source[at:]) - len(strings.TrimLeft(source[at:], " \t\r\n"))
		if at == len(source) {
			return append(tokens, token{kind: tokenEnd, at: at}), nil
		}
		t, err := tokenAt(source[at:])
		if err != nil {
			return nil, fmt.Errorf("%w at byte %d", err, at)
		}
		t.at = at
		at += len(t.text)
		tokens = append(tokens, t)
	}
}

// tokenAt is the token that a text begins with.
func tokenAt(s string) (token, error) {
	switch c := s[0]; {
	case isLetter(c):
		text := s[:prefix(s, func(c byte) bool { return isLetter(c) || isDigit(c) })]
		return token{kind: tokenName, text: text, name: text}, nil
	case isDigit(c) || c == '-':
		return numberAt(s)
	case c == '"':
		return quotedAt(s)
	case c == '\'':
		text, err := delimited(s)
		if err != nil {
			return token{}, err
		}
		// A raw string knows no other escape: a backslash before anything else stays.
		return token{kind: tokenLiteral, text: text, value: strings.ReplaceAll(text[1:len(text)-1], `\'`, `'`)}, nil
	case c == '`':
		return literalAt(s)
	}
	for _, symbol := range symbols {
		if strings.HasPrefix(s, symbol.text) {
			return token{kind: symbol.kind, text: symbol.text}, nil
		}
	}
	r, _ := utf8.DecodeRuneInString(s)
	return token{}, fmt.Errorf("unexpected %q", r)
}

func numberAt(s string) (token, error) {
	text := s[:1+prefix(s[1:], isDigit)]
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return token{}, fmt.Errorf("%.40q is not an integer of 32 bits", text)
	}
	return token{kind: tokenNumber, text: text, number: int(n)}, nil
}

func quotedAt(s string) (token, error) {
	text, err := delimited(s)
	if err != nil {
		return token{}, err
	}
	t := token{kind: tokenQuoted, text: text}
	if json.Unmarshal([]byte(text), &t.name) != nil {
		return token{}, fmt.Errorf("%.40q is not a JSON string", text)
	}
	return t, nil
}

func literalAt(s string) (token, error) {
	text, err := delimited(s)
	if err != nil {
		return token{}, err
	}
	t := token{kind: tokenLiteral, text: text}
	if json.Unmarshal([]byte(strings.ReplaceAll(text[1:len(text)-1], "\\`", "`")), &t.value) != nil {
		return token{}, fmt.Errorf("the literal %.40s is not JSON, in which strings have double quotes", text)
	}
	return t, nil
}

// delimited is what s begins with, up to the next character like its first that has
// no backslash before it.
func delimited(s string) (string, error) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return s[:i+1], nil
		}
	}
	return "", fmt.Errorf("no end of the %q", s[0])
}

// prefix is the length of what s begins with that consists of certain bytes.
func prefix(s string, of func(byte) bool) int {
	for i := range len(s) {
		if !of(s[i]) {
			return i
		}
	}
	return len(s)
}

func isLetter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
