package protocol

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// socketIDRange bounds each half of a socket id: ten decimal digits.
const socketIDRange = 10_000_000_000

// NewSocketID draws a socket id: two decimal integers joined by a dot (section 2.1).
func NewSocketID() string {
	b := make([]byte, 0, 21)
	b = strconv.AppendUint(b, rand.Uint64N(socketIDRange), 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, rand.Uint64N(socketIDRange), 10)
	return string(b)
}

// ValidSocketID reports whether s has the form of a socket id.
func ValidSocketID(s string) bool {
	a, b, ok := strings.Cut(s, ".")
	return ok && isDigits(a) && isDigits(b)
}

func isDigits(s string) bool {
	if s == "" || len(s) > 20 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
