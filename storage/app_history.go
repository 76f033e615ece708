package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// policyHistory is how Sockudo keeps an app's history of events (configuration,
// section 3.1).
type policyHistory struct {
	Enabled                *bool      `json:"enabled,omitempty"`
	RewindEnabled          *bool      `json:"rewind_enabled,omitempty"`
	RetentionWindowSeconds digits     `json:"retention_window_seconds,omitempty"`
	MaxMessagesPerChannel  digits     `json:"max_messages_per_channel,omitempty"`
	MaxBytesPerChannel     manyDigits `json:"max_bytes_per_channel,omitempty"`
}

// policyNamespaceHistory is that of a namespace, which cannot be switched by itself.
type policyNamespaceHistory struct {
	RewindEnabled          *bool      `json:"rewind_enabled,omitempty"`
	RetentionWindowSeconds digits     `json:"retention_window_seconds,omitempty"`
	MaxMessagesPerChannel  digits     `json:"max_messages_per_channel,omitempty"`
	MaxBytesPerChannel     manyDigits `json:"max_bytes_per_channel,omitempty"`
}

// policyPresenceHistory is the history of presence channels, of an app or a namespace.
type policyPresenceHistory struct {
	Enabled                *bool      `json:"enabled,omitempty"`
	RetentionWindowSeconds digits     `json:"retention_window_seconds,omitempty"`
	MaxEventsPerChannel    digits     `json:"max_events_per_channel,omitempty"`
	MaxBytesPerChannel     manyDigits `json:"max_bytes_per_channel,omitempty"`
}

// manyDigits is a number as digits, with more of them: bytes are counted in it.
type manyDigits int64

func (d *manyDigits) UnmarshalJSON(b []byte) error {
	text := string(b)
	if text == "null" {
		return nil
	}
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return fmt.Errorf("%q is not a whole number from 0 to %d", text, int64(math.MaxInt64))
	}
	*d = manyDigits(n)
	return nil
}

// seconds is a retention as stores keep it.
func (h *AppHistory) seconds(name string) (digits, error) {
	if h.Retention%time.Second != 0 || h.Retention < 0 || h.Retention/time.Second > math.MaxInt32 {
		return 0, fmt.Errorf("%s: retention %v is not a number of whole seconds up to %d, in which stores keep it", name, h.Retention, math.MaxInt32)
	}
	return digits(h.Retention / time.Second), nil
}

// The members of policies that are about history.
const (
	historyMember  = "history"
	presenceMember = "presence_history"
)

// policy is the history of an app's events as stores keep it, nil for nothing.
func (h *AppHistory) policy() (*policyHistory, error) {
	seconds, err := h.seconds(historyMember)
	if err != nil || *h == (AppHistory{}) {
		return nil, err
	}
	return &policyHistory{h.Enabled, h.Rewind, seconds, digits(h.MaxItems), manyDigits(h.MaxBytes)}, nil
}

// namespacePolicy is the same for a namespace.
func (h *AppHistory) namespacePolicy() (*policyNamespaceHistory, error) {
	seconds, err := h.seconds(historyMember)
	if err != nil || *h == (AppHistory{}) {
		return nil, err
	}
	return &policyNamespaceHistory{h.Rewind, seconds, digits(h.MaxItems), manyDigits(h.MaxBytes)}, nil
}

// presencePolicy is the history of presence channels as stores keep it.
func (h *AppHistory) presencePolicy() (*policyPresenceHistory, error) {
	seconds, err := h.seconds(presenceMember)
	if err != nil || *h == (AppHistory{}) {
		return nil, err
	}
	return &policyPresenceHistory{h.Enabled, seconds, digits(h.MaxItems), manyDigits(h.MaxBytes)}, nil
}

func (p *policyHistory) history() AppHistory {
	if p == nil {
		return AppHistory{}
	}
	return AppHistory{p.Enabled, p.RewindEnabled, time.Duration(p.RetentionWindowSeconds) * time.Second, int(p.MaxMessagesPerChannel), int64(p.MaxBytesPerChannel)}
}

func (p *policyNamespaceHistory) history() AppHistory {
	if p == nil {
		return AppHistory{}
	}
	return AppHistory{nil, p.RewindEnabled, time.Duration(p.RetentionWindowSeconds) * time.Second, int(p.MaxMessagesPerChannel), int64(p.MaxBytesPerChannel)}
}

func (p *policyPresenceHistory) history() AppHistory {
	if p == nil {
		return AppHistory{}
	}
	return AppHistory{p.Enabled, nil, time.Duration(p.RetentionWindowSeconds) * time.Second, int(p.MaxEventsPerChannel), int64(p.MaxBytesPerChannel)}
}

// check reports what no record can say.
func (h *AppHistory) check() error {
	switch {
	case h.MaxItems < 0:
		return fmt.Errorf("the number of events in a channel, %d, must not be negative", h.MaxItems)
	case h.MaxBytes < 0:
		return fmt.Errorf("the bytes of a channel, %d, must not be negative", h.MaxBytes)
	}
	return nil
}

// checkHistories checks what an app and its namespaces say of history.
func checkHistories(app *App) error {
	check := func(where string, events, presence AppHistory) error {
		if err := events.check(); err != nil {
			return fmt.Errorf("%s%s: %w", where, historyMember, err)
		}
		if err := presence.check(); err != nil {
			return fmt.Errorf("%s%s: %w", where, presenceMember, err)
		}
		if presence.Rewind != nil {
			return fmt.Errorf("%s%s: there is no rewind of it", where, presenceMember)
		}
		return nil
	}
	if err := check("", app.History, app.PresenceHistory); err != nil {
		return err
	}
	for name, n := range app.Namespaces {
		where := fmt.Sprintf("namespace %s: ", name)
		if n.History.Enabled != nil {
			return fmt.Errorf("%s%s: it is switched for the whole app", where, historyMember)
		}
		if err := check(where, n.History, n.PresenceHistory); err != nil {
			return err
		}
	}
	return nil
}

// keepHistories keeps the members of a namespace's histories that are not read.
func (o object) keepHistories(other object) error {
	for member, known := range map[string]any{historyMember: policyNamespaceHistory{}, presenceMember: policyPresenceHistory{}} {
		now, then := object{}, object{}
		if bytes.HasPrefix(bytes.TrimSpace(other[member]), []byte("{")) {
			if err := errors.Join(read(o[member], &now), read(other[member], &then)); err != nil {
				return fmt.Errorf("policy: %s: %w", member, err)
			}
		}
		if now.keep(then, known); len(now) == 0 {
			continue
		}
		text, err := json.Marshal(now)
		if err != nil {
			return err
		}
		o[member] = text
	}
	return nil
}
