package push

import (
	"strings"
	"testing"
)

func TestRedactReason(t *testing.T) {
	for _, text := range []string{"", "UNREGISTERED", "SENDER_ID_MISMATCH", "the connection failed", strings.Repeat("ab ", 42)} {
		if got := RedactReason(text); got != strings.TrimSpace(text) {
			t.Errorf("%q is %q", text, got)
		}
	}
	for _, text := range []string{
		"bad Token", "a SECRET", "no endpoint", "Unauthorized", "see http://x", "see HTTPS://x", "abcdefghijklmnopqrstuvwx", "x a-b_c.d=efghijklmnopqrstuvwx y",
		strings.Repeat("ab ", 43) + "c", "\xff",
	} {
		got := RedactReason(text)
		if !redacted.MatchString(got) || got[10:22] != Hash(text)[:12] {
			t.Errorf("%q is %q", text, got)
		}
		if RedactReason(got) != got {
			t.Errorf("%q is redacted twice", got)
		}
	}
}
