package push

import (
	"bytes"
	"encoding/json"
	"strings"
)

// maxDots bounds the path of a placeholder, with the dot after "data".
const maxDots = 4

// RenderContent replaces the placeholders of a payload (section 6). It is a fault if one is
// not closed, names nothing, or names an object or array, or if a text becomes too long.
func RenderContent(p *Payload) (*Content, error) {
	c := &Content{Data: p.TemplateData}
	values := &lookup{text: p.TemplateData}
	for _, one := range []struct {
		field, text string
		into        *string
	}{
		{"payload.title", p.Title, &c.Title},
		{"payload.body", p.Body, &c.Body},
		{"payload.icon", p.Icon, &c.Icon},
		{"payload.sound", p.Sound, &c.Sound},
		{"payload.collapseKey", p.CollapseKey, &c.CollapseKey},
	} {
		text, err := replace(one.field, one.text, values)
		if err != nil {
			return nil, err
		}
		*one.into = text
	}
	return c, checkIcon("payload.icon", c.Icon)
}

// replace puts values into one text.
func replace(field, text string, values *lookup) (string, error) {
	before, rest, found := strings.Cut(text, "{{")
	if !found {
		return text, checkLength(field, text, MaxField)
	}
	var b strings.Builder
	for {
		b.WriteString(before)
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return "", Fault(field, "a placeholder is not closed")
		}
		value, err := values.find(field, strings.TrimSpace(name))
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		if b.Len() > MaxField {
			break // it gets no shorter
		}
		before, rest, found = strings.Cut(after, "{{")
	}
	if b.Len() > MaxField {
		return "", Fault(field, "it has more than %d bytes when its placeholders are replaced", MaxField)
	}
	return b.String(), nil
}

// lookup finds values of a JSON object, which is read when the first one is looked for.
type lookup struct {
	text   json.RawMessage
	values map[string]any
}

// find is the text of the value that a placeholder names.
func (l *lookup) find(field, name string) (string, error) {
	path, ok := placeholderPath(name)
	if !ok {
		return "", Fault(field, "a placeholder must be data and up to four names of letters, digits and _, such as data.order.id")
	}
	if l.values == nil {
		l.values = map[string]any{}
		if len(l.text) > 0 {
			d := json.NewDecoder(bytes.NewReader(l.text))
			d.UseNumber()
			if d.Decode(&l.values) != nil {
				return "", Fault("payload.templateData", "it must be a JSON object")
			}
		}
	}
	var value any = l.values
	for _, part := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return "", Fault(field, "templateData has no %s", name)
		}
		if value, ok = object[part]; !ok {
			return "", Fault(field, "templateData has no %s", name)
		}
	}
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		if v {
			return "true", nil
		}
		return "false", nil
	}
	return "", Fault(field, "%s is not a text, number, boolean or null", name)
}

// placeholderPath is the way to a value, without the first name.
func placeholderPath(name string) ([]string, bool) {
	path := strings.Split(name, ".")
	if len(name) > maxWord || len(path) < 2 || len(path) > maxDots+1 || path[0] != "data" {
		return nil, false
	}
	for _, part := range path {
		if part == "" || strings.ContainsFunc(part, notWord) {
			return nil, false
		}
	}
	return path[1:], true
}

func notWord(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}
