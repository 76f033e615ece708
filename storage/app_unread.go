package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// sections are the members of a policy that are objects themselves.
var sections = map[string]any{
	"limits": policyLimits{}, "features": policyFeatures{}, "channels": policyChannels{}, "idempotency": policyIdempotency{},
	"connection_recovery": policyRecovery{}, historyMember: policyHistory{}, presenceMember: policyPresenceHistory{},
}

// unread are the members of a policy that have been given and were not read.
func unread(text []byte) ([]string, error) {
	var given map[string]any
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	var ignored []string
	for name, value := range given {
		known, ok := sections[name]
		switch {
		case !ok && isMember(appPolicy{}, name):
			continue
		case !ok:
			ignored = appendGiven(ignored, name, value)
			continue
		}
		members, _ := value.(map[string]any)
		for member, v := range members {
			if !isMember(known, member) {
				ignored = appendGiven(ignored, name+"."+member, v)
			}
		}
	}
	slices.Sort(ignored)
	return ignored, nil
}

// isMember reports whether a struct has a field of that name in JSON, which is read
// whatever the case of its letters.
func isMember(section any, name string) bool {
	for f := range reflect.TypeOf(section).Fields() {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); strings.EqualFold(tag, name) {
			return true
		}
	}
	return false
}

// appendGiven leaves out what says nothing.
func appendGiven(names []string, name string, value any) []string {
	switch v := value.(type) {
	case nil:
		return names
	case []any:
		if len(v) == 0 {
			return names
		}
	case map[string]any:
		if len(v) == 0 {
			return names
		}
	}
	return append(names, name)
}

// keepUnread writes a policy with those members of the one before it that are
// not read.
func keepUnread(p appPolicy, before []byte) ([]byte, error) {
	text, err := json.Marshal(p)
	if err != nil || len(before) == 0 {
		return text, err
	}
	now, then := object{}, object{}
	if err := errors.Join(json.Unmarshal(text, &now), json.Unmarshal(before, &then)); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	now.keep(then, appPolicy{})
	for name, section := range sections {
		if err := now.keepWithin(name, then, section); err != nil {
			return nil, err
		}
	}
	if err := now.keepWebhooks(then); err != nil {
		return nil, err
	}
	return json.Marshal(now)
}

// object is a JSON object whose members are left as they are written.
type object map[string]json.RawMessage

// keep takes the members of another object that are not fields of known.
func (o object) keep(other object, known any) {
	for name, value := range other {
		if !isMember(known, name) {
			o[name] = value
		}
	}
}

// keepWithin does so for the objects that are members of both.
func (o object) keepWithin(name string, other object, known any) error {
	now, then := object{}, object{}
	if err := errors.Join(read(o[name], &now), read(other[name], &then)); err != nil {
		return fmt.Errorf("policy: %s: %w", name, err)
	}
	if now == nil {
		now = object{}
	}
	now.keep(then, known)
	if name == "channels" {
		if err := errors.Join(now.keepNamespaces(then), now.keepDeltas(then)); err != nil {
			return err
		}
	}
	if len(now) == 0 {
		return nil
	}
	text, err := json.Marshal(now)
	o[name] = text
	return err
}

// keepNamespaces does so for the channel namespaces of equal names.
func (o object) keepNamespaces(other object) error {
	const member = "channel_namespaces"
	var now, then []object
	if err := errors.Join(read(o[member], &now), read(other[member], &then)); err != nil {
		return fmt.Errorf("policy: %s: %w", member, err)
	}
	if len(now) == 0 {
		return nil
	}
	for _, n := range now {
		for _, before := range then {
			if !bytes.Equal(n["name"], before["name"]) {
				continue
			}
			n.keep(before, policyNamespace{})
			if err := n.keepHistories(before); err != nil {
				return err
			}
		}
	}
	text, err := json.Marshal(now)
	o[member] = text
	return err
}

func read(text json.RawMessage, to any) error {
	if len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, to)
}
