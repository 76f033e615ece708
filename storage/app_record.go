package storage

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// CheckApp checks what every store demands of an app before it is written.
func CheckApp(app *App) error {
	for _, required := range []struct{ name, value string }{{"id", app.ID}, {"key", app.Key}, {"secret", app.Secret}} {
		switch {
		case required.value == "":
			return errors.New(required.name + " must not be empty")
		case len(required.value) > 255:
			return fmt.Errorf("%s is longer than 255 bytes", required.name)
		case !utf8.ValidString(required.value) || strings.ContainsRune(required.value, 0):
			return errors.New(required.name + " must be UTF-8 without zero bytes")
		}
	}
	for name, n := range app.Namespaces {
		if n == nil || n.Name != name {
			return fmt.Errorf("namespace %q is listed under another name", name)
		}
	}
	for name, d := range app.Delta {
		if err := d.check(); err != nil {
			return fmt.Errorf("delta %s: %w", name, err)
		}
	}
	if app.Recovery.BufferSize < 0 {
		return fmt.Errorf("recovery: buffer_size %d must not be negative", app.Recovery.BufferSize)
	}
	return checkHistories(app)
}

// CanBeStored reports whether an id or a key can be that of an app at all.
func CanBeStored(name string) bool {
	return name != "" && len(name) <= 255 && utf8.ValidString(name) && !strings.ContainsRune(name, 0)
}

// appRecord is an app in the nested spelling of Sockudo.
type appRecord struct {
	ID      string          `json:"id"`
	Key     string          `json:"key"`
	Secret  string          `json:"secret"`
	Enabled bool            `json:"enabled"`
	Policy  json.RawMessage `json:"policy"`
}

// MarshalApp writes a whole app, its secret included, as one JSON object in the
// nested spelling of Sockudo.
func MarshalApp(app *App) ([]byte, error) {
	policy, err := MarshalPolicy(app)
	if err != nil {
		return nil, err
	}
	return json.Marshal(appRecord{app.ID, app.Key, app.Secret, app.Enabled, policy}) //nolint:gosec // a store keeps the secret
}

// UnmarshalApp reads an app that MarshalApp or Sockudo has written, in the nested
// or the flat spelling. ignored is as with UnmarshalPolicy. With an error, app has
// what could be read of the credentials, and is never nil.
func UnmarshalApp(text []byte) (app *App, ignored []string, err error) {
	var r appRecord
	if err := json.Unmarshal(text, &r); err != nil {
		return &App{ID: r.ID, Key: r.Key}, nil, fmt.Errorf("app: %w", err)
	}
	app = &App{ID: r.ID, Key: r.Key, Secret: r.Secret, Enabled: r.Enabled}
	policy := []byte(r.Policy)
	if len(policy) == 0 || string(policy) == "null" {
		flat := map[string]json.RawMessage{}
		if err := json.Unmarshal(text, &flat); err != nil {
			return app, nil, fmt.Errorf("app: %w", err)
		}
		for _, name := range []string{"id", "key", "secret", "enabled", "policy"} {
			delete(flat, name)
		}
		if policy, err = PolicyOfFlat(flat); err != nil {
			return app, nil, err
		}
	}
	ignored, err = UnmarshalPolicy(policy, app)
	return app, ignored, err
}

// PolicyOfFlat is the policy of a record in the flat spelling, in which limits,
// features and the rest stand side by side. Empty and null members say nothing.
func PolicyOfFlat(members map[string]json.RawMessage) ([]byte, error) {
	policy := map[string]map[string]json.RawMessage{}
	top := map[string]any{}
	for name, value := range members {
		var section string
		switch {
		case len(value) == 0 || string(value) == "null":
			continue
		case isMember(policyLimits{}, name):
			section = "limits"
		case strings.HasPrefix(name, "enable_"), isMember(policyFeatures{}, name):
			section = "features"
		case isMember(policyChannels{}, name):
			section = "channels"
		default:
			top[name] = value
			continue
		}
		if policy[section] == nil {
			policy[section] = map[string]json.RawMessage{}
			top[section] = policy[section]
		}
		policy[section][name] = value
	}
	return json.Marshal(top)
}

// AppVersion identifies what a record says, for AppEditor. Two apps that differ in
// anything that is stored have different versions.
func AppVersion(app *App) (string, error) {
	text, err := MarshalApp(app)
	if err != nil {
		return "", err
	}
	// Members that are kept as they were written may stand in any order.
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return "", err
	}
	if text, err = json.Marshal(tree); err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// CheckVersion compares the record that is there, nil for none, with the version
// that a change expects. It is for implementations of AppEditor.
func CheckVersion(id string, there *App, version string) error {
	if version == AnyVersion {
		return nil
	}
	found := NoVersion
	if there != nil {
		var err error
		if found, err = AppVersion(there); err != nil {
			return err
		}
	}
	if found == version {
		return nil
	}
	return fmt.Errorf("app %s: its record is of version %s, not %s: %w", id, cmp.Or(found, "none"), cmp.Or(version, "none"), ErrConflict)
}
