package push

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Payload is what a publish says (section 7.1).
type Payload struct {
	TemplateID   string          `json:"templateId,omitempty"`
	TemplateData json.RawMessage `json:"templateData,omitempty"`
	Title        string          `json:"title,omitempty"`
	Body         string          `json:"body,omitempty"`
	Icon         string          `json:"icon,omitempty"`
	Sound        string          `json:"sound,omitempty"`
	CollapseKey  string          `json:"collapseKey,omitempty"`
}

// Validate refuses a payload that exceeds the bounds of section 2, and names the member,
// such as payload.title. Placeholders are looked at by RenderContent. It puts
// templateData into its shortest form.
func (p *Payload) Validate() error {
	if p.TemplateID != "" {
		if err := checkName("payload.templateId", p.TemplateID); err != nil {
			return err
		}
	}
	data, err := compactObject("payload.templateData", p.TemplateData, MaxTemplateData)
	if err != nil {
		return err
	}
	p.TemplateData = data
	return checkTexts("payload", p.texts())
}

// texts are the members of a payload that may have placeholders.
func (p *Payload) texts() Localized {
	return Localized{Title: p.Title, Body: p.Body, Icon: p.Icon, Sound: p.Sound, CollapseKey: p.CollapseKey}
}

// checkTexts bounds texts before anything has been put into them.
func checkTexts(field string, l Localized) error {
	for _, one := range []struct {
		name, text string
		most       int
	}{
		{"title", l.Title, MaxTitle},
		{"body", l.Body, MaxBody},
		{"sound", l.Sound, MaxField},
		{"collapseKey", l.CollapseKey, MaxField},
	} {
		if err := checkLength(field+"."+one.name, one.text, one.most); err != nil {
			return err
		}
	}
	if strings.Contains(l.Icon, "{{") { // it is no address yet
		return checkLength(field+".icon", l.Icon, MaxIcon)
	}
	return checkIcon(field+".icon", l.Icon)
}

// checkIcon refuses what is not the address of a picture.
func checkIcon(field, icon string) error {
	if icon == "" {
		return nil
	}
	if err := checkLength(field, icon, MaxIcon); err != nil {
		return err
	}
	u, err := url.Parse(icon)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return Fault(field, "it must be an https URL")
	}
	return nil
}

// Override is a payload in the form of one provider, in place of what it would be.
type Override struct {
	Provider Kind            `json:"provider"`
	Payload  json.RawMessage `json:"payload"`
}

// Check refuses an override that no provider takes, and puts it into its shortest form
// and its provider into its usual spelling.
func (o *Override) Check(field string) error {
	kind, err := ParseKind(string(o.Provider))
	if err != nil {
		return Fault(field+".provider", "there is no such provider")
	}
	o.Provider = kind
	if o.Payload, err = compactObject(field+".payload", o.Payload, MaxOverride); err != nil {
		return err
	}
	if o.Payload == nil {
		return Fault(field+".payload", "it is missing")
	}
	return nil
}

// CheckOverrides checks those of a publish.
func CheckOverrides(overrides []Override) error {
	for i := range overrides {
		if err := overrides[i].Check(fmt.Sprintf("providerOverrides[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

// mergeOverrides has one override for each provider, in the order of Kinds: the last one.
func mergeOverrides(overrides ...Override) []Override {
	var merged []Override
	for _, kind := range Kinds {
		for _, o := range slices.Backward(overrides) {
			if o.Provider == kind {
				merged = append(merged, o)
				break
			}
		}
	}
	return merged
}
