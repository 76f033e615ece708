package protocol

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestAnnotationTypes(t *testing.T) {
	for text, want := range map[string]Summarizer{
		"reactions:total.v1": SummarizeTotal, "r:flag.v1": SummarizeFlag, "ü-2:distinct.v1": SummarizeDistinct,
		"a.v1:unique.v1": SummarizeUnique, strings.Repeat("x", 256-len(":multiple.v1")) + ":multiple.v1": SummarizeMultiple,
	} {
		if got, err := ParseAnnotationType(text); got != want || err != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, says := range map[string]string{
		"": "must not be empty", "total.v1": "must use namespace", "r:total": "must use namespace", ":total.v1": "namespace must not be empty",
		"r:sum.v1": `unsupported annotation summarizer: "sum"`, "r:total.v2": `version: "2"`, "r:total.v01": `version: "01"`, "r:total.v": `version: ""`,
		"r:total.V1": "must use namespace", "r: total.v1": "whitespace", "r:total.v1\n": "whitespace", "r\u00a0:total.v1": "whitespace",
		"a:b:total.v1": "unsupported annotation summarizer", strings.Repeat("x", 248) + ":total.v1": "at most 256 bytes",
	} {
		if _, err := ParseAnnotationType(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func TestWhatSummarizersNeed(t *testing.T) {
	for s, want := range map[Summarizer][2]bool{
		SummarizeTotal: {false, false}, SummarizeFlag: {false, true}, SummarizeDistinct: {true, true}, SummarizeUnique: {true, true}, SummarizeMultiple: {true, false},
	} {
		if got := [2]bool{s.NeedsName(), s.NeedsClient()}; got != want {
			t.Errorf("%d: name and client %v, want %v", s, got, want)
		}
	}
}

// The frames are those of section 6.10, in every format.
func TestAnnotationFrames(t *testing.T) {
	create := Annotation{
		Action: AnnotationCreate, ID: "7d1c", Serial: "ann:9", MessageSerial: "m:7", Type: "reactions:distinct.v1",
		Name: "thumbsup", ClientID: "u2", Count: 1, At: 1790000000789,
	}
	remove := Annotation{Action: AnnotationDelete, Serial: "ann:10", MessageSerial: "m:7", Type: "reactions:distinct.v1", Name: `"`, ClientID: "u2", At: 1790000000999}
	for _, c := range []struct {
		message *Outbound
		want    string
	}{
		{
			SummaryMessage("chat", "m:7", "reactions:distinct.v1", json.RawMessage(`{"thumbsup":{"total":2,"clientIds":["u1","u2"],"clipped":false}}`)),
			`{"event":"sockudo_internal:message","channel":"chat","data":{"action":"message.summary","serial":"m:7","annotations":{"summary":` +
				`{"reactions:distinct.v1":{"thumbsup":{"total":2,"clientIds":["u1","u2"],"clipped":false}}}}},"extras":{"ephemeral":true}}`,
		},
		{
			AnnotationMessage("chat", create.AppendJSON(nil)),
			`{"event":"sockudo_internal:annotation","channel":"chat","data":{"action":"annotation.create","id":"7d1c","serial":"ann:9","messageSerial":"m:7",` +
				`"type":"reactions:distinct.v1","name":"thumbsup","clientId":"u2","count":1,"timestamp":1790000000789},"extras":{"ephemeral":true}}`,
		},
		{
			AnnotationMessage("chat", remove.AppendJSON(nil)),
			`{"event":"sockudo_internal:annotation","channel":"chat","data":{"action":"annotation.delete","serial":"ann:10","messageSerial":"m:7",` +
				`"type":"reactions:distinct.v1","name":"\"","clientId":"u2","timestamp":1790000000999},"extras":{"ephemeral":true}}`,
		},
	} {
		if got := string(c.message.Frame(FormatJSON).Text()); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
		for f := range Formats {
			if Format(f) == FormatV1 {
				continue
			}
			d, err := DecodeOutbound(Format(f), c.message.Frame(Format(f)).Text())
			if err != nil || string(d.Data) != string(c.message.Data) || d.DataKind != "json" || d.Ephemeral == nil || !*d.Ephemeral || d.Channel != "chat" {
				t.Errorf("%v: %+v, %v", Format(f), d, err)
			}
			if d.Event != "sockudo_internal:"+c.message.Event || d.HasSerial || d.StreamID != "" || len(d.Leaked) > 0 {
				t.Errorf("%v: %+v", Format(f), d)
			}
		}
	}
}

func TestSummaryOverhead(t *testing.T) {
	o := SummaryMessage(`c"`, `m"`, `t"`, json.RawMessage(`{"total":1}`))
	o.MessageID = NewMessageID()
	if got, want := SummaryOverhead(`c"`, `m"`, `t"`), len(o.Frame(FormatJSON).Text())-len(`{"total":1}`); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

func TestAnnotationsAreReadAsTheyAreWritten(t *testing.T) {
	for _, a := range []Annotation{
		{Action: AnnotationCreate},
		{
			Action: AnnotationCreate, ID: "i", Serial: "s", MessageSerial: "m", Type: "t", Name: "n\n", ClientID: `"c`, Count: 1<<64 - 1,
			Data: json.RawMessage(`{"a":[1.50]}`), Encoding: "e", At: -1,
		},
	} {
		if got, err := ParseAnnotation(a.AppendJSON(nil)); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("got %+v, %v, want %+v", got, err, a)
		}
	}
	if _, err := ParseAnnotation([]byte(`{"count":-1}`)); err == nil {
		t.Error("a count below zero was read")
	}
}
