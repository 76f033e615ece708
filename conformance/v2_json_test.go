package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// request is what a client sends.
type request struct {
	Event, Channel string
	// Data is absent when it is nil; a string, bytes or structured goes as such where
	// the encoding can, and anything else as JSON.
	Data any
	// More are further members, which no client should send.
	More map[string]any
}

func encodeJSON(r request) ([]byte, error) {
	message := map[string]any{"event": r.Event}
	if r.Channel != "" {
		message["channel"] = r.Channel
	}
	if r.Data != nil {
		message["data"] = r.Data
	}
	for name, value := range r.More {
		if texts, ok := value.(headers); ok {
			value = map[string]any{"headers": texts}
		}
		message[name] = value
	}
	return []byte(compact(message)), nil
}

// decodeV2 reads a message in JSON. It is strict: known members only, each once, in
// the order of section 0.3, without space between them, and none that is null but data.
func decodeV2(payload []byte) (envelope, error) {
	var m struct {
		Event    string            `json:"event"`
		Channel  string            `json:"channel"`
		Data     json.RawMessage   `json:"data"`
		Name     string            `json:"name"`
		UserID   string            `json:"user_id"`
		Tags     map[string]string `json:"tags"`
		ID       string            `json:"message_id"`
		Stream   string            `json:"stream_id"`
		Serial   *uint64           `json:"serial"`
		Extras   json.RawMessage   `json:"extras"`
		DeltaSeq *uint64           `json:"__delta_seq"`
		DeltaKey *string           `json:"__conflation_key"`
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	err := d.Decode(&m)
	e := envelope{
		Event: m.Event, Channel: m.Channel, Data: m.Data, Name: m.Name, UserID: m.UserID, Tags: m.Tags,
		MessageID: m.ID, StreamID: m.Stream, Serial: m.Serial, Extras: m.Extras, DeltaSeq: m.DeltaSeq, DeltaKey: m.DeltaKey,
		text: string(payload), raw: payload,
	}
	switch {
	case err != nil:
		return e, err
	case !utf8.Valid(payload):
		return e, fmt.Errorf("not UTF-8: %q", payload)
	case e.Event == "" || e.asJSON() != e.text:
		return e, fmt.Errorf("written as %s, not as %s", e.text, e.asJSON())
	}
	return e, nil
}

// decodeV1 reads a message of V1, which has the four members that Pusher's clients
// know.
func decodeV1(payload []byte) (envelope, error) {
	e, err := decodeV2(payload)
	if err != nil {
		return e, err
	}
	if known := (&envelope{Event: e.Event, Channel: e.Channel, Data: e.Data, UserID: e.UserID}).asJSON(); known != e.text {
		return e, fmt.Errorf("members that V1 does not know: %s", e.text)
	}
	return e, nil
}
