package history

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var serialForm = regexp.MustCompile(`^\d{20}:[A-Za-z0-9._-]+:\d{20}$`)

func TestNewSerial(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123)
	serial := NewSerial(now, "node-a", "")
	if !serialForm.MatchString(serial) || !strings.HasPrefix(serial, "00000001700000000123:node-a:") || !ValidSerial(serial) {
		t.Error(serial)
	}
	for _, after := range []string{
		serial, NewSerial(now, "zz", ""), NewSerial(now.Add(time.Hour), "zz", ""), NewSerial(now, "node-a", serial), "00000001700000000123", "0000000170000000012",
		"18446744073709551614:n:1", "18446744073709551615:n:1", "99999999999999999999:n:1", "m", "~~~", "0000000170000000012x:n:1",
		strings.Repeat("~", 127) + "a", strings.Repeat("9", 128), "ü" + strings.Repeat("x", 126), strings.Repeat("a", 127) + "~",
	} {
		for _, node := range []string{"a", "zzz"} {
			next := NewSerial(now, node, after)
			if next <= after || !ValidSerial(next) {
				t.Errorf("after %q comes %q", after, next)
			}
			if strings.HasPrefix(after, "00000001700000000123:") && !serialForm.MatchString(next) {
				t.Errorf("after %q comes %q, which is of another form", after, next)
			}
		}
	}
}

// Clocks go back and are apart by minutes, and serials rise.
//
// Checklist: http-api 141
func TestSerialsRiseWhateverClocksDo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	after, nodes := "", []string{"a", "b", "node with spaces", ""}
	for range 5000 {
		next := NewSerial(time.UnixMilli(1_700_000_000_000+r.Int64N(600_000)), nodes[r.IntN(len(nodes))], after)
		if next <= after || !serialForm.MatchString(next) {
			t.Fatalf("after %q comes %q", after, next)
		}
		after = next
	}
}

func TestSerialsOfAMillisecondDiffer(t *testing.T) {
	var mu sync.Mutex
	var group sync.WaitGroup
	seen := map[string]bool{}
	for range 8 {
		group.Go(func() {
			for range 500 {
				serial := NewSerial(time.UnixMilli(1), "n", "")
				mu.Lock()
				seen[serial] = true
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(seen) != 4000 {
		t.Errorf("%d serials", len(seen))
	}
}

func TestNodesInSerials(t *testing.T) {
	long := strings.Repeat("long-name.", 30)
	seen := map[string]string{}
	for _, node := range []string{"node-a", "a b", "a-b", "a\tb", "a:b", "ü", "é", "", "-", long, long + "2", strings.Repeat("x", maxSerialNode), strings.Repeat("x", maxSerialNode+1), "\xff"} {
		serial := NewSerial(time.UnixMilli(1<<50), node, "")
		if !serialForm.MatchString(serial) || !ValidSerial(serial) {
			t.Errorf("%q: %q of %d bytes", node, serial, len(serial))
		}
		name := strings.Split(serial, ":")[1]
		if other, twice := seen[name]; twice {
			t.Errorf("%q and %q are both %q", node, other, name)
		}
		seen[name] = node
	}
	if seen["node-a"] == "" || seen["a-b"] != "a-b" {
		t.Errorf("names that can stay did not: %q", seen)
	}
}

func TestCheckSerial(t *testing.T) {
	for serial, want := range map[string]string{
		"": "message_serial must not be empty", " \t": "message_serial must not be empty", "a b": "message_serial must not contain whitespace",
		"a\u2003": "message_serial must not contain whitespace", strings.Repeat("x", 129): "message_serial must be at most 128 bytes",
	} {
		if err := CheckSerial("message_serial", serial); err == nil || err.Error() != want || ValidSerial(serial) {
			t.Errorf("%q: %v, want %s", serial, err, want)
		}
	}
	for _, serial := range []string{"m", "ü", strings.Repeat("x", 128)} {
		if err := CheckSerial("message_serial", serial); err != nil || !ValidSerial(serial) {
			t.Errorf("%q: %v", serial, err)
		}
	}
}
