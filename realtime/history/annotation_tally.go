package history

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// tally is what the annotations of one type on one message sum up to, event by event
// in the order of the log (HTTP API, section 7.2).
type tally struct {
	kind  protocol.Summarizer
	total uint64 // of SummarizeTotal
	// names are the clients by name. A flag has one bucket, under no name.
	names map[string]*bucket
	// holds is the one name of each client of SummarizeUnique.
	holds map[string]string
	// cost is about what it takes in memory, in bytes.
	cost int
	// text is the summary for frames that have room bytes for it, nil when it has changed.
	text json.RawMessage
	room int
	// clipped says that text leaves out clients.
	clipped bool
}

// bucket is what there is under one name.
type bucket struct {
	// clients have counters, which matter to SummarizeMultiple alone.
	clients      map[string]uint64
	unidentified uint64
}

// What things take in memory besides their texts, in bytes, about.
const (
	tallyCost  = 256
	bucketCost = 160
	clientCost = 64
)

func newTally(kind protocol.Summarizer) *tally {
	t := &tally{kind: kind, names: map[string]*bucket{}, cost: tallyCost}
	if kind == protocol.SummarizeUnique {
		t.holds = map[string]string{}
	}
	return t
}

// create counts an annotation.
func (t *tally) create(a *protocol.Annotation) {
	t.forget()
	switch t.kind {
	case protocol.SummarizeTotal:
		t.total++
	case protocol.SummarizeFlag:
		t.put("", a.ClientID, 1)
	case protocol.SummarizeDistinct:
		t.put(a.Name, a.ClientID, 1)
	case protocol.SummarizeUnique:
		if name, ok := t.holds[a.ClientID]; ok {
			t.take(name, a.ClientID)
		} else {
			t.cost += clientCost + len(a.ClientID)
		}
		t.holds[a.ClientID] = a.Name
		t.put(a.Name, a.ClientID, 1)
	case protocol.SummarizeMultiple:
		t.put(a.Name, a.ClientID, cmp.Or(a.Count, 1))
	}
}

// remove counts that an annotation was taken back. The sets know nothing of which
// annotation has brought a client in, so one of two equal ones takes it out.
func (t *tally) remove(a *protocol.Annotation) {
	t.forget()
	switch t.kind {
	case protocol.SummarizeTotal:
		if t.total > 0 {
			t.total--
		}
	case protocol.SummarizeFlag:
		t.take("", a.ClientID)
	case protocol.SummarizeDistinct:
		t.take(a.Name, a.ClientID)
	case protocol.SummarizeUnique:
		if name, ok := t.holds[a.ClientID]; ok {
			t.take(name, a.ClientID)
			delete(t.holds, a.ClientID)
			t.cost -= clientCost + len(a.ClientID)
		}
	case protocol.SummarizeMultiple:
		if a.ClientID != "" {
			t.take(a.Name, a.ClientID)
		}
	}
}

func (t *tally) forget() {
	t.cost -= len(t.text)
	t.text = nil
}

// put adds to the counter of a client, or of those without an id.
func (t *tally) put(name, client string, count uint64) {
	b := t.names[name]
	if b == nil {
		b = &bucket{clients: map[string]uint64{}}
		t.names[name] = b
		t.cost += bucketCost + len(name)
	}
	if client == "" {
		b.unidentified = sum(b.unidentified, count)
		return
	}
	before, known := b.clients[client]
	if !known {
		t.cost += clientCost + len(client)
	}
	b.clients[client] = sum(before, count)
}

// take removes a client. A name without clients goes too, unless it has counters.
func (t *tally) take(name, client string) {
	b := t.names[name]
	if b == nil {
		return
	}
	if _, known := b.clients[client]; known {
		delete(b.clients, client)
		t.cost -= clientCost + len(client)
	}
	if len(b.clients) == 0 && t.kind != protocol.SummarizeMultiple {
		delete(t.names, name)
		t.cost -= bucketCost + len(name)
	}
}

// sum adds, and stays at the highest number there is.
func sum(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// clips are how many clients of each list are named when they do not all fit.
var clips = [...]int{math.MaxInt, 64, 32, 16, 8, 4, 2, 1, 0}

// JSON is the summary in at most room bytes, or as near to it as it gets: its lists of
// clients are cut, and its totals are not (HTTP API, section 7.3).
func (t *tally) json(room int) json.RawMessage {
	if t.text != nil && t.room == room {
		return t.text
	}
	t.forget()
	t.room, t.clipped = room, false
	clients, longest := 0, 0
	for _, b := range t.names {
		clients += len(b.clients)
		longest = max(longest, len(b.clients))
	}
	for i, most := range clips {
		// A client takes three bytes at least, so all need not be written to see.
		if i == 0 && clients > room/3 {
			continue
		}
		t.clipped = longest > most && t.kind != protocol.SummarizeTotal
		if t.text = t.append(make([]byte, 0, 64), most); len(t.text) <= room {
			break
		}
	}
	t.cost += len(t.text)
	return t.text
}

// append appends the summary with at most so many clients in each list.
func (t *tally) append(b []byte, most int) []byte {
	if t.kind == protocol.SummarizeTotal {
		b = strconv.AppendUint(append(b, `{"total":`...), t.total, 10)
		return append(b, '}')
	}
	if t.kind == protocol.SummarizeFlag {
		return cmp.Or(t.names[""], &bucket{}).appendSet(b, most)
	}
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(t.names)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(protocol.AppendString(b, name), ':')
		if t.kind == protocol.SummarizeMultiple {
			b = t.names[name].appendCounts(b, most)
		} else {
			b = t.names[name].appendSet(b, most)
		}
	}
	return append(b, '}')
}

// appendSet appends the bucket as a set of clients.
func (s *bucket) appendSet(b []byte, most int) []byte {
	b = strconv.AppendInt(append(b, `{"total":`...), int64(len(s.clients)), 10)
	b = append(b, `,"clientIds":[`...)
	for i, client := range s.first(most) {
		if i > 0 {
			b = append(b, ',')
		}
		b = protocol.AppendString(b, client)
	}
	b = strconv.AppendBool(append(b, `],"clipped":`...), len(s.clients) > most)
	return append(b, '}')
}

// appendCounts appends the bucket as counters.
func (s *bucket) appendCounts(b []byte, most int) []byte {
	total := s.unidentified
	for _, count := range s.clients {
		total = sum(total, count)
	}
	b = strconv.AppendUint(append(b, `{"total":`...), total, 10)
	b = append(b, `,"clientCounts":{`...)
	for i, client := range s.first(most) {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(append(protocol.AppendString(b, client), ':'), s.clients[client], 10)
	}
	b = strconv.AppendUint(append(b, `},"totalUnidentified":`...), s.unidentified, 10)
	b = strconv.AppendBool(append(b, `,"clipped":`...), len(s.clients) > most)
	b = strconv.AppendInt(append(b, `,"totalClientIds":`...), int64(len(s.clients)), 10)
	return append(b, '}')
}

// first are the first clients in the order of their ids, at most so many. Few of many
// are found without sorting them all.
func (s *bucket) first(most int) []string {
	if len(s.clients) <= most {
		return slices.Sorted(maps.Keys(s.clients))
	}
	first := make([]string, 0, most+1)
	for client := range s.clients {
		if len(first) == most && (most == 0 || client > first[most-1]) {
			continue
		}
		i, _ := slices.BinarySearch(first, client)
		first = slices.Insert(first, i, client)
		first = first[:min(len(first), most)]
	}
	return first
}
