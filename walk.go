package sockudo

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// labeled is an element of a list that has a name to call it by.
type labeled interface{ label() string }

func (a *AppConfig) label() string       { return "app " + a.ID }
func (n *NamespaceConfig) label() string { return "namespace " + n.Name }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// visit calls f for every text in a section that is not empty, with its rule and
// its place.
func visit(section reflect.Value, path string, f func(text reflect.Value, r rule, path string) error) error {
	fields := fieldsOf(section.Type())
	for _, name := range sortedKeys(fields) {
		if err := visitValue(section.FieldByIndex(fields[name].index), fields[name].rule, join(path, name), f); err != nil {
			return err
		}
	}
	return nil
}

func visitValue(v reflect.Value, r rule, path string, f func(reflect.Value, rule, string) error) error {
	switch v.Kind() {
	case reflect.String:
		if v.Len() == 0 {
			return nil
		}
		return f(v, r, path)
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if v.Elem().Kind() != reflect.Struct {
			return visitValue(v.Elem(), r, path, f)
		}
		return visit(v.Elem(), path, f)
	case reflect.Map:
		if v.Type().Elem().Kind() != reflect.Pointer {
			return nil // what others read
		}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		for _, key := range keys {
			if err := visitValue(v.MapIndex(key), r, join(path, key.String()), f); err != nil {
				return err
			}
		}
	case reflect.Slice:
		if v.Type() == rawType {
			return nil
		}
		for i := range v.Len() {
			where := fmt.Sprintf("%s.%d", path, i)
			if l, ok := reflect.TypeAssert[labeled](v.Index(i)); ok {
				where = within(path, l.label())
			}
			if err := visitValue(v.Index(i), r, where, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// within is the place of a labeled element: "app demo" rather than "apps.0".
func within(path, label string) string {
	if i := strings.LastIndex(path, ": "); i >= 0 {
		return path[:i] + ": " + label + ":"
	}
	return label + ":"
}

// clone copies a section, with everything that can be changed in it.
func clone(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(clone(v.Elem()))
		return c
	case reflect.Struct:
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				c.Field(i).Set(clone(v.Field(i)))
			}
		}
		return c
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeMapWithSize(v.Type(), v.Len())
		for _, key := range v.MapKeys() {
			c.SetMapIndex(key, clone(v.MapIndex(key)))
		}
		return c
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			c.Index(i).Set(clone(v.Index(i)))
		}
		return c
	default:
		return v
	}
}

func (c *HubConfig) clone() *HubConfig { return clone(reflect.ValueOf(c)).Interface().(*HubConfig) }

// expand replaces the placeholders of a section that is a copy.
func (c *HubConfig) expand(r *caddy.Replacer) error {
	return visit(reflect.ValueOf(c).Elem(), "", func(text reflect.Value, rule rule, path string) error {
		expanded, err := expandText(r, text.String(), rule.secret)
		text.SetString(expanded)
		return at(path, err)
	})
}

// expandText expands the placeholders that a configuration may have. What a
// secret consists of is not shown, unless it is the name of a placeholder.
func expandText(r *caddy.Replacer, text string, secret bool) (string, error) {
	if !hasPlaceholder(text) {
		return text, nil
	}
	return r.ReplaceFunc(text, func(name string, value any) (any, error) {
		source, _, _ := strings.Cut(name, ".")
		switch source {
		case "env", "file", "system":
			if caddy.ToString(value) != "" {
				return value, nil
			}
			if source == "file" {
				return nil, fmt.Errorf("{%s} is empty or cannot be read", name)
			}
			return nil, fmt.Errorf("{%s} is empty or not set", name)
		}
		if secret {
			return nil, errors.New("there is an unknown placeholder in it; write { as \\{ if it is none")
		}
		return nil, fmt.Errorf("{%s} is unknown here; use {env.NAME}, {file./path} or {system.*}", name)
	})
}

// placeholdersIn reports whether a section, given by pointer, has to be expanded before
// it means anything.
func placeholdersIn(section any) (found bool) {
	_ = visit(reflect.ValueOf(section).Elem(), "", func(text reflect.Value, _ rule, _ string) error {
		found = found || hasPlaceholder(text.String())
		return nil
	})
	return found
}

// check reports the first value of an expanded section that breaks its rule.
func (c *HubConfig) check() error {
	return visit(reflect.ValueOf(c).Elem(), "", func(text reflect.Value, r rule, path string) error {
		return at(path, r.check(text.String(), text.Type()))
	})
}
