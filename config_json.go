package sockudo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

var (
	rawType    = reflect.TypeFor[json.RawMessage]()
	stringType = reflect.TypeFor[string]()
	listType   = reflect.TypeFor[[]string]()
)

// decodeConfig reads JSON strictly into a section: an unknown, repeated or
// misspelt key and a value that cannot be meant are errors that name their place.
// Other spellings become those of the fields.
func decodeConfig(b []byte, section any) error {
	tree, err := parseJSON(b)
	if err != nil {
		return err
	}
	tree, err = canonical(tree, reflect.TypeOf(section).Elem(), "")
	if err != nil {
		return err
	}
	if b, err = json.Marshal(tree); err != nil {
		return err
	}
	return json.Unmarshal(b, section)
}

// parseJSON reads one value. Unlike encoding/json it refuses repeated keys.
func parseJSON(b []byte) (any, error) {
	if !json.Valid(b) { // bounds the depth too
		var v any
		return nil, json.Unmarshal(b, &v)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return parseValue(d, "")
}

func parseValue(d *json.Decoder, path string) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name := key.(string)
			if _, twice := object[name]; twice {
				return nil, fmt.Errorf("%s is written twice", join(path, name))
			}
			if object[name], err = parseValue(d, join(path, name)); err != nil {
				return nil, err
			}
		}
		_, err := d.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := parseValue(d, join(path, strconv.Itoa(len(list))))
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return token, nil
}

// join adds a key or an index to a path.
func join(path, name string) string {
	switch {
	case path == "":
		return name
	case strings.HasSuffix(path, ":"):
		return path + " " + name
	}
	return path + "." + name
}

// at says where an error is. No error is none.
func at(path string, err error) error {
	if path == "" || err == nil {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// canonical checks a value against the type it is for, and returns it with the
// spellings of that type.
func canonical(tree any, t reflect.Type, path string) (any, error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == rawType:
		return tree, nil
	case t.Kind() == reflect.String:
		text, err := textOf(tree, t)
		if t == stringType && err != nil {
			err = errors.New("must be a string")
		}
		return text, at(path, err)
	case t.Kind() == reflect.Slice:
		return canonicalList(tree, t.Elem(), path)
	case t.Kind() == reflect.Map:
		return canonicalMap(tree, t.Elem(), path)
	default:
		return canonicalSection(tree, t, path)
	}
}

func canonicalList(tree any, t reflect.Type, path string) (any, error) {
	list, ok := tree.([]any)
	if !ok {
		return nil, at(path, errors.New("must be a list"))
	}
	for i := range list {
		var err error
		if list[i], err = canonical(list[i], t, join(path, strconv.Itoa(i))); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func canonicalMap(tree any, t reflect.Type, path string) (any, error) {
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, at(path, errors.New("must be an object"))
	}
	for name := range object {
		var err error
		if object[name], err = canonical(object[name], t, join(path, name)); err != nil {
			return nil, err
		}
	}
	return object, nil
}

func canonicalSection(tree any, section reflect.Type, path string) (any, error) {
	if alone := lexicons[section].alone; alone != "" {
		switch tree.(type) {
		case string, bool:
			tree = map[string]any{alone: tree}
		}
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, at(path, errors.New("must be an object"))
	}
	result, spelled := map[string]any{}, map[string]string{}
	for _, word := range sortedKeys(object) {
		value, where := object[word], join(path, word)
		f, a, err := findWord(section, word)
		if _, unknown := errors.AsType[unknownError](err); unknown && isDriverSection(section) {
			result[word] = value // the driver's
			continue
		}
		if why, needless := errors.AsType[needlessError](err); needless && why.asksNothing(value) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s %w", where, err)
		}
		if other := spelled[f.name]; other != "" {
			return nil, fmt.Errorf("%s and %s mean the same: write one of them", join(path, other), word)
		}
		spelled[f.name] = word
		if value == nil {
			continue // null is as good as absent
		}
		if result[f.name], err = canonicalField(value, f, a, where); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func canonicalField(value any, f field, a alias, path string) (any, error) {
	switch {
	case f.namespace != "" && f.kind.Kind() == reflect.Map:
		return value, checkProviders(value, path)
	case f.namespace != "":
		return value, checkDriver(value, f.namespace, path)
	}
	if a.convert != nil {
		text, err := aliasText(value)
		if err == nil {
			text, err = a.convert(text)
		}
		if err != nil {
			return nil, at(path, err)
		}
		value = text
	}
	value, err := canonical(value, f.kind, path)
	if text, ok := value.(string); ok && err == nil && !hasPlaceholder(text) {
		err = at(path, f.rule.check(text, f.kind))
	}
	return value, err
}

// aliasText is the text of a value of another spelling: a number, a string or a
// boolean.
func aliasText(value any) (string, error) {
	if text, err := textOf(value, switchType); err == nil {
		return text, nil
	}
	return textOf(value, numberType)
}

// checkDriver checks the object that selects a driver, as far as it is ours.
func checkDriver(value any, namespace, path string) error {
	object, ok := value.(map[string]any)
	if !ok {
		return at(path, errors.New(`must be an object such as {"driver": "memory"}`))
	}
	if name, ok := object["driver"].(string); !ok || name == "" {
		return fmt.Errorf("%s is missing", join(path, "driver"))
	}
	for _, word := range sortedKeys(object) {
		if isLaterOfDriver(namespace, word) {
			return fmt.Errorf("%s %w", join(path, word), errLater)
		}
	}
	return nil
}

// checkProviders checks the objects of push services by name, as far as they are ours.
func checkProviders(value any, path string) error {
	objects, ok := value.(map[string]any)
	if !ok {
		return at(path, errors.New(`must be an object such as {"webpush": {}}`))
	}
	for _, name := range sortedKeys(objects) {
		if _, ok := objects[name].(map[string]any); !ok {
			return at(join(path, name), errors.New("must be an object"))
		}
	}
	return nil
}

// canonicalJSON is b with its keys in order, for comparing.
func canonicalJSON(b []byte) []byte {
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil && !errors.Is(err, io.EOF) {
		return b
	}
	if sorted, err := json.Marshal(v); err == nil {
		return sorted
	}
	return b
}
