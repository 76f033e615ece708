package sockudo

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// overrides are what the environment says over a configuration.
type overrides struct {
	// names are the variables that were applied.
	names []string
	// dropApps removes the apps that are written in the configuration.
	dropApps bool
	// app is the default app, if the environment names one.
	app *AppConfig
	set []func(*HubConfig)
	// warnings and failed are what applying has shown.
	warnings []string
	failed   error
}

// variable is an environment variable that overrides one setting.
type variable struct {
	name string
	// target finds the setting: a pointer to its text or list.
	target func(*HubConfig) any
	// convert makes the setting of what the variable says. Nil takes it as it is.
	convert func(string) (string, error)
}

// environment reads variables and collects what they say.
type environment struct {
	lookup func(string) (string, bool)
	*overrides
	err error
}

// get is the value of a variable. Empty counts as not set.
func (e *environment) get(name string) (value string, ok bool) {
	value, _ = e.lookup(name)
	value = strings.TrimSpace(value)
	return value, value != ""
}

// use is get for a variable that is applied.
func (e *environment) use(name string) (value string, ok bool) {
	if value, ok = e.get(name); ok {
		e.names = append(e.names, name)
	}
	return value, ok
}

// late is fail for what shows when a variable is applied.
func (o *overrides) late(name string, err error) {
	if o.failed == nil && err != nil {
		o.failed = fmt.Errorf("environment variable %s: %w", name, err)
	}
}

func (e *environment) fail(name string, err error) {
	if e.err == nil && err != nil {
		e.err = fmt.Errorf("environment variable %s: %w", name, err)
	}
}

// bool is the meaning of a boolean variable.
func (e *environment) bool(name string) (on, ok bool) {
	text, ok := e.use(name)
	if !ok {
		return false, false
	}
	on, err := parseEnvBool(text)
	e.fail(name, err)
	return on, true
}

// parseEnvBool is the one meaning of all boolean variables.
func parseEnvBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is no boolean; write true, 1, yes, on, false, 0, no or off", text)
}

func envSwitch(text string) (string, error) {
	on, err := parseEnvBool(text)
	return map[bool]string{true: "on", false: "off"}[on], err
}

// readEnv reads all variables that this version knows.
func readEnv(lookup func(string) (string, bool)) (*overrides, error) {
	e := &environment{lookup: lookup, overrides: &overrides{}}
	e.readLater()
	e.readDefaultApp()
	for _, v := range slices.Concat(variables, historyVariables, pushVariables) {
		e.readVariable(v)
	}
	for _, kind := range sortedKeys(driverVariables) {
		e.readDriver(kind, driverVariables[kind])
	}
	e.readRates()
	e.readDatabases()
	e.readRedis()
	e.readAdapters()
	e.readQueues()
	e.readHistories()
	e.readPush()
	return e.overrides, e.err
}

// readVariable checks a variable now and applies it later, to a configuration
// whose placeholders have been expanded: its text may hold braces.
func (e *environment) readVariable(v variable) {
	text, ok := e.use(v.name)
	if !ok {
		return
	}
	if v.convert != nil {
		var err error
		if text, err = v.convert(text); err != nil {
			e.fail(v.name, err)
			return
		}
	}
	scratch := new(HubConfig)
	write(v.target(scratch), text)
	e.fail(v.name, scratch.check())
	e.set = append(e.set, func(c *HubConfig) { write(v.target(c), text) })
}

// write sets a text or a list, whose elements are separated by commas.
func write(target any, text string) {
	v := reflect.ValueOf(target).Elem()
	if v.Type() != listType {
		v.SetString(text)
		return
	}
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	v.Set(reflect.ValueOf(list))
}

// apply overrides a configuration whose placeholders have been expanded.
func (o *overrides) apply(c *HubConfig) error {
	for _, set := range o.set {
		set(c)
	}
	if o.app != nil {
		c.Apps = append(c.Apps, o.app)
	}
	return o.failed
}

// section is the section at a place, made if it is not there.
func section[T any](place **T) *T {
	if *place == nil {
		*place = new(T)
	}
	return *place
}
