package protocol

import (
	"encoding/json"
	"strings"
)

// Delta is what a subscription asks for: events as differences (section 6.5).
type Delta struct {
	Enabled bool
	// Algorithm is the one that the client wants, or what it has written instead. Empty
	// leaves it to the server.
	Algorithm string
}

// ParseDelta reads the delta member of a subscription: the name of an algorithm, a
// switch, or an object with both.
func ParseDelta(raw json.RawMessage) (Delta, *Error) {
	if text, ok := stringOf(raw); ok {
		switch strings.ToLower(text) {
		case "disabled", "none", "false":
			return Delta{}, nil
		}
		return Delta{Enabled: true, Algorithm: text}, nil
	}
	switch string(raw) {
	case "true":
		return Delta{Enabled: true}, nil
	case "false":
		return Delta{}, nil
	}
	members, err := objectOf(raw)
	if err != nil {
		return Delta{}, BadFormat("subscribe data: delta must be a string, a boolean or an object")
	}
	d := Delta{Enabled: true}
	if raw, ok := members["enabled"]; ok && !isNull(raw) {
		on, err := boolOf("delta.enabled", raw)
		if err != nil {
			return d, BadFormat("subscribe data: " + err.Error())
		}
		d.Enabled = on
	}
	if raw, ok := members["algorithm"]; ok && !isNull(raw) {
		if d.Algorithm, ok = stringOf(raw); !ok {
			return d, BadFormat("subscribe data: delta.algorithm must be a string")
		}
	}
	return d, nil
}

// DeltaEnabled tells a client whether it gets deltas, and of which algorithm: on one
// channel, or on all for an empty one.
func DeltaEnabled(on bool, algorithm, channel string) *Outbound {
	b := []byte(`{"enabled":false,"algorithm":`)
	if on {
		b = []byte(`{"enabled":true,"algorithm":`)
	}
	b = AppendString(b, algorithm)
	if channel != "" {
		b = AppendString(append(b, `,"channel":`...), channel)
	}
	return &Outbound{Class: System, Event: "delta_compression_enabled", Data: append(b, '}')}
}
