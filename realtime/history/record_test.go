package history

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// fullRecord has a value in every field.
func fullRecord(t testing.TB) *Record {
	t.Helper()
	r := &Record{
		Event: "chat.message", Channel: "chat-1", Name: "na\"me", Data: json.RawMessage(`"{\"a\": 1}"`), UserID: "u1", MessageID: "m1",
		Tags: protocol.Tags{{Key: "a", Value: "1"}, {Key: "b", Value: "é"}}, Extras: json.RawMessage(`{"headers":{"x": 1},"echo":false}`),
		Except: "1.2", Client: true, Full: true, Publisher: "c1", PublishedAt: base,
		Action: "append", MessageSerial: "s1", VersionSerial: "s2", HistorySerial: 1<<63 + 1, VersionAt: base + 1,
		VersionClient: "c2", Description: "typo", Metadata: json.RawMessage(`{"ip":"x"}`), Fragment: json.RawMessage(`"1}"`), Fingerprint: "f",
	}
	v := reflect.ValueOf(r).Elem()
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Fatalf("%s is not set", v.Type().Field(i).Name)
		}
	}
	return r
}

func TestRecordKeepsEverything(t *testing.T) {
	for _, r := range []*Record{fullRecord(t), {}, {Event: "e", Channel: "c", Data: json.RawMessage(`null`)}} {
		text := r.Append(nil)
		got, err := ParseRecord(text)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s\nread as %+v, %v\nwant %+v", text, got, err, r)
		}
	}
}

func TestRecordOfOthers(t *testing.T) {
	want := &Record{Event: "e", Channel: "c", Data: json.RawMessage(`{"x":1}`), MessageID: "m", Tags: protocol.Tags{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}}
	for _, text := range []string{
		`{"event":"e","channel":"c","data":{"x":1},"message_id":"m","tags":{"b":"2","a":"1"},"stream_id":"s","serial":3,"idempotency_key":"k"}`,
		`{"message":{"event":"e","channel":"c","data":{"x":1},"message_id":"m","tags":{"b":"2","a":"1"},"later":[]},"envelope":{"later":{}},"later":0}`,
		`{"message":{"event":"e","channel":"c","data":{"x":1},"message_id":"m","tags":{"b":"2","a":"1"},"extras":null}}`,
	} {
		if got, err := ParseRecord([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s read as %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{``, `[]`, `{"message":[]}`, `{"event":1}`, `{"message":{},"envelope":{"client":"yes"}}`} {
		if got, err := ParseRecord([]byte(text)); err == nil {
			t.Errorf("%s read as %+v", text, got)
		}
	}
}

func TestRecordOfEnvelope(t *testing.T) {
	for _, e := range []*protocol.Envelope{
		{App: "a", Channel: "c", Event: "e", Data: json.RawMessage(`"d"`), Except: "1.2", Client: true, UserID: "u", MessageID: "m", Full: true, Tags: protocol.Tags{{Key: "k", Value: "v"}}, Extras: json.RawMessage(`{"x":1}`)},
		{App: "a", Channel: "#server-to-user-u1", Kind: protocol.KindUserEvent, User: "u1", Event: "e"},
	} {
		want := *e
		want.Stream, want.Serial = "s", 7
		r, err := ParseRecord(RecordOf(e, base).Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Envelope("a", "s", 7); !reflect.DeepEqual(got, &want) {
			t.Errorf("got %+v, want %+v", got, &want)
		}
		if r.PublishedAt != base {
			t.Errorf("published at %d", r.PublishedAt)
		}
	}
}

func TestFrame(t *testing.T) {
	plain := &Record{Event: "order.created", Channel: "orders", Data: json.RawMessage(`"{\"id\":\"ord_1\"}"`), MessageID: "m", Tags: protocol.Tags{{Key: "k", Value: "v"}}, Extras: json.RawMessage(`{"headers":{"x":1}}`)}
	const want = `{"event":"order.created","channel":"orders","data":"{\"id\":\"ord_1\"}","tags":{"k":"v"},"message_id":"m","stream_id":"s","serial":42,"extras":{"headers":{"x":1}}}`
	if got := string(plain.Frame("s", 42, 41)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e := plain.Envelope("a", "s", 42)
	out := protocol.Outbound{Event: e.Event, Channel: e.Channel, Data: e.Data, Tags: e.Tags, MessageID: e.MessageID, StreamID: e.Stream, Serial: e.Serial}
	out.Extras, _ = protocol.ParseExtras(e.Extras, protocol.ExtrasRules{Ephemeral: true, Echo: true})
	if got := string(out.Frame(protocol.FormatJSON).Text()); got != want {
		t.Errorf("a socket gets %s", got)
	}
	create := *plain
	create.MessageSerial, create.VersionSerial, create.VersionAt = "s1", "s1", base
	const headed = `{"event":"order.created","channel":"orders","data":"{\"id\":\"ord_1\"}","tags":{"k":"v"},"message_id":"m","stream_id":"s","serial":42,"extras":{"headers":{"x":1,"sockudo_action":"message.create","sockudo_message_serial":"s1","sockudo_version_serial":"s1","sockudo_version_timestamp_ms":1700000000000,"sockudo_history_serial":41}}}`
	if got := string(create.Frame("s", 42, 41)); got != headed {
		t.Errorf("got  %s\nwant %s", got, headed)
	}
}

func TestVersion(t *testing.T) {
	r := fullRecord(t)
	r.Tags = nil
	const want = `{"event":"sockudo:message.append","channel":"chat-1","data":"{\"a\": 1}","name":"na\"me","serial":58,` +
		`"extras":{"echo":false,"headers":{"x":1,"sockudo_action":"message.append","sockudo_message_serial":"s1","sockudo_version_serial":"s2","sockudo_version_timestamp_ms":1700000000001,"sockudo_history_serial":41}},` +
		`"action":"append","message_serial":"s1","history_serial":41,"delivery_serial":58,"version":{"serial":"s2","client_id":"c2","timestamp_ms":1700000000001,"description":"typo","metadata":{"ip":"x"}}}`
	r.Extras = json.RawMessage(`{"headers":{"sockudo_action":"message.create","x":1,"sockudo_history_serial":7.0},"echo":false}`)
	if got := string(r.Version("", 58, 41)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// What is not there is left out, and a create has its publisher's name.
	bare := &Record{Event: "e", Channel: "c", MessageSerial: "s", VersionSerial: "s", VersionAt: 1}
	const short = `{"event":"sockudo:message.create","channel":"c","name":"e","stream_id":"st","serial":2,"extras":{"headers":{"sockudo_action":"message.create","sockudo_message_serial":"s","sockudo_version_serial":"s","sockudo_version_timestamp_ms":1,"sockudo_history_serial":1}},` +
		`"action":"create","message_serial":"s","history_serial":1,"delivery_serial":2,"version":{"serial":"s","timestamp_ms":1}}`
	if got := string(bare.Version("st", 2, 1)); got != short {
		t.Errorf("got  %s\nwant %s", got, short)
	}
	cleared := &Record{Event: "e", Channel: "c", Action: "delete", MessageSerial: "s", VersionSerial: "s"}
	if got := cleared.name(); got != "" {
		t.Errorf("a cleared name is %q", got)
	}
}

// FuzzParseRecord reads what stores may hold: it never panics, and what was read is
// the same after it was written again.
func FuzzParseRecord(f *testing.F) {
	f.Add(fullRecord(f).Append(nil))
	f.Add([]byte(`{"event":"e","channel":"c","data":"x","tags":{"a":"1"}}`))
	f.Add([]byte(`{"message":{"event":"\ud800","data": {"a" : [1,2]} },"envelope":{"history_serial":18446744073709551615}}`))
	f.Add([]byte(`{"message":null,"envelope":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRecord(text)
		if err != nil {
			return
		}
		again, err := ParseRecord(r.Append(nil))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q was read as %+v, and then as %+v, %v", text, r, again, err)
		}
		for _, frame := range [][]byte{r.Frame("s", 2, 1), r.Version("s", 2, 1)} {
			if !json.Valid(frame) {
				t.Errorf("%q became %q", text, frame)
			}
		}
	})
}
