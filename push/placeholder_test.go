package push

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

const placeholderData = `{"order":{"id":"ord_1","n":42,"big":12345678901234567890,"f":1.50,"yes":true,"no":false,"none":null,"list":[1],
	"deep":{"er":{"est":"no"}}},"a_1":"{{ data.order.id }}","locale":"de","a":{"b":{"c":{"d":"four"}}}}`

// Checklist: push 41
func TestPlaceholders(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "": "", "}} {": "}} {", "{ {data.order.id}}": "{ {data.order.id}}",
		"{{ data.order.id }}": "ord_1", "{{data.order.id}}!": "ord_1!", "a{{ data.order.n }}b{{\tdata.order.yes}}c": "a42btruec",
		"{{ data.order.no }}": "false", "{{ data.order.none }}": "", "{{ data.order.f }}": "1.50", "{{ data.order.big }}": "12345678901234567890",
		"{{ data.a_1 }}": "{{ data.order.id }}", "{{ data.a.b.c.d }}": "four", "{{ data.locale }}}}": "de}}",
	} {
		p := Payload{Title: text, Sound: text, TemplateData: json.RawMessage(placeholderData)}
		if c, err := RenderContent(&p); err != nil || c.Title != want || c.Sound != want || string(c.Data) != placeholderData {
			t.Errorf("%s is %+v, %v", text, c, err)
		}
	}
	for _, text := range []string{
		"{{", "{{ data.order.id", "a {{ data.order.id } b", "{{ }}", "{{ data }}", "{{ data. }}", "{{ data..id }}", "{{ order.id }}", "{{ Data.order.id }}",
		"{{ data.order.id | upper }}", "{{ data.order-id }}", "{{ data.a.b.c.d.e }}", "{{ data.order }}", "{{ data.order.list }}", "{{ data.order.list.0 }}",
		"{{ data.order.id.x }}", "{{ data.missing }}", "{{ data.order.missing }}", "{{{{ data.order.id }}}}", "{{{ data.order.id }}}", "{{ data.é }}",
		"{{ data." + strings.Repeat("x", 5000) + " }}",
	} {
		p := Payload{Body: text, TemplateData: json.RawMessage(placeholderData)}
		_, err := RenderContent(&p)
		wantFault(t, err, "payload.body")
	}
	_, err := RenderContent(&Payload{CollapseKey: "{{ data.x }}"})
	wantFault(t, err, "payload.collapseKey")
}

// Checklist: push 41
func TestPlaceholdersAreBounded(t *testing.T) {
	data := json.RawMessage(`{"x":"` + strings.Repeat("x", MaxField) + `","https":"https","http":"http"}`)
	c, err := RenderContent(&Payload{Title: "{{ data.x }}", TemplateData: data})
	if err != nil || len(c.Title) != MaxField {
		t.Errorf("%d bytes: %v", MaxField, err)
	}
	for _, text := range []string{"{{ data.x }}!", strings.Repeat("{{ data.x }}", 200), "!{{ data.x }}{{ data.missing }}"} {
		_, err := RenderContent(&Payload{Title: text, TemplateData: data})
		wantFault(t, err, "payload.title")
	}
	// An address is looked at again when it is whole.
	if c, err := RenderContent(&Payload{Icon: "{{data.https}}://example.com/i", TemplateData: data}); err != nil || c.Icon != "https://example.com/i" {
		t.Errorf("%+v %v", c, err)
	}
	for _, icon := range []string{"{{data.http}}://example.com/i", "https://example.com/{{ data.x }}"} {
		_, err := RenderContent(&Payload{Icon: icon, TemplateData: data})
		wantFault(t, err, "payload.icon")
	}
}

func FuzzPlaceholders(f *testing.F) {
	f.Add("a {{ data.order.id }} b", placeholderData)
	f.Add("{{ data.a.b.c.d }}{{", placeholderData)
	f.Add("{{ data.x }}", `{"x":{}}`)
	f.Fuzz(func(t *testing.T, text, data string) {
		p := Payload{Title: text, Icon: text, TemplateData: json.RawMessage(data)}
		if p.Validate() != nil {
			return
		}
		c, err := RenderContent(&p)
		var fault *FieldError
		switch {
		case err != nil && !errors.As(err, &fault):
			t.Errorf("no fault of a member: %v", err)
		case err == nil && (len(c.Title) > MaxField || !strings.Contains(text, "{{") && c.Title != text):
			t.Errorf("%q is %q", text, c.Title)
		}
	})
}
