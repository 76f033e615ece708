package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Summarizer says how annotations of a type are summed up (section 7.2 of the HTTP
// API).
type Summarizer uint8

// The summarizers.
const (
	// SummarizeTotal counts annotations.
	SummarizeTotal Summarizer = iota
	// SummarizeFlag is a set of clients.
	SummarizeFlag
	// SummarizeDistinct is a set of clients for each name.
	SummarizeDistinct
	// SummarizeUnique is the same, with each client in one set only.
	SummarizeUnique
	// SummarizeMultiple is a counter of each client for each name.
	SummarizeMultiple
)

var summarizers = map[string]Summarizer{
	"total": SummarizeTotal, "flag": SummarizeFlag, "distinct": SummarizeDistinct, "unique": SummarizeUnique, "multiple": SummarizeMultiple,
}

// NeedsName reports whether each annotation must have a name, and NeedsClient whether
// it must have a client.
func (s Summarizer) NeedsName() bool { return s >= SummarizeDistinct }

// NeedsClient reports whether each annotation must have a client.
func (s Summarizer) NeedsClient() bool { return s > SummarizeTotal && s < SummarizeMultiple }

// MaxAnnotationType is the length of the longest annotation type, in bytes.
const MaxAnnotationType = 256

// ParseAnnotationType reads a type such as "reactions:distinct.v1". An error is a text
// for people.
func ParseAnnotationType(text string) (Summarizer, error) {
	namespace, rest, found := strings.Cut(text, ":")
	at := strings.LastIndex(rest, ".v")
	switch {
	case text == "":
		return 0, errors.New("annotation type must not be empty")
	case len(text) > MaxAnnotationType:
		return 0, fmt.Errorf("annotation type must be at most %d bytes", MaxAnnotationType)
	case strings.ContainsFunc(text, unicode.IsSpace):
		return 0, errors.New("annotation type must not contain whitespace")
	case !found || at < 0:
		return 0, fmt.Errorf("annotation type must use namespace:summarizer.version: %q", text)
	case namespace == "":
		return 0, errors.New("annotation namespace must not be empty")
	}
	s, known := summarizers[rest[:at]]
	switch {
	case !known:
		return 0, fmt.Errorf("unsupported annotation summarizer: %q", rest[:at])
	case rest[at:] != ".v1":
		return 0, fmt.Errorf("unsupported annotation summarizer version: %q", rest[at+len(".v"):])
	}
	return s, nil
}

// The actions of annotations.
const (
	AnnotationCreate = "annotation.create"
	AnnotationDelete = "annotation.delete"
)

// Annotation is what somebody has said about a message, or that it was taken back
// (section 7.6 of the HTTP API). Empty members are absent.
type Annotation struct {
	Action        string          `json:"action"`
	ID            string          `json:"id"`
	Serial        string          `json:"serial"`
	MessageSerial string          `json:"messageSerial"`
	Type          string          `json:"type"`
	Name          string          `json:"name"`
	ClientID      string          `json:"clientId"`
	Count         uint64          `json:"count"`
	Data          json.RawMessage `json:"data"`
	Encoding      string          `json:"encoding"`
	// At is in Unix milliseconds.
	At int64 `json:"timestamp"`
}

// ParseAnnotation reads what AppendJSON has written.
func ParseAnnotation(text []byte) (a Annotation, err error) {
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("annotation: %w", err)
	}
	return a, nil
}

// AppendJSON appends the annotation as clients and servers see it.
func (a *Annotation) AppendJSON(b []byte) []byte {
	b = append(b, `{"action":`...)
	b = AppendString(b, a.Action)
	for _, m := range [...]struct{ name, value string }{
		{"id", a.ID}, {"serial", a.Serial}, {"messageSerial", a.MessageSerial}, {"type", a.Type}, {"name", a.Name}, {"clientId", a.ClientID},
	} {
		if m.value != "" {
			b = append(append(append(b, `,"`...), m.name...), `":`...)
			b = AppendString(b, m.value)
		}
	}
	if a.Count > 0 {
		b = strconv.AppendUint(append(b, `,"count":`...), a.Count, 10)
	}
	if len(a.Data) > 0 {
		b = append(append(b, `,"data":`...), a.Data...)
	}
	if a.Encoding != "" {
		b = AppendString(append(b, `,"encoding":`...), a.Encoding)
	}
	b = strconv.AppendInt(append(b, `,"timestamp":`...), a.At, 10)
	return append(b, '}')
}

// AnnotationMessage tells those who asked for raw annotations about one, whose JSON
// is item. V1 clients never get it.
func AnnotationMessage(channel string, item json.RawMessage) *Outbound {
	return &Outbound{Class: Internal, Event: "annotation", Channel: channel, Data: item, Extras: passing}
}

// SummaryMessage tells subscribers what the annotations of a type on a message sum up
// to. V1 clients never get it.
func SummaryMessage(channel, messageSerial, annotationType string, summary json.RawMessage) *Outbound {
	b := make([]byte, 0, 96+len(messageSerial)+len(annotationType)+len(summary))
	b = AppendString(append(b, `{"action":"message.summary","serial":`...), messageSerial)
	b = AppendString(append(b, `,"annotations":{"summary":{`...), annotationType)
	b = append(append(b, ':'), summary...)
	return SummaryFrame(channel, append(b, `}}}`...))
}

// SummaryFrame is a SummaryMessage with the data of another one.
func SummaryFrame(channel string, data json.RawMessage) *Outbound {
	return &Outbound{Class: Internal, Event: "message", Channel: channel, Data: data, Extras: passing}
}

// SummaryOverhead is what a frame of a SummaryMessage takes besides the summary, in
// bytes. It counts a message id, which the message may get on its way.
func SummaryOverhead(channel, messageSerial, annotationType string) int {
	const id = len("00000000-0000-4000-8000-000000000000")
	o := SummaryMessage(channel, messageSerial, annotationType, nil)
	o.MessageID = strings.Repeat("0", id)
	return len(o.Frame(FormatJSON).Text())
}

// passing are the extras of what is neither counted nor kept.
var passing = &Extras{JSON: json.RawMessage(`{"ephemeral":true}`), Ephemeral: true}

// Actor is a connected socket in whose name somebody acts through the HTTP API.
type Actor struct {
	Version Version
	// ClientID is the client of the socket, empty for one that has not told.
	ClientID     string
	Capabilities *Capabilities
}
