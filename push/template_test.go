package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

const packed = `{"appId":"x","templateId":"order-packed","defaultLocale":"en","locales":{
	"en":{"title":"Order {{ data.order.id }}","body":"Packed","collapseKey":"order"},
	"de":{"title":"Bestellung {{ data.order.id }}","body":"Gepackt","sound":"default","icon":"https://cdn.example.com/{{ data.order.id }}.png"}},
	"providerOverrides":{"fcm":{"provider":"fcm","payload":{"message":{"data":{"k":"v"}}}},"webpush":{"provider":"web_push","payload":{"a":1}}}}`

func mustTemplate(t *testing.T, body string) *Template {
	t.Helper()
	parsed, err := ParseTemplate([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestTemplates(t *testing.T) {
	r := newRegistryTest(t)
	stored, err := r.PutTemplate(t.Context(), "a", mustTemplate(t, packed))
	if err != nil || stored.AppID != "a" || stored.ProviderOverrides["webPush"].Provider != WebPush {
		t.Fatalf("%+v %v", stored, err)
	}
	read, err := r.Template(t.Context(), "a", "order-packed")
	if err != nil || string(raw(read)) != string(raw(stored)) {
		t.Errorf("%s %v", raw(read), err)
	}
	for i := range 5 {
		other := *stored
		other.ID = fmt.Sprint("t", i)
		if _, err := r.PutTemplate(t.Context(), "a", &other); err != nil {
			t.Fatal(err)
		}
	}
	all, pages := walkPages(t, 2, func(position string) (Page[*Template], error) { return r.Templates(t.Context(), "a", position, 2) })
	if len(all) != 6 || pages != 3 || all[0].ID != "order-packed" || all[5].ID != "t4" {
		t.Errorf("%d templates on %d pages", len(all), pages)
	}
	if _, err := r.Template(t.Context(), "b", "order-packed"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("of another app: %v", err)
	}
}

// Checklist: push 42
func TestTemplatesThatDoNotExist(t *testing.T) {
	r := newRegistryTest(t)
	_, _, err := r.Resolve(t.Context(), "a", Payload{TemplateID: "nothing"}, nil)
	wantFault(t, err, "payload.templateId")
	for _, id := range []string{"nothing", "", strings.Repeat("x", 1000)} {
		if existed, err := r.DeleteTemplate(t.Context(), "a", id); existed || err != nil {
			t.Errorf("%.9q: %v %v", id, existed, err)
		}
		if _, err := r.Template(t.Context(), "a", id); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%.9q: %v", id, err)
		}
	}
	if _, err := r.PutTemplate(t.Context(), "a", mustTemplate(t, packed)); err != nil {
		t.Fatal(err)
	}
	if existed, err := r.DeleteTemplate(t.Context(), "a", "order-packed"); !existed || err != nil {
		t.Errorf("%v %v", existed, err)
	}
}

// Checklist: push 11, 43, 44
func TestTemplateFaults(t *testing.T) {
	r := newRegistryTest(t)
	for _, one := range []struct{ old, fresh, field string }{
		{`"order-packed"`, `""`, "templateId"},
		{`"defaultLocale":"en"`, `"defaultLocale":"fr"`, "defaultLocale"},
		{`"defaultLocale":"en"`, `"defaultLocale":" "`, "defaultLocale"},
		{`"body":"Packed"`, `"body":" "`, "locales.en.body"},
		{`"title":"Bestellung {{ data.order.id }}"`, `"title":""`, "locales.de.title"},
		{`"Packed"`, `"` + strings.Repeat("x", MaxBody+1) + `"`, "locales.en.body"},
		{`"https://cdn.example.com/{{ data.order.id }}.png"`, `"http://cdn.example.com/x.png"`, "locales.de.icon"},
		{`"sound":"default"`, `"sound":"` + strings.Repeat("x", MaxField+1) + `"`, "locales.de.sound"},
		{`"de":`, `" ":`, "locales. "},
		{`"provider":"fcm"`, `"provider":"apns"`, "providerOverrides.fcm.provider"},
		{`"provider":"fcm"`, `"provider":"pigeon"`, "providerOverrides.fcm.provider"},
		{`"fcm":{`, `"pigeon":{`, "providerOverrides.pigeon.provider"},
		{`"fcm":{"provider":"fcm"`, `"webPush":{"provider":"webPush"`, "providerOverrides.webpush"},
		{`{"a":1}`, `[1]`, "providerOverrides.webpush.payload"},
		{`{"a":1}`, `null`, "providerOverrides.webpush.payload"},
		{`{"a":1}`, `{"a":"` + strings.Repeat("x", MaxOverride) + `"}`, "providerOverrides.webpush.payload"},
		{`{"a":1}`, `{"a":"refused"}`, "providerOverrides.webPush.payload.message"},
	} {
		if !strings.Contains(packed, one.old) {
			t.Fatalf("%s is not in the template", one.old)
		}
		_, err := r.PutTemplate(t.Context(), "a", mustTemplate(t, strings.Replace(packed, one.old, one.fresh, 1)))
		wantFault(t, err, one.field)
	}
	many := mustTemplate(t, packed)
	for i := range maxLocales {
		many.Locales[fmt.Sprint("l", i)] = many.Locales["en"]
	}
	_, err := r.PutTemplate(t.Context(), "a", many)
	wantFault(t, err, "locales")
	large := mustTemplate(t, packed)
	for i := range 100 {
		large.Locales[fmt.Sprint("l", i)] = Localized{Title: "t", Body: strings.Repeat("x", MaxBody)}
	}
	_, err = r.PutTemplate(t.Context(), "a", large)
	wantFault(t, err, "locales")
	if left := r.records(t, tableTemplates); len(left) != 0 {
		t.Errorf("%d are stored", len(left))
	}
}

// Checklist: push 39
func TestLocales(t *testing.T) {
	tmpl := mustTemplate(t, packed)
	tmpl.Locales["zh-Hant"] = Localized{Title: "zh"}
	tmpl.Locales["pt_BR"] = Localized{Title: "pt"}
	for data, want := range map[string]string{
		`{"locale":"de"}`: "Bestellung", `{"locale":"de_AT"}`: "Bestellung", `{"locale":"de-AT-1996"}`: "Bestellung", `{"locale":" de "}`: "Bestellung",
		`{"locale":"fr"}`: "Order", `{"locale":"fr_CA"}`: "Order", `{"locale":""}`: "Order", `{"locale":1}`: "Order", `{"locale":null}`: "Order", `{}`: "Order", ``: "Order",
		`{"locale":"zh_Hant_TW"}`: "zh", `{"locale":"zh"}`: "Order", `{"locale":"pt_BR"}`: "pt", `{"locale":"-"}`: "Order", `{"locale":"d"}`: "Order",
	} {
		p := Payload{TemplateData: json.RawMessage(data)}
		tmpl.fill(&p)
		if title, _, _ := strings.Cut(p.Title, " "); title != want {
			t.Errorf("%s is %s", data, p.Title)
		}
	}
}

// Checklist: push 40
func TestResolve(t *testing.T) {
	r := newRegistryTest(t)
	if _, err := r.PutTemplate(t.Context(), "a", mustTemplate(t, packed)); err != nil {
		t.Fatal(err)
	}
	given := []Override{{Provider: WNS, Payload: json.RawMessage(`{"w":1}`)}, {Provider: "webpush", Payload: json.RawMessage(`{ "mine": 1 }`)}}
	p, overrides, err := r.Resolve(t.Context(), "a", Payload{
		TemplateID: "order-packed", TemplateData: json.RawMessage(`{"locale": "de", "order": {"id": "ord_123"}}`), Body: "meins",
	}, given)
	if err != nil {
		t.Fatal(err)
	}
	want := Payload{
		TemplateID: "order-packed", TemplateData: json.RawMessage(`{"locale":"de","order":{"id":"ord_123"}}`), Body: "meins",
		Title: "Bestellung {{ data.order.id }}", Sound: "default", Icon: "https://cdn.example.com/{{ data.order.id }}.png",
	}
	if string(raw(p)) != string(raw(want)) {
		t.Errorf("%s", raw(p))
	}
	if text := string(raw(overrides)); text != `[{"provider":"fcm","payload":{"message":{"data":{"k":"v"}}}},{"provider":"webPush","payload":{"mine":1}},{"provider":"wns","payload":{"w":1}}]` {
		t.Errorf("%s", text)
	}
	if given[1].Provider != "webpush" {
		t.Error("the caller's overrides have been changed")
	}
	c, err := RenderContent(&p)
	if err != nil || c.Title != "Bestellung ord_123" || c.Body != "meins" || c.Icon != "https://cdn.example.com/ord_123.png" || c.Sound != "default" {
		t.Errorf("%+v %v", c, err)
	}
	if _, overrides, err := r.Resolve(t.Context(), "a", Payload{Title: "t"}, nil); err != nil || overrides != nil {
		t.Errorf("without a template: %v %v", overrides, err)
	}
}

// Checklist: push 11
func TestResolveFaults(t *testing.T) {
	r := newRegistryTest(t)
	for field, p := range map[string]Payload{
		"payload.title":        {Title: strings.Repeat("x", MaxTitle+1)},
		"payload.body":         {Body: strings.Repeat("x", MaxBody+1)},
		"payload.icon":         {Icon: "http://example.com/i.png"},
		"payload.sound":        {Sound: strings.Repeat("x", MaxField+1)},
		"payload.collapseKey":  {CollapseKey: strings.Repeat("x", MaxField+1)},
		"payload.templateData": {TemplateData: json.RawMessage(`[1]`)},
		"payload.templateId":   {TemplateID: " "},
	} {
		_, _, err := r.Resolve(t.Context(), "a", p, nil)
		wantFault(t, err, field)
	}
	for _, icon := range []string{"https://" + strings.Repeat("x", MaxIcon), "https://", "//x", "javascript:1", "https://exa mple.com/", "{{" + strings.Repeat("x", MaxIcon)} {
		p := Payload{Icon: icon}
		wantFault(t, p.Validate(), "payload.icon")
	}
	data := Payload{TemplateData: json.RawMessage(`{"a":"` + strings.Repeat("x", MaxTemplateData-8) + `"}`)}
	if err := data.Validate(); err != nil {
		t.Errorf("templateData of %d bytes: %v", len(data.TemplateData), err)
	}
	data.TemplateData = json.RawMessage(`{"a":"` + strings.Repeat("x", MaxTemplateData-7) + `"}`)
	wantFault(t, data.Validate(), "payload.templateData")
	data.TemplateData = json.RawMessage("{\"a\":\"\xff\"}")
	wantFault(t, data.Validate(), "payload.templateData")
	for field, o := range map[string]Override{
		"providerOverrides[1].provider": {Provider: "pigeon", Payload: json.RawMessage(`{}`)},
		"providerOverrides[1].payload":  {Provider: APNs},
	} {
		_, _, err := r.Resolve(t.Context(), "a", Payload{}, []Override{{Provider: FCM, Payload: json.RawMessage(`{}`)}, o})
		wantFault(t, err, field)
	}
}
