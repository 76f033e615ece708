package push

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// The JSON of a cursor is that of other servers, in the same writing.
func TestCursorGolden(t *testing.T) {
	const want = "eyJhcHBJZCI6ImFwcC0xIiwia2luZCI6ImRldmljZSIsInBvc2l0aW9uIjoiZGV2aWNlLTkiLCJpc3N1ZWRBdE1zIjowfQ"
	content, _, _ := strings.Cut(EncodeCursor("s", "app-1", CursorDevice, "device-9"), ".")
	if content != want {
		t.Errorf("the cursor is %s", content)
	}
	// Without a MAC it could be anybody's.
	if _, err := DecodeCursor("s", "app-1", CursorDevice, want); err == nil {
		t.Error("a cursor without a MAC is taken")
	}
}

// Checklist: push 8, 10
func TestCursorsOfOthers(t *testing.T) {
	c := EncodeCursor("s", "app-1", CursorDevice, "device-9")
	if position, err := DecodeCursor("s", "app-1", CursorDevice, c); err != nil || position != "device-9" {
		t.Fatalf("%q %v", position, err)
	}
	content, mac, _ := strings.Cut(c, ".")
	forged := encode64(raw(cursor{AppID: "app-1", Kind: CursorDevice, Position: "device-1"}))
	for name, one := range map[string]struct {
		secret, app string
		kind        CursorKind
		text        string
	}{
		"garbage":        {"s", "app-1", CursorDevice, "garbage"},
		"another app":    {"s", "app-2", CursorDevice, c},
		"another secret": {"t", "app-1", CursorDevice, c},
		"another kind":   {"s", "app-1", CursorTemplate, c},
		"another place":  {"s", "app-1", CursorDevice, forged + "." + mac},
		"a cut MAC":      {"s", "app-1", CursorDevice, content + "." + mac[:20]},
		"no MAC":         {"s", "app-1", CursorDevice, content + "."},
		"padded":         {"s", "app-1", CursorDevice, content + "=." + mac},
		"too long":       {"s", "app-1", CursorDevice, strings.Repeat("A", 4000) + "." + mac},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeCursor(one.secret, one.app, one.kind, one.text)
			wantFault(t, err, "cursor")
		})
	}
	if position, err := DecodeCursor("s", "app-1", CursorDevice, ""); err != nil || position != "" {
		t.Errorf("no cursor: %q %v", position, err)
	}
	if EncodeCursor("s", "app-1", CursorDevice, "") != "" {
		t.Error("the end has a cursor")
	}
}

// Every name that is taken fits into a cursor, with another one beside it.
func TestCursorsOfLongNames(t *testing.T) {
	app := strings.Repeat("a", 128)
	for _, letter := range []string{"a", "\"", "\\", "<", "\u2028", "ü", "\u007f", "\x00"} {
		n := MaxName
		for ; n > 0 && checkName("id", strings.Repeat(letter, n)) != nil; n-- {
			if n == 1 {
				break
			}
		}
		name := strings.Repeat(letter, n)
		if checkName("id", name) != nil {
			continue // no such name is taken
		}
		c := EncodeCursor("s", app, CursorSubscription, joinPosition(name, name))
		position, err := DecodeCursor("s", app, CursorSubscription, c)
		if err != nil {
			t.Errorf("%d of %q: %v", n, letter, err)
			continue
		}
		if group, last, err := splitPosition(position); err != nil || group != name || last != name {
			t.Errorf("%d of %q: %v", n, letter, err)
		}
	}
}

func TestPositionsOfTwoParts(t *testing.T) {
	for _, text := range []string{"x", "[]", `["a"]`, `["a",""]`, `["a","b","c"]`, `[1,2]`, "null"} {
		if _, _, err := splitPosition(text); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(EncodeCursor("s", "app-1", CursorDevice, "device-9"), "s")
	f.Add("eyJhcHBJZCI6ImFwcC0xIn0.AAAA", "s")
	f.Add(".", "")
	f.Fuzz(func(t *testing.T, text, secret string) {
		position, err := DecodeCursor(secret, "app-1", CursorDevice, text)
		if err == nil && text != "" && position == "" {
			t.Error("a cursor of nothing")
		}
		if err == nil && text != "" && EncodeCursor(secret, "app-1", CursorDevice, position) != text {
			t.Errorf("%q is the same as %q", text, position)
		}
		if _, _, err := splitPosition(text); err != nil {
			return
		}
		sum := cursorMAC(secret, []byte(text))
		if bytes.Equal(sum, cursorMAC(secret+"x", []byte(text))) {
			t.Error(fmt.Sprint("two secrets have one MAC: ", text))
		}
	})
}
