package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// writeHub writes a hub as the directive or the global option has it. Without a name it
// is the default one.
func writeHub(w *caddyfileWriter, name string, c *HubConfig) error {
	words := []string{"sockudo"}
	if name != "" {
		words = append(words, name)
	}
	return w.block(func() error { return w.section(reflect.ValueOf(c).Elem()) }, words...)
}

// section writes the words of a section, in the order of its fields.
func (w *caddyfileWriter) section(v reflect.Value, without ...string) error {
	for _, f := range orderedFields(v.Type()) {
		value := v.FieldByIndex(f.index)
		if value.IsZero() || slices.Contains(without, f.name) {
			continue
		}
		if err := w.field(f, value, v); err != nil {
			return at(f.name, err)
		}
	}
	return nil
}

// orderedFields are the fields of a section in the order in which they are declared.
func orderedFields(section reflect.Type) (list []field) {
	known := fieldsOf(section)
	for _, f := range reflect.VisibleFields(section) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if found, ok := known[name]; ok && reflect.DeepEqual(found.index, f.Index) {
			list = append(list, found)
		}
	}
	return list
}

// field writes one setting.
func (w *caddyfileWriter) field(f field, v, section reflect.Value) error {
	switch value := v.Interface().(type) {
	case []*AppConfig:
		return each(value, func(a *AppConfig) error { return w.named("app", a.ID, a, "id") })
	case []*NamespaceConfig:
		return each(value, func(n *NamespaceConfig) error { return w.named("namespace", n.Name, n, "name") })
	case []*PushRuleConfig:
		return each(value, func(r *PushRuleConfig) error { return w.named("push_rule", r.ChannelPattern, r, "channel_pattern") })
	case []*WebhookConfig:
		return each(value, w.webhook)
	case map[string]*ChannelDeltaConfig:
		return w.deltas(value)
	case HeaderValues:
		return w.headers(value)
	case *RateConfig:
		return w.rate(f.name, value)
	case *LambdaConfig:
		if value.FunctionName != "" && value.Region != "" {
			return w.line(f.name, value.FunctionName, value.Region)
		}
	case Databases:
		return w.databases(value)
	case json.RawMessage:
		return w.driver(f, value)
	case map[string]json.RawMessage:
		return w.providers(value)
	case []string:
		return w.line(append([]string{f.name}, value...)...)
	case driverSection:
		return w.driverSection(f, value)
	case Switch:
		return w.line(f.name, switchWord(value))
	}
	switch {
	case v.Kind() == reflect.String:
		return w.line(f.name, v.String())
	case v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct:
		return w.block(func() error { return w.section(v.Elem()) }, f.name)
	}
	return fmt.Errorf("a %v in a %v cannot be written in a Caddyfile", v.Type(), section.Type())
}

func each[T any](list []T, write func(T) error) error {
	for _, one := range list {
		if err := write(one); err != nil {
			return err
		}
	}
	return nil
}

// switchWord is the usual spelling of a switch, which may be a placeholder.
func switchWord(s Switch) string {
	if on, err := parseSwitch(string(s)); err == nil {
		return map[bool]string{true: "on", false: "off"}[on]
	}
	return string(s)
}

// named writes a block whose name stands behind its word.
func (w *caddyfileWriter) named(word, name string, section any, without string) error {
	if name == "" {
		return fmt.Errorf("%s has no %s", word, without)
	}
	return at(word+" "+name, w.block(func() error { return w.section(reflect.ValueOf(section).Elem(), without) }, word, name))
}

func (w *caddyfileWriter) webhook(c *WebhookConfig) error {
	words := []string{"webhook"}
	if c.URL != "" {
		words = append(words, c.URL)
	}
	return w.block(func() error { return w.section(reflect.ValueOf(c).Elem(), "url") }, words...)
}

func (w *caddyfileWriter) headers(headers HeaderValues) error {
	for _, name := range sortedKeys(headers) {
		if headers[name] == nil {
			continue
		}
		if err := w.line("header", name, *headers[name]); err != nil {
			return err
		}
	}
	return nil
}

func (w *caddyfileWriter) deltas(channels map[string]*ChannelDeltaConfig) error {
	for _, name := range sortedKeys(channels) {
		c := channels[name]
		if c == nil {
			return fmt.Errorf("%s says nothing", name)
		}
		mode, rest := c.Mode, *c
		if mode == "" {
			mode = "inherit"
		}
		rest.Mode = ""
		if rest == (ChannelDeltaConfig{}) {
			if err := w.line("delta", name, mode); err != nil {
				return err
			}
			continue
		}
		if err := w.block(func() error { return w.section(reflect.ValueOf(&rest).Elem()) }, "delta", name, mode); err != nil {
			return err
		}
	}
	return nil
}

func (w *caddyfileWriter) rate(word string, r *RateConfig) error {
	if r.Max != "" && r.Window != "" {
		return w.line(word, string(r.Max), string(r.Window))
	}
	return w.block(func() error { return w.section(reflect.ValueOf(r).Elem()) }, word)
}

var errNoDriver = errors.New("there is no driver in it")
