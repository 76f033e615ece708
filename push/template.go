package push

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Template is one that an app has stored (section 6).
type Template struct {
	AppID             string               `json:"appId"`
	ID                string               `json:"templateId"`
	DefaultLocale     string               `json:"defaultLocale"`
	Locales           map[string]Localized `json:"locales"`
	ProviderOverrides map[string]Override  `json:"providerOverrides,omitempty"`
}

// Localized is what a template says in one language.
type Localized struct {
	Title       string `json:"title"`
	Body        string `json:"body"`
	Icon        string `json:"icon,omitempty"`
	Sound       string `json:"sound,omitempty"`
	CollapseKey string `json:"collapseKey,omitempty"`
}

// MaxTemplate bounds a template as JSON, in bytes.
const MaxTemplate = 256 << 10

// maxLocales bounds the languages of a template.
const maxLocales = 500

// ParseTemplate reads a request without checking its values.
func ParseTemplate(body []byte) (*Template, error) {
	t := &Template{}
	if err := Parse(body, t); err != nil {
		return nil, err
	}
	return t, nil
}

// Validate refuses a template that could not be used, and names the member. It puts
// overrides into their shortest form.
func (t *Template) Validate() error {
	if err := checkName("templateId", t.ID); err != nil {
		return err
	}
	if err := checkWord("defaultLocale", t.DefaultLocale); err != nil {
		return err
	}
	if len(t.Locales) > maxLocales {
		return Fault("locales", "there are %d, more than %d", len(t.Locales), maxLocales)
	}
	if _, ok := t.Locales[t.DefaultLocale]; !ok {
		return Fault("defaultLocale", "it must be one of locales")
	}
	for _, name := range slices.Sorted(maps.Keys(t.Locales)) {
		field := "locales." + clip(name)
		if err := checkWord(field, name); err != nil {
			return err
		}
		if err := checkLocalized(field, t.Locales[name]); err != nil {
			return err
		}
	}
	if err := t.checkOverrides(); err != nil {
		return err
	}
	if size := len(raw(t)); size > MaxTemplate {
		return Fault("locales", "the template has %d bytes, more than %d", size, MaxTemplate)
	}
	return nil
}

func checkLocalized(field string, l Localized) error {
	if strings.TrimSpace(l.Title) == "" {
		return Fault(field+".title", "it must not be empty")
	}
	if strings.TrimSpace(l.Body) == "" {
		return Fault(field+".body", "it must not be empty")
	}
	return checkTexts(field, l)
}

// checkOverrides wants each override under the name of its provider.
func (t *Template) checkOverrides() error {
	usual := make(map[string]Override, len(t.ProviderOverrides))
	for _, name := range slices.Sorted(maps.Keys(t.ProviderOverrides)) {
		o, field := t.ProviderOverrides[name], "providerOverrides."+clip(name)
		if err := o.Check(field); err != nil {
			return err
		}
		if kind, err := ParseKind(name); err != nil || kind != o.Provider {
			return Fault(field+".provider", "it must be the provider under whose name it stands")
		}
		if _, twice := usual[string(o.Provider)]; twice {
			return Fault(field, "there are two for the same provider")
		}
		usual[string(o.Provider)] = o
	}
	if t.ProviderOverrides != nil {
		t.ProviderOverrides = usual
	}
	return nil
}

// pick is what the template says in a language: in that one, in one that it is a part of,
// such as de for de_AT, or in the default one.
func (t *Template) pick(locale string) Localized {
	if l, ok := t.Locales[locale]; ok {
		return l
	}
	locale = strings.ReplaceAll(locale, "_", "-")
	for locale != "" {
		if l, ok := t.Locales[locale]; ok {
			return l
		}
		locale = locale[:max(strings.LastIndexByte(locale, '-'), 0)]
	}
	return t.Locales[t.DefaultLocale]
}

// fill puts what the template says where the payload says nothing.
func (t *Template) fill(p *Payload) {
	l := t.pick(localeOf(p.TemplateData))
	for _, one := range []struct {
		into *string
		text string
	}{
		{&p.Title, l.Title},
		{&p.Body, l.Body},
		{&p.Icon, l.Icon},
		{&p.Sound, l.Sound},
		{&p.CollapseKey, l.CollapseKey},
	} {
		if *one.into == "" {
			*one.into = one.text
		}
	}
}

// localeOf is the language that a publish asks for, empty for none.
func localeOf(data json.RawMessage) string {
	var asked struct {
		Locale any `json:"locale"`
	}
	if len(data) == 0 || json.Unmarshal(data, &asked) != nil {
		return ""
	}
	locale, _ := asked.Locale.(string)
	return strings.TrimSpace(locale)
}
