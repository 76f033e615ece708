package conformance

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// sieve is a subscriber whose filters are tried one after the other, and the events
// that are published for each.
type sieve struct {
	*peer
	channel, mark string
	events        []string // bodies of the HTTP API
}

// newSieve makes one with events given as members of their bodies, beside the channel.
func newSieve(s *stage, events ...string) *sieve {
	v := &sieve{peer: s.peer(), channel: s.own("orders"), mark: s.own("mark")}
	v.join(v.mark)
	for _, e := range events {
		v.events = append(v.events, `{"channel":"`+v.channel+`",`+e+`}`)
	}
	v.events = append(v.events, `{"channel":"`+v.mark+`","name":"mark","data":""}`)
	return v
}

// passed is which of the events come, by their place, with a filter given as members
// of the subscribe data.
func (v *sieve) passed(filter string) string {
	v.stage.Helper()
	v.joinWith(v.channel, "", filter)
	v.stage.post("/batch_events", `{"batch":[`+strings.Join(v.events, ",")+`]}`)
	var numbers []string
	for {
		e := v.next()
		if e.Channel == v.mark {
			return strings.Join(numbers, " ")
		}
		at := -1
		for i, body := range v.events {
			if strings.Contains(body, `"data":`+string(e.Data)) {
				at = i
			}
		}
		numbers = append(numbers, strconv.Itoa(at))
	}
}

// Checklist: protocol 169, 171, 173, 174, 179
func TestV2Filters(t *testing.T) {
	inEncodings(t, func(s *stage) {
		v := newSieve(s,
			`"name":"a","data":"0","tags":{"region":"eu","n":"5"}`,
			`"name":"b","data":"1","tags":{"region":"us","n":"50"}`,
			`"name":"a","data":"2","tags":{"region":"europe","n":"abc"}`,
			`"name":"c","data":"3"`,
		)
		for _, c := range []struct{ filter, want string }{
			{`"filter":{"events":["a"]}`, "0 2"},
			{`"filter":{"events":["a","c"]}`, "0 2 3"},
			{`"filter":{"events":["A"]}`, ""},
			{`"filter":{"events":[]}`, "0 1 2 3"},
			{``, "0 1 2 3"},
			{`"filter":null`, "0 1 2 3"},
			{`"filter":{"key":"region","cmp":"eq","val":"eu"}`, "0"},
			{`"filter":{"key":"region","cmp":"neq","val":"eu"}`, "1 2 3"},
			{`"filter":{"key":"region","cmp":"in","vals":["eu","us"]}`, "0 1"},
			{`"filter":{"key":"region","cmp":"nin","vals":["eu","us"]}`, "2 3"},
			{`"filter":{"key":"region","cmp":"ex"}`, "0 1 2"},
			{`"filter":{"key":"region","cmp":"nex"}`, "3"},
			{`"filter":{"key":"region","cmp":"sw","val":"eu"}`, "0 2"},
			{`"filter":{"key":"region","cmp":"ew","val":"e"}`, "2"},
			{`"filter":{"key":"region","cmp":"ct","val":"u"}`, "0 1 2"},
			{`"filter":{"key":"n","cmp":"gt","val":"5"}`, "1"},
			{`"filter":{"key":"n","cmp":"gte","val":"5.0"}`, "0 1"},
			{`"filter":{"key":"n","cmp":"lt","val":50}`, "0"},
			{`"filter":{"key":"n","cmp":"lte","val":"5e1"}`, "0 1"},
			{`"filter":{"key":"n","cmp":"gt","val":"abc"}`, ""},
			{`"filter":{"op":"and","nodes":[{"key":"region","cmp":"sw","val":"eu"},{"op":"not","nodes":[{"key":"n","cmp":"eq","val":"abc"}]}]}`, "0"},
			{`"filter":{"op":"or","nodes":[{"key":"region","cmp":"eq","val":"us"},{"key":"region","cmp":"nex"}]}`, "1 3"},
			{`"tags_filter":{"key":"region","cmp":"eq","val":"us"}`, "1"},
			{`"filter":{"key":"region","cmp":"eq","val":"eu"},"tags_filter":{"key":"region","cmp":"eq","val":"us"}`, "0"},
			{`"filter":{"events":["a"],"tags":{"key":"region","cmp":"eq","val":"europe"}}`, "2"},
			{`"filter":{"tags":{"key":"region","cmp":"ex"},"expression":"event == 'b'"}`, "1"},
			{``, "0 1 2 3"},
		} {
			if got := v.passed(c.filter); got != c.want {
				s.Errorf("%s passes %q, want %q", c.filter, got, c.want)
			}
		}
	})
}

// Checklist: protocol 175, 177
func TestV2Expressions(t *testing.T) {
	inEncodings(t, func(s *stage) {
		v := newSieve(s,
			`"name":"created","data":"{\"id\":7,\"tags\":[1,2]}","tags":{"region":"eu"},"extras":{"headers":{"tenant":"acme","retry":3}}`,
			`"name":"created","data":"{\"id\":8,\"big\":true}"`,
			`"name":"paid","data":"text"`,
			`"name":"none","data":"null"`,
		)
		for _, c := range []struct{ expression, want string }{
			{"data.id == `7`", "0"},
			{"data.id", "0 1"},
			{"data.big", "1"},
			{"data == 'text'", "2"},
			{"data == null", "3"},
			{"event == 'created' && data.id > `7`", "1"},
			{"headers.tenant == 'acme'", "0"},
			{"headers.retry == `3`", "0"},
			{"tags.region", "0"},
			{"length(data.tags) == `2`", "0"},
			{"abs(data.id) == `8`", "1"},
			{"sum(event)", ""},
			{"name == null && userId == null && action == null && serial && messageId && streamId", "0 1 2 3"},
			{"channel", "0 1 2 3"},
			{"`false`", ""},
			{"`[]`", ""},
			{"''", ""},
		} {
			source := compact(c.expression)
			for _, form := range []string{source, `{"language":"jmespath","source":` + source + `}`} {
				if got := v.passed(`"filter":{"expression":` + form + `}`); got != c.want {
					s.Errorf("%s passes %q, want %q", c.expression, got, c.want)
				}
			}
		}
	})
}

// Checklist: protocol 170, 172, 176
func TestV2FiltersThatAreNone(t *testing.T) {
	names := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("e%d", i)
		}
		return compact(list)
	}
	leaf := `{"key":"a","cmp":"ex"}`
	nodes := func(n int) string {
		return `{"op":"and","nodes":[` + strings.TrimSuffix(strings.Repeat(leaf+",", n-1), ",") + `]}`
	}
	deep := func(n int) string {
		return strings.Repeat(`{"op":"not","nodes":[`, n-1) + leaf + strings.Repeat(`]}`, n-1)
	}
	inEncodings(t, func(s *stage) {
		p, orders, here := s.peer(), s.own("orders"), s.own("here")
		p.join(here)
		for _, filter := range []string{
			`{"events":` + names(51) + `}`, `{"events":["` + strings.Repeat("x", 201) + `"]}`, `{"events":[""]}`, `{"events":"a"}`, `{"events":[1]}`,
			`{"op":"not","nodes":[` + leaf + `,` + leaf + `]}`, `{"op":"not","nodes":[]}`, `{"op":"and","nodes":[]}`, `{"op":"xor","nodes":[` + leaf + `]}`,
			`{"cmp":"ex"}`, `{"key":"","cmp":"ex"}`, `{"key":"a"}`, `{"key":"a","cmp":"like","val":"x"}`, `{"key":"a","cmp":"eq"}`, `{"key":"a","cmp":"eq","val":""}`,
			`{"key":"a","cmp":"in"}`, `{"key":"a","cmp":"in","vals":[]}`, `{"key":"a","cmp":"ex","nodes":[` + leaf + `]}`, `{"op":"and","nodes":[` + leaf + `],"key":"a"}`,
			`{"key":"` + strings.Repeat("k", 257) + `","cmp":"ex"}`, `{"key":"a","cmp":"eq","val":"` + strings.Repeat("v", 1025) + `"}`,
			nodes(129), deep(17),
			`{"expression":"a ="}`, `{"expression":"nosuch(a)"}`, `{"expression":"'` + strings.Repeat("x", 4095) + `'"}`, `{"expression":7}`,
			`{"expression":{"language":"cel","source":"a"}}`, `{"expression":"` + strings.Repeat("a.", 300) + `a"}`,
		} {
			p.send("sockudo:subscribe", "", p.wish(orders, "", `"filter":`+filter))
			p.refused(4000, orders, "Invalid message format: ")
		}
		for _, filter := range []string{`5`, `"x"`, `[]`} {
			p.send("sockudo:subscribe", "", p.wish(orders, "", `"filter":`+filter))
			p.refused(4000, "", "Invalid message format: ")
		}
		s.tell(orders, "n", "1")
		p.quiet(here)
		for _, filter := range []string{
			`{"events":` + names(50) + `}`, `{"events":["` + strings.Repeat("x", 200) + `"]}`, nodes(128), deep(16), `{"expression":"'` + strings.Repeat("x", 4094) + `'"}`,
		} {
			p.joinWith(orders, "", `"filter":`+filter)
		}
		// One that is refused leaves the one before in force.
		p.joinWith(orders, "", `"filter":{"events":["a"]}`)
		p.send("sockudo:subscribe", "", p.wish(orders, "", `"filter":{"events":"b"}`))
		p.refused(4000, orders)
		s.tell(orders, "b", "1")
		s.tell(orders, "a", "2")
		p.event("a")
	})
}

// Checklist: protocol 178
func TestV2FiltersSpareTheServersWords(t *testing.T) {
	inEncodings(t, func(s *stage) {
		const nothing = `"filter":{"events":["x"],"expression":"` + "`false`" + `"}`
		lobby, cache, orders := s.own("presence-lobby"), s.own("cache-x"), s.own("orders")
		p, other := s.peer(), s.peer()
		p.joinWith(lobby, `{"user_id":"u1"}`, nothing)
		other.joinAs(lobby, `{"user_id":"u2"}`)
		p.event("sockudo_internal:member_added")
		other.send("sockudo:presence_update", "", map[string]any{"channel": lobby, "data": 1})
		p.event("sockudo_internal:presence_update")
		other.send("client-x", lobby, "filtered")
		other.close()
		p.event("sockudo_internal:member_removed")
		p.joinWith(cache, "", nothing)
		p.event("sockudo:cache_miss")
		p.joinWith("[meta]"+orders, "", nothing)
		third := s.peer()
		third.join(orders)
		p.event("sockudo_internal:channel_occupied")
		p.event("sockudo_internal:subscription_count")
	})
}

// Each subscription of a socket has a filter of its own, and one that lets an event
// pass is enough.
//
// Checklist: protocol 82
func TestV2FiltersOfSeveralSubscriptions(t *testing.T) {
	inEncodings(t, func(s *stage) {
		eu, here := s.own("orders")+".eu", s.own("here")
		p := s.peer()
		p.join(here)
		p.joinWith(eu, "", `"filter":{"events":["a","both"]}`)
		p.joinWith(s.own("orders")+".*", "", `"filter":{"events":["b","both"]}`)
		for _, name := range []string{"a", "b", "c", "both"} {
			s.tell(eu, name, "1")
		}
		for _, name := range []string{"a", "b", "both"} {
			p.event(name)
		}
		p.quiet(here)
		p.leave(eu)
		p.send("sockudo:ping", "", nil)
		p.event("sockudo:pong")
		for _, name := range []string{"a", "b", "c", "both"} {
			s.tell(eu, name, "1")
		}
		for _, name := range []string{"b", "both"} {
			p.event(name)
		}
		p.quiet(here)
	})
}

// Checklist: protocol 180
func TestV2FiltersAreNothingToV1(t *testing.T) {
	s := inDialect(t, needV2(t), inV1)
	p, orders := s.peer(), s.own("orders")
	p.joinWith(orders, "", `"filter":{"events":["a"]},"tags_filter":{"key":"a","cmp":"ex"},"delta":"fossil","modes":[]`)
	s.publish(`{"name":"b","channel":"` + orders + `","data":"1","tags":{"b":"c"}}`)
	p.expect(`{"event":"b","channel":"orders","data":"1"}`)
}

// Where filtering by tags is off, such a filter is checked, and lets everything pass.
//
// Checklist: protocol 169, 172
func TestV2TagFilteringIsOffByDefault(t *testing.T) {
	s := inDialect(t, needOurs(t), inJSON)
	s.app = openApp
	v := newSieve(s, `"name":"a","data":"0","tags":{"a":"b"}`, `"name":"b","data":"1"`)
	if got := v.passed(`"filter":{"key":"a","cmp":"ex"}`); got != "0 1" {
		t.Errorf("tags: %q", got)
	}
	if got := v.passed(`"filter":{"events":["a"]}`); got != "0" {
		t.Errorf("events: %q", got)
	}
	v.send("sockudo:subscribe", "", v.wish(v.channel, "", `"filter":{"key":"a"}`))
	v.refused(4000, v.channel)
}
