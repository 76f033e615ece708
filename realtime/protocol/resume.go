package protocol

import (
	"encoding/json"
	"strconv"
)

// Position is how far a client has followed a channel (section 6.6).
type Position struct {
	Channel string
	// StreamID is empty in the older form, which has serials alone.
	StreamID string
	Serial   uint64
	// LastMessageID is the id of the message with that serial, or empty.
	LastMessageID string
}

// ParseResume reads the data of a resume event: an object, or a string holding one.
// Positions are in the order in which they are written.
func ParseResume(data json.RawMessage) ([]Position, *Error) {
	if text, ok := stringOf(data); ok {
		data = json.RawMessage(text)
	}
	members, err := orderedMembers(data)
	if err != nil {
		return nil, BadFormat("resume data: " + err.Error())
	}
	var positions []Position
	for _, m := range members {
		if m.name != "channel_positions" && m.name != "channel_serials" || isNull(m.value) {
			continue
		}
		channels, err := orderedMembers(m.value)
		if err != nil {
			return nil, BadFormat("resume data: " + m.name + " must be an object")
		}
		for _, ch := range channels {
			p, e := parsePosition(m.name, ch)
			if e != nil {
				return nil, e
			}
			positions = append(positions, p)
		}
	}
	if len(positions) == 0 {
		return nil, ErrNoPositions
	}
	return positions, nil
}

func parsePosition(form string, ch member) (Position, *Error) {
	p := Position{Channel: ch.name}
	serial := ch.value
	if form == "channel_positions" {
		members, err := objectOf(ch.value)
		if err != nil {
			return p, BadFormat("resume data: the position of " + strconv.Quote(ch.name) + " must be an object")
		}
		var ok bool
		if p.StreamID, ok = stringOf(members["stream_id"]); !ok || p.StreamID == "" {
			return p, BadFormat("resume data: stream_id of " + strconv.Quote(ch.name) + " must be a string")
		}
		if raw, given := members["last_message_id"]; given && !isNull(raw) {
			if p.LastMessageID, ok = stringOf(raw); !ok {
				return p, BadFormat("resume data: last_message_id of " + strconv.Quote(ch.name) + " must be a string")
			}
		}
		serial = members["serial"]
	}
	text := string(serial)
	if inner, ok := stringOf(serial); ok {
		text = inner // clients read large numbers as strings
	}
	var err error
	if p.Serial, err = strconv.ParseUint(text, 10, 64); err != nil {
		return p, BadFormat("resume data: serial of " + strconv.Quote(ch.name) + " must be a number")
	}
	return p, nil
}

// Codes of a channel that a client cannot resume.
const (
	ResumeStreamReset     = "stream_reset"
	ResumeExpired         = "position_expired"
	ResumeUnverifiable    = "continuity_unverifiable"
	ResumePersistenceDown = "persistence_unavailable"
)

// ResumeFailure says that a client may have missed something for good. What is not
// known is null.
type ResumeFailure struct {
	Channel        string  `json:"channel"`
	Code           string  `json:"code"`
	Reason         string  `json:"reason"`
	ExpectedStream *string `json:"expected_stream_id"`
	CurrentStream  *string `json:"current_stream_id"`
	Oldest         *uint64 `json:"oldest_available_serial"`
	Newest         *uint64 `json:"newest_available_serial"`
}

// Recovered says that a client has everything of a channel again.
type Recovered struct {
	Channel  string             `json:"channel"`
	Source   string             `json:"source"`
	Replayed int                `json:"replayed"`
	Position *RecoveredPosition `json:"position"`
}

// RecoveredPosition is the position that a client has after resuming.
type RecoveredPosition struct {
	StreamID      string  `json:"stream_id"`
	Serial        uint64  `json:"serial"`
	LastMessageID *string `json:"last_message_id"`
}

// ResumeSuccess ends the answer to a resume event, whatever came of it.
type ResumeSuccess struct {
	Recovered []Recovered     `json:"recovered"`
	Failed    []ResumeFailure `json:"failed"`
}

// ResumeFailed tells a client that it cannot resume a channel.
func ResumeFailed(f ResumeFailure) *Outbound {
	return &Outbound{Class: System, Event: "resume_failed", Channel: f.Channel, Data: jsonInString(f)}
}

// Message tells a client what it has resumed.
func (s ResumeSuccess) Message() *Outbound {
	if s.Recovered == nil {
		s.Recovered = []Recovered{}
	}
	if s.Failed == nil {
		s.Failed = []ResumeFailure{}
	}
	return &Outbound{Class: System, Event: "resume_success", Data: jsonInString(s)}
}

// jsonInString is a JSON string that holds the JSON of a value without floats,
// channels or cycles, which cannot fail.
func jsonInString(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return AppendString(nil, text)
}
