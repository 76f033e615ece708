package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// driver writes the object that selects a driver, as in "cache redis { … }".
func (w *caddyfileWriter) driver(f field, raw json.RawMessage) error {
	object, err := objectOf(raw)
	if err != nil {
		return err
	}
	name, _ := object["driver"].(string)
	if name == "" {
		return errNoDriver
	}
	delete(object, "driver")
	return w.guest(object, f.namespace, name, f.name, name)
}

// databases writes the connections that drivers share.
func (w *caddyfileWriter) databases(blocks Databases) error {
	for _, name := range sortedKeys(blocks) {
		object, err := objectOf(blocks[name])
		if err == nil {
			err = w.guest(object, namespaces[kindApps], name, "database", name)
		}
		if err != nil {
			return at(name, err)
		}
	}
	return nil
}

// providers writes the push services.
func (w *caddyfileWriter) providers(providers map[string]json.RawMessage) error {
	for _, name := range sortedKeys(providers) {
		module, err := findProvider(name)
		if err != nil {
			return err
		}
		object, err := objectOf(providers[name])
		if err == nil {
			err = w.guestBlock(object, module, "provider", name)
		}
		if err != nil {
			return at(name, err)
		}
	}
	return nil
}

// driverSection writes a section that has words of its own beside those of its driver.
func (w *caddyfileWriter) driverSection(f field, s driverSection) error {
	kind, driver, options := s.selection()
	words, name := []string{f.name}, *driver
	if name == "" {
		name = defaultDrivers[kind]
	} else {
		words = append(words, name)
	}
	module, err := findDriver(namespaces[kind], name)
	if err != nil {
		return err
	}
	own, err := json.Marshal(*options)
	if err != nil {
		return err
	}
	object, err := objectOf(own)
	if err != nil && len(*options) > 0 {
		return err
	}
	return w.block(func() error {
		if err := w.section(reflect.ValueOf(s).Elem(), "driver"); err != nil {
			return err
		}
		return w.guestWords(object, module)
	}, words...)
}

// guest writes the settings of a driver behind words.
func (w *caddyfileWriter) guest(object map[string]any, namespace, driver string, words ...string) error {
	module, err := findDriver(namespace, driver)
	if err != nil {
		return err
	}
	return w.guestBlock(object, module, words...)
}

func (w *caddyfileWriter) guestBlock(object map[string]any, module string, words ...string) error {
	if len(object) == 0 {
		return w.line(words...)
	}
	return w.block(func() error { return w.guestWords(object, module) }, words...)
}

func (w *caddyfileWriter) guestWords(object map[string]any, module string) error {
	info, err := caddy.GetModule(module)
	if err != nil {
		return err
	}
	return w.object(object, structOf(info.New()))
}

// object writes the settings of a driver, or of a block within them, in the order of the
// fields that they are for.
func (w *caddyfileWriter) object(object map[string]any, t reflect.Type) error {
	left := len(object)
	for _, f := range orderedFields(t) {
		value, ok := object[f.name]
		if !ok {
			continue
		}
		left--
		if value == nil || f.kind.Kind() != reflect.Pointer && saysNothing(value) {
			continue
		}
		if err := w.value(f, value); err != nil {
			return at(f.name, err)
		}
	}
	if left == 0 {
		return nil
	}
	known := fieldsOf(t)
	for _, word := range sortedKeys(object) {
		if _, ok := known[word]; !ok {
			return fmt.Errorf("%s %w", word, unknownWord(word, sortedKeys(known)))
		}
	}
	return nil
}

// saysNothing reports whether a value is what a driver has without it.
func saysNothing(value any) bool {
	switch value := value.(type) {
	case json.Number:
		n, err := value.Float64()
		return err == nil && n == 0
	case []any:
		return len(value) == 0
	}
	return value == "" || value == false
}

// value writes a setting of a driver.
func (w *caddyfileWriter) value(f field, value any) error {
	kind := f.kind
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	switch value := value.(type) {
	case map[string]any:
		if kind.Kind() != reflect.Struct {
			return errors.New("an object cannot be written in a Caddyfile here")
		}
		if len(value) == 0 && strings.HasSuffix(f.name, "tls") {
			return w.line(f.name)
		}
		return w.block(func() error { return w.object(value, kind) }, f.name)
	case []any:
		words := []string{f.name}
		for _, one := range value {
			text, ok := one.(string)
			if !ok {
				return errors.New("a list has to consist of texts")
			}
			words = append(words, text)
		}
		return w.line(words...)
	case bool:
		return w.line(f.name, map[bool]string{true: "on", false: "off"}[value])
	case json.Number:
		if kind == reflect.TypeFor[caddy.Duration]() {
			n, err := value.Int64()
			if err != nil {
				return err
			}
			return w.line(f.name, time.Duration(n).String())
		}
		return w.line(f.name, value.String())
	case string:
		if d, err := caddy.ParseDuration(value); err == nil && kind == reflect.TypeFor[caddy.Duration]() {
			value = d.String()
		}
		return w.line(f.name, value)
	}
	return fmt.Errorf("%v cannot be written in a Caddyfile", value)
}
