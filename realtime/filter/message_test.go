package filter

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Checklist: protocol 175, 177
func TestExpressions(t *testing.T) {
	for expression, want := range map[string]bool{
		"data.id == `7`":                            true,
		"data.id == `8`":                            false,
		"data.items[?price > `10`]":                 true,
		"data.items[?price > `20`]":                 false,
		"event == 'created' && channel == 'orders'": true,
		"headers.tenant == 'acme'":                  true,
		"headers.rank > `1`":                        true,
		"headers.other":                             false,
		"tags.region == 'eu-west'":                  true,
		"tags.region":                               true,
		"not_null(name, userId, messageId, streamId, serial, action)": false,
		"type(tags) == 'object' && length(keys(@)) == `11`":           true,
		// What cannot be evaluated suppresses the message.
		"length(name) > `0`":                         false,
		"!length(name)":                              false,
		"abs(event) || `true`":                       false,
		"sort_by(data.items, &@)":                    false,
		"[@,@][]" + strings.Repeat(" | [@,@][]", 28): false,
	} {
		if got := compile(t, withExpression(expression)).Match(order(), allOn); got != want {
			t.Errorf("%.60s: %v", expression, got)
		}
	}
}

// Checklist: protocol 175
func TestDataOfExpressions(t *testing.T) {
	for _, test := range []struct{ data, expression string }{
		{`"{\"id\":7}"`, "data.id == `7`"},
		{`{"id":7}`, "data.id == `7`"},
		{`"  [1,2]\n"`, "data[1] == `2`"},
		{`"7"`, "data == `7`"},
		{`"null"`, "type(data) == 'null'"},
		{`"\"inner\""`, "data == 'inner'"},
		{`"plain text"`, "data == 'plain text'"},
		{`"{\"id\":"`, "data == '{\"id\":'"},
		{`"{} {}"`, "type(data) == 'string'"},
		{`"\u007b\u007d"`, "data == `{}`"},
		{`""`, "data == ''"},
		{`null`, "type(data) == 'null'"},
		{``, "type(data) == 'null'"},
		{`true`, "data"},
		{`["a"]`, "data[0] == 'a'"},
	} {
		m := &Message{Data: json.RawMessage(test.data)}
		if !compile(t, withExpression(test.expression)).Match(m, allOn) {
			t.Errorf("data %s: %s is not true", test.data, test.expression)
		}
	}
}

// The document has each member, as section 6.4 shows it.
func TestDocument(t *testing.T) {
	full := &Message{
		Event: "a\"b", Channel: "c", Data: json.RawMessage(`"{\"id\": 7}"`), Name: "n", UserID: "u",
		Tags: protocol.Tags{{Key: "region", Value: "eu\n"}, {Key: "x", Value: ""}},
		Headers: []protocol.Header{
			{Name: "sockudo_action", Value: json.RawMessage(`"private"`)},
			{Name: "tenant", Value: json.RawMessage(`"acme"`)},
			{Name: "retry", Value: json.RawMessage(`0`)},
			{Name: "urgent", Value: json.RawMessage(`true`)},
		},
		MessageID: "m", StreamID: "s", Serial: 42, Action: "update",
	}
	for want, m := range map[string]*Message{
		`{"event":"a\"b","channel":"c","data":{"id": 7},"name":"n","userId":"u","tags":{"region":"eu\n","x":""},` +
			`"headers":{"tenant":"acme","retry":0,"urgent":true},"messageId":"m","streamId":"s","serial":42,"action":"update"}`: full,
		`{"event":null,"channel":null,"data":null,"name":null,"userId":null,"tags":null,"headers":null,` +
			`"messageId":null,"streamId":null,"serial":null,"action":null}`: {},
		`{"event":null,"channel":null,"data":null,"name":null,"userId":null,"tags":null,"headers":{},` +
			`"messageId":null,"streamId":null,"serial":null,"action":null}`: {Headers: full.Headers[:1]},
	} {
		got, ok := m.text()
		if !ok || string(got) != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

// A document of 64 KiB is evaluated, and one of a byte more suppresses the message.
func TestDocumentSize(t *testing.T) {
	rest, _ := (&Message{Event: "e", Data: json.RawMessage(`""`)}).text()
	room := maxDocument - len(rest)
	p := compile(t, withExpression("event"))
	for _, test := range []struct {
		name string
		m    *Message
		want bool
	}{
		{"data", &Message{Data: json.RawMessage(`"` + strings.Repeat("x", room) + `"`)}, true},
		{"data and a byte", &Message{Data: json.RawMessage(`"` + strings.Repeat("x", room+1) + `"`)}, false},
		{"escaped JSON", &Message{Data: json.RawMessage(`"[` + strings.Repeat(`\u0031,`, room/2-2) + `2]"`)}, true},
		{"much data", &Message{Data: json.RawMessage(`"` + strings.Repeat("x", 10*maxDocument) + `"`)}, false},
		{"much that is not a string", &Message{Data: json.RawMessage(`[` + strings.Repeat("1,", 5*maxDocument) + `1]`)}, false},
		{"a tag", &Message{Data: json.RawMessage(`""`), Tags: protocol.Tags{{Key: "k", Value: strings.Repeat("x", maxDocument)}}}, false},
		{"a tag that gets longer", &Message{Data: json.RawMessage(`""`), Tags: protocol.Tags{{Key: "k", Value: strings.Repeat("\x01", room/2)}}}, false},
		{"a hidden header", &Message{
			Data:    json.RawMessage(`""`),
			Headers: []protocol.Header{{Name: "sockudo_x", Value: json.RawMessage(`"` + strings.Repeat("x", maxDocument) + `"`)}},
		}, true},
		{"a number without a value", &Message{Data: json.RawMessage(`1e999`)}, false},
	} {
		test.m.Event = "e"
		if got := p.Match(test.m, allOn); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// Many goroutines may show one message to many predicates.
func TestMatchesAtOnce(t *testing.T) {
	yes, no := compile(t, withExpression("data.id == `7`")), compile(t, withExpression("data.id == `8`"))
	m := order()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if !yes.Match(m, allOn) || no.Match(m, allOn) {
				t.Error("wrong")
			}
		})
	}
	wait.Wait()
}
