package sockudo

import (
	"encoding/json"
	"maps"
	"reflect"
)

// driverSection is a section that selects a driver and has words of its own beside those
// of the driver.
type driverSection interface {
	// selection is the kind of driver, and where the section keeps the name of the driver
	// and the driver's own words.
	selection() (kind string, driver *string, options *map[string]json.RawMessage)
}

func (r *RateLimiterConfig) selection() (string, *string, *map[string]json.RawMessage) {
	return kindRateLimiter, &r.Driver, &r.options
}

func (c *HistoryConfig) selection() (string, *string, *map[string]json.RawMessage) {
	return kindHistory, &c.Driver, &c.options
}

var driverSectionType = reflect.TypeFor[driverSection]()

// isDriverSection reports whether words that a section does not know are its driver's.
func isDriverSection(section reflect.Type) bool {
	return reflect.PointerTo(section).Implements(driverSectionType)
}

// UnmarshalJSON keeps the keys of the driver apart.
func (r *RateLimiterConfig) UnmarshalJSON(b []byte) error {
	type own RateLimiterConfig
	if err := json.Unmarshal(b, (*own)(r)); err != nil {
		return err
	}
	return unmarshalOptions(b, r)
}

// MarshalJSON adds the keys of the driver.
func (r *RateLimiterConfig) MarshalJSON() ([]byte, error) {
	type own RateLimiterConfig
	b, err := json.Marshal((*own)(r))
	return marshalOptions(b, err, r)
}

// UnmarshalJSON keeps the keys of the driver apart.
func (c *HistoryConfig) UnmarshalJSON(b []byte) error {
	type own HistoryConfig
	if err := json.Unmarshal(b, (*own)(c)); err != nil {
		return err
	}
	return unmarshalOptions(b, c)
}

// MarshalJSON adds the keys of the driver.
func (c *HistoryConfig) MarshalJSON() ([]byte, error) {
	type own HistoryConfig
	b, err := json.Marshal((*own)(c))
	return marshalOptions(b, err, c)
}

// unmarshalOptions takes from an object what is not the section's own.
func unmarshalOptions(b []byte, s driverSection) error {
	_, _, options := s.selection()
	*options = nil
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(b, &keys); err != nil {
		return err
	}
	for name := range fieldsOf(reflect.TypeOf(s).Elem()) {
		delete(keys, name)
	}
	if len(keys) > 0 {
		*options = keys
	}
	return nil
}

// marshalOptions adds to an object what is the driver's.
func marshalOptions(b []byte, err error, s driverSection) ([]byte, error) {
	_, _, options := s.selection()
	if err != nil || len(*options) == 0 {
		return b, err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(b, &keys); err != nil {
		return nil, err
	}
	maps.Copy(keys, *options)
	return json.Marshal(keys)
}

// rawOf is the object that selects the driver, as other kinds of drivers have it. It is
// nil if the section names none.
func rawOf(s driverSection) json.RawMessage {
	if reflect.ValueOf(s).IsNil() {
		return nil
	}
	_, driver, options := s.selection()
	if *driver == "" && len(*options) == 0 {
		return nil
	}
	keys := map[string]any{"driver": *driver}
	for name, value := range *options {
		keys[name] = value
	}
	b, _ := json.Marshal(keys) //nolint:errchkjson // the values are JSON
	return b
}

// takeRaw takes the driver and its own keys from such an object.
func takeRaw(s driverSection, raw json.RawMessage) {
	_, driver, options := s.selection()
	var keys map[string]json.RawMessage
	if json.Unmarshal(raw, &keys) != nil || json.Unmarshal(keys["driver"], driver) != nil {
		return
	}
	if delete(keys, "driver"); len(keys) == 0 {
		keys = nil
	}
	*options = keys
}

// selectDriver names the driver. Settings of another one do not apply to it.
func selectDriver(s driverSection, word string) {
	kind, driver, options := s.selection()
	name := *driver
	if name == "" {
		name = defaultDrivers[kind]
	}
	if driverName(name) != driverName(word) {
		*options = nil
	}
	*driver = word
}
