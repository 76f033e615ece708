package redis

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

func TestAdapterNames(t *testing.T) {
	plain, numbered := newNames("sockudo", 0), newNames("sockudo", 3)
	for want, got := range map[string]string{
		"sockudo:#control":       plain.of(protocol.Topic{}),
		"sockudo:#4:demo:room:1": plain.of(protocol.Topic{App: "demo", Channel: "room:1"}),
		"sockudo:#0::check":      plain.of(protocol.Topic{Channel: "check"}),
		"sockudo:#db3:control":   numbered.of(protocol.Topic{}),
		"sockudo:#db3:1:a:b":     numbered.of(protocol.Topic{App: "a", Channel: "b"}),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if err := checkAdapterPrefix("a:#b"); err == nil {
		t.Error("a prefix that leads into names of others is taken")
	}
}

// FuzzAdapterNames wants different names for what is different.
func FuzzAdapterNames(f *testing.F) {
	f.Add("p", "app", "c", "p:", "app", "c")
	f.Add("p", "a:b", "c", "p", "a", "b:c")
	f.Add("p", "", "", "p", "", "control")
	f.Add("p", "1:a", "c", "p:#3", "1:a", "c")
	f.Fuzz(func(t *testing.T, p1, a1, c1, p2, a2, c2 string) {
		if checkAdapterPrefix(p1) != nil || checkAdapterPrefix(p2) != nil {
			return
		}
		one, other := protocol.Topic{App: a1, Channel: c1}, protocol.Topic{App: a2, Channel: c2}
		if same := newNames(p1, 0).of(one) == newNames(p2, 0).of(other); same != (p1 == p2 && one == other) {
			t.Errorf("%q %q and %q %q: the same name is %v", p1, one, p2, other, same)
		}
		if newNames(p1, 0).of(one) == newNames(p2, 1).of(other) {
			t.Error("two databases have one name")
		}
	})
}

// TestSlots asks Redis for the slots of names.
func TestSlots(t *testing.T) {
	node := clusterOf().Nodes[0]
	for _, name := range []string{"", "a", "123456789", "foo{bar}baz", "foo{}bar", "foo{{bar}}zap", "{a", "a}", "}{a}", "{user1000}.following", "ключ\x00\xff", strings.Repeat("x", 500)} {
		if want := node.MustDo("CLUSTER", "KEYSLOT", name); strconv.Itoa(slotOf(name)) != want {
			t.Errorf("%q is in slot %d, by Redis in %s", name, slotOf(name), want)
		}
	}
}

// FuzzClusterAnswers reads what nodes of a cluster say of slots and of themselves.
func FuzzClusterAnswers(f *testing.F) {
	f.Add("MOVED 3999 127.0.0.1:6381", ":6381", "127.0.0.1:7")
	f.Add("MOVED -1 h:1", "?:1", "")
	f.Add("cluster_state:ok\r\ncluster_slots_pfail:0\r\n", "h:1", "h")
	f.Fuzz(func(t *testing.T, text, address, from string) {
		if slot, ok := movedSlot(answer(text)); ok && (slot < 0 || slot >= slotCount) {
			t.Errorf("slot %d", slot)
		}
		if value := clusterWord(text, "cluster_state"); value != strings.TrimSpace(value) || strings.Contains(value, "\n") {
			t.Errorf("%q", value)
		}
		if got := completed(address, from); !strings.HasPrefix(address, ":") && got != address {
			t.Errorf("%q became %q", address, got)
		}
	})
}

// answer is an error of the server.
type answer string

func (a answer) Error() string { return string(a) }
func (answer) RedisError()     {}

func TestClusterAnswers(t *testing.T) {
	for text, want := range map[string]int{"MOVED 3999 h:1": 3999, "MOVED 0 :1": 0, "MOVED 16384 h:1": -1, "MOVED -1 h:1": -1, "MOVED x h:1": -1, "MOVED 5": -1, "ASK 5 h:1": -1} {
		if slot, ok := movedSlot(answer(text)); ok != (want >= 0) || ok && slot != want {
			t.Errorf("%s: %d, %v", text, slot, ok)
		}
	}
	if _, ok := movedSlot(errors.New("MOVED 1 h:1")); ok {
		t.Error("an error of somebody else is an answer")
	}
	for _, c := range [][3]string{{":1", "[::1]:7", "[::1]:1"}, {"h:1", "x:7", "h:1"}, {":1", "nonsense", ":1"}} {
		if got := completed(c[0], c[1]); got != c[2] {
			t.Errorf("%s from %s is %s", c[0], c[1], got)
		}
	}
	if word := clusterWord("a:1\r\ncluster_state:fail\r\n", "cluster_state"); word != "fail" {
		t.Error(word)
	}
}
