package rest

import "bytes"

// maxDepth bounds the nesting of a body. Deeper ones are refused as not valid:
// nothing a client sends comes near it.
const maxDepth = 512

// validJSON reports whether text is one JSON value with nothing around it. It
// agrees with encoding/json, which a fuzz target checks, and is faster because
// it runs over strings without a state per byte.
func validJSON(text []byte) bool {
	s := scanner{b: text}
	return s.value(0) && s.pos == len(text)
}

// scanner checks a text from pos on. Its methods report whether they found what
// they are named after, and leave pos behind it.
type scanner struct {
	b   []byte
	pos int
}

// peek is the next byte, or zero at the end: no valid value holds a zero byte.
func (s *scanner) peek() byte {
	if s.pos < len(s.b) {
		return s.b[s.pos]
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) space() {
	for s.pos < len(s.b) && isSpace(s.b[s.pos]) {
		s.pos++
	}
}

func (s *scanner) value(depth int) bool {
	switch c := s.peek(); {
	case c == '"':
		return s.text()
	case c == '{':
		return depth < maxDepth && s.object(depth+1)
	case c == '[':
		return depth < maxDepth && s.array(depth+1)
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) object(depth int) bool {
	s.pos++
	s.space()
	if s.take('}') {
		return true
	}
	for {
		if s.peek() != '"' || !s.text() {
			return false
		}
		s.space()
		if !s.take(':') {
			return false
		}
		s.space()
		if !s.value(depth) {
			return false
		}
		s.space()
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
		s.space()
	}
}

func (s *scanner) array(depth int) bool {
	s.pos++
	s.space()
	if s.take(']') {
		return true
	}
	for {
		if !s.value(depth) {
			return false
		}
		s.space()
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
		s.space()
	}
}

func (s *scanner) text() bool {
	for i := s.pos + 1; i < len(s.b); {
		c := s.b[i]
		i++
		if plainByte[c] {
			continue
		}
		s.pos = i
		if c != '\\' {
			return c == '"'
		}
		if !s.escape() {
			return false
		}
		i = s.pos
	}
	return false
}

// plainByte are the bytes that stand for themselves in a string.
var plainByte = func() (plain [256]bool) {
	for c := 0x20; c < len(plain); c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

func (s *scanner) escape() bool {
	c := s.peek()
	s.pos++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if !isHex(s.peek()) {
				return false
			}
			s.pos++
		}
		return true
	}
	return false
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.b[s.pos:], []byte(w)) {
		return false
	}
	s.pos += len(w)
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
