package sockudo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A bar is for those who look; others get lines, and not too many.
func TestProgress(t *testing.T) {
	p := &progress{what: "sockets", total: 200}
	for want, got := range map[string]string{
		"[##############................] 105 of 200 sockets left, about 11s": p.bar(105, 10*time.Second),
		"[..............................] 200 of 200 sockets left":            p.bar(200, time.Second),
		"[##############################] 0 of 200 sockets left":              p.bar(0, time.Minute),
		"[############################..] 10 of 200 sockets left":             p.bar(10, 500*time.Millisecond),
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	var out bytes.Buffer
	lines := newProgress(&out, "sockets", 5, false)
	for left := 5; left > 0; left-- {
		lines.set(left)
	}
	lines.end()
	if got := out.String(); got != "5 of 5 sockets left\n" {
		t.Errorf("%q", got)
	}
	out.Reset()
	quiet := newProgress(&out, "sockets", 5, true)
	quiet.set(4)
	quiet.end()
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}

func TestColours(t *testing.T) {
	var out bytes.Buffer
	if got := paint(&out, red, "x"); got != "x" {
		t.Errorf("where nobody looks: %q", got)
	}
	terminal, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a device of characters, as terminals are
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if got := paint(terminal, red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("on a terminal: %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := paint(terminal, red, "x"); got != "x" {
		t.Errorf("with NO_COLOR: %q", got)
	}
}

func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		0: nil, exitFailed: errors.New("x"), exitMissing: fmt.Errorf("doing it: %w", codedf(exitMissing, "x")), exitTimeout: coded(exitTimeout, errSeenAll),
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v ends with %d, want %d", err, got, want)
		}
	}
	if err := codedf(exitMissing, "no %s", "thing"); err.Error() != "no thing" || !strings.HasPrefix(fmt.Sprint(err), "no") {
		t.Error(err)
	}
	if labels, ok := labelOf(`app_id="a",hub="x\"}y"`, "hub"); !ok || labels != `x"}y` {
		t.Errorf("%q", labels)
	}
	if _, ok := labelOf(`other_hub="x"`, "hub"); ok {
		t.Error("another label is taken for it")
	}
}
