package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// policyDelta is how Sockudo keeps the compression of one channel: as a mode, or as an
// object (configuration, section 3.1).
type policyDelta struct{ ChannelDelta }

// policyDeltaObject is the object. A member that is missing is on, or as the hub.
type policyDeltaObject struct {
	Enabled           *bool  `json:"enabled,omitempty"`
	Algorithm         string `json:"algorithm,omitempty"`
	ConflationKey     string `json:"conflation_key,omitempty"`
	MaxConflationKeys digits `json:"max_conflation_keys,omitempty"`
	EnableTags        *bool  `json:"enable_tags,omitempty"`
}

// The modes, of which the last two are the names of algorithms.
const (
	deltaInherit  = "inherit"
	deltaDisabled = "disabled"
	deltaFossil   = "fossil"
	deltaXdelta3  = "xdelta3"
)

// algorithmNames are those of the object.
var algorithmNames = map[string]string{deltaFossil: "Fossil", deltaXdelta3: "Xdelta3"}

func (d *policyDelta) UnmarshalJSON(text []byte) error {
	*d = policyDelta{}
	if bytes.HasPrefix(text, []byte(`"`)) {
		var mode string
		if err := json.Unmarshal(text, &mode); err != nil {
			return err
		}
		return d.setMode(mode)
	}
	var o policyDeltaObject
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	d.ChannelDelta = ChannelDelta{
		Disabled: refused(o.Enabled), Algorithm: strings.ToLower(o.Algorithm), ConflationKey: o.ConflationKey,
		MaxConflationKeys: int(o.MaxConflationKeys), DropTags: refused(o.EnableTags),
	}
	return d.check()
}

func (d *policyDelta) setMode(mode string) error {
	switch mode = strings.ToLower(mode); mode {
	case deltaInherit:
	case deltaDisabled:
		d.Disabled = true
	case deltaFossil, deltaXdelta3:
		d.Algorithm = mode
	default:
		return fmt.Errorf("%q is not one of %s, %s, %s, %s", mode, deltaInherit, deltaDisabled, deltaFossil, deltaXdelta3)
	}
	return nil
}

// check reports what no record can say.
func (d *ChannelDelta) check() error {
	switch {
	case d.Algorithm != "" && algorithmNames[d.Algorithm] == "":
		return fmt.Errorf("algorithm %q is not one of %s, %s", d.Algorithm, deltaFossil, deltaXdelta3)
	case d.MaxConflationKeys < 0:
		return fmt.Errorf("max_conflation_keys %d must not be negative", d.MaxConflationKeys)
	}
	return nil
}

// MarshalJSON writes a mode where that says everything.
func (d policyDelta) MarshalJSON() ([]byte, error) {
	switch d.ChannelDelta {
	case ChannelDelta{}:
		return json.Marshal(deltaInherit)
	case ChannelDelta{Disabled: true}:
		return json.Marshal(deltaDisabled)
	case ChannelDelta{Algorithm: d.Algorithm}:
		return json.Marshal(d.Algorithm)
	}
	return json.Marshal(d.object())
}

func (d *policyDelta) object() policyDeltaObject {
	enabled, tags := !d.Disabled, !d.DropTags
	return policyDeltaObject{&enabled, algorithmNames[d.Algorithm], d.ConflationKey, digits(d.MaxConflationKeys), &tags}
}

func policyDeltas(deltas map[string]ChannelDelta) map[string]policyDelta {
	if len(deltas) == 0 {
		return nil
	}
	all := map[string]policyDelta{}
	for name, d := range deltas {
		all[name] = policyDelta{d}
	}
	return all
}

func channelDeltas(deltas map[string]policyDelta) map[string]ChannelDelta {
	if len(deltas) == 0 {
		return nil
	}
	all := map[string]ChannelDelta{}
	for name, d := range deltas {
		all[name] = d.ChannelDelta
	}
	return all
}

// keepDeltas lets what was an object stay one, with the members that are not read.
func (o object) keepDeltas(other object) error {
	const member = "channel_delta_compression"
	var now map[string]policyDelta
	var then map[string]json.RawMessage
	if err := errors.Join(read(o[member], &now), read(other[member], &then)); err != nil {
		return fmt.Errorf("policy: %s: %w", member, err)
	}
	if len(now) == 0 {
		return nil
	}
	all := map[string]any{}
	for name, d := range now {
		all[name] = d
		if !bytes.HasPrefix(then[name], []byte("{")) {
			continue
		}
		text, err := json.Marshal(d.object())
		kept, before := object{}, object{}
		if err := errors.Join(err, read(text, &kept), read(then[name], &before)); err != nil {
			return fmt.Errorf("policy: %s: %s: %w", member, name, err)
		}
		kept.keep(before, policyDeltaObject{})
		all[name] = kept
	}
	text, err := json.Marshal(all)
	o[member] = text
	return err
}
