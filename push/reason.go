package push

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxReason is the length of the longest reason that is shown, in characters.
const maxReason = 128

var (
	// telling are words that stand near what must stay secret.
	telling = []string{"token", "secret", "endpoint", "auth", "http://", "https://"}
	// tokenLike is what an address looks like.
	tokenLike = regexp.MustCompile(`[A-Za-z0-9\-_.=]{24,}`)
)

// RedactReason is a text of a provider in the form in which it is kept and shown: one that
// may hold something of an address or a key is only told apart from others (section 3.3).
func RedactReason(text string) string {
	text = strings.TrimSpace(text)
	hide := utf8.RuneCountInString(text) > maxReason || !utf8.ValidString(text) || tokenLike.MatchString(text)
	lower := strings.ToLower(text)
	for _, word := range telling {
		hide = hide || strings.Contains(lower, word)
	}
	if hide && !redacted.MatchString(text) {
		return "[REDACTED:" + Hash(text)[:12] + "]"
	}
	return text
}

// redacted is what RedactReason makes, which it leaves as it is.
var redacted = regexp.MustCompile(`^\[REDACTED:[0-9a-f]{12}\]$`)
