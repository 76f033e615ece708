package filter

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

func FuzzCompile(f *testing.F) {
	for _, filter := range []string{
		`{"events":["created","paid"],"tags":{"key":"region","cmp":"eq","val":"eu"},"expression":"headers.tenant == 'acme'"}`,
		`{"op":"and","nodes":[{"key":"region","cmp":"in","vals":["eu","us"]},{"op":"not","nodes":[{"key":"test","cmp":"ex"}]}]}`,
		`{"key":"amount","cmp":"gte","val":100}`, `{"key":"flag","cmp":"neq","val":true,"nodes":[],"op":null}`,
		`{"expression":{"language":"jmespath","source":"data.id == ` + "`7`" + `"}}`, `{"events":[]}`, `{"tags":null}`, `[]`, `null`, `{}`,
	} {
		f.Add([]byte(filter), []byte(`"{\"id\":7}"`))
	}
	f.Fuzz(func(t *testing.T, filter, data []byte) {
		p, err := Compile(filter, nil, usual)
		if err != nil {
			if text := err.Error(); p != nil || !strings.HasPrefix(text, "filter") || len(text) > 1000 {
				t.Fatalf("%q: %q, %v", filter, text, p)
			}
			return
		}
		if !json.Valid(data) {
			data = nil
		}
		m := order()
		m.Data = data
		matches := p.Match(m, allOn)
		if p == nil {
			if !matches {
				t.Fatalf("%q restricts nothing, and lets nothing pass", filter)
			}
			return
		}
		again, err := Compile(json.RawMessage(p.Key()), nil, usual)
		if err != nil || again.Key() != p.Key() || again.Match(m, allOn) != matches {
			t.Fatalf("%q has the key %q, %v", filter, p.Key(), err)
		}
		if !p.Match(m, Switches{}) {
			t.Fatalf("%q acts although all is off", filter)
		}
	})
}

func FuzzDocument(f *testing.F) {
	f.Add("created", "region", "eu", []byte(`"{\"id\":7}"`), []byte(`"acme"`))
	f.Add("a\"b", "\x00", "é\xff", []byte(`{"a":[1,{"b":null}]}`), []byte(`2.5`))
	f.Fuzz(func(t *testing.T, event, key, value string, data, header []byte) {
		if !json.Valid(data) || !json.Valid(header) {
			return
		}
		m := &Message{
			Event: event, Data: data, Tags: protocol.Tags{{Key: key, Value: value}}, Headers: []protocol.Header{{Name: key, Value: header}},
		}
		text, ok := m.text()
		if ok && (!json.Valid(text) || len(text) > maxDocument) {
			t.Fatalf("%q is not a document", text)
		}
		m.once.Do(m.project)
		if m.document != nil && len(m.document) != 11 {
			t.Fatalf("%q has %d members", text, len(m.document))
		}
	})
}
