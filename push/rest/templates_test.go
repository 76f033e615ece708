package rest

import (
	"strings"
	"testing"
)

func templateBody(id string) string {
	return `{"appId":"app-1","templateId":"` + id + `","defaultLocale":"en","locales":{` +
		`"de":{"title":"Hallo {{ data.order.id }}","body":"Gepackt","sound":"default"},` +
		`"en":{"title":"Hello {{ data.order.id }}","body":"Packed <b>","collapseKey":"order"}},` +
		`"providerOverrides":{"apns":{"provider":"apns","payload":{"aps":{"badge":1}}}}}`
}

// Checklist: push 42, 43, 44
func TestTemplates(t *testing.T) {
	s := newSite(t)
	s.do("POST", "templates", templateBody("t")).is(t, 201, templateBody("t"))
	// The path decides the app, and a second one replaces the first.
	s.do("POST", "templates", strings.Replace(templateBody("t"), "app-1", "app-2", 1)).is(t, 201, templateBody("t"))
	s.do("GET", "templates/t", "").is(t, 200, templateBody("t"))
	s.do("GET", "templates", "").is(t, 200, `{"items":[`+templateBody("t")+`],"next_cursor":null,"has_more":false}`)
	s.do("GET", "templates/x", "").fails(t, 404, "not_found", "template")
	s.do("DELETE", "templates/x", "").is(t, 204, "")
	s.do("DELETE", "templates/t", "").is(t, 204, "")
	s.do("GET", "templates/t", "").fails(t, 404, "not_found", "template")
	for field, body := range map[string]string{
		"templateId":                      templateBody(""),
		"defaultLocale":                   strings.Replace(templateBody("t"), `"defaultLocale":"en"`, `"defaultLocale":"fr"`, 1),
		"locales.de.title":                strings.Replace(templateBody("t"), "Hallo {{ data.order.id }}", "", 1),
		"providerOverrides.apns.provider": strings.Replace(templateBody("t"), `"provider":"apns"`, `"provider":"fcm"`, 1),
	} {
		s.do("POST", "templates", body).fails(t, 400, "invalid_input", field)
	}
	s.do("POST", "publish", `{"recipients":[{"type":"device","device_id":"d"}],"payload":{"templateId":"none"}}`).fails(t, 400, "invalid_input", "payload.templateId")
}

// Checklist: push 39, 40, 41
func TestTemplatesInPublishes(t *testing.T) {
	s := newSite(t)
	read[any](t, s.do("POST", "templates", templateBody("t")), 201)
	title := func(payload string) string {
		got := s.do("POST", "publish", `{"recipients":[{"type":"device","device_id":"d"}],"payload":`+payload+`}`)
		if got.status != 202 {
			return got.body
		}
		text, err := encode(read[published](t, got, 202).Rendered[0].Payload)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for payload, want := range map[string]string{
		`{"templateId":"t","templateData":{"locale":"de_AT","order":{"id":"o-1"}}}`:                               `{"body":"Gepackt","title":"Hallo o-1"}`,
		`{"templateId":"t","templateData":{"locale":"fr","order":{"id":7}}}`:                                      `{"body":"Packed <b>","title":"Hello 7"}`,
		`{"templateId":"t","title":"Mine {{data.order.id}}","templateData":{"order":{"id":1}}}`:                   `{"body":"Packed <b>","title":"Mine 1"}`,
		`{"title":"{{ data.a }}{{ data.b }}{{ data.c }}|","body":"B","templateData":{"a":true,"b":1.5,"c":null}}`: `{"body":"B","title":"true1.5|"}`,
	} {
		if got := title(payload); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", payload, got, want)
		}
	}
	for _, data := range []string{`{"order":{"id":{}}}`, `{"order":{"id":[]}}`, `{}`} {
		got := s.do("POST", "publish", `{"recipients":[{"type":"device","device_id":"d"}],"payload":{"templateId":"t","templateData":`+data+`}}`)
		got.fails(t, 400, "invalid_input", "payload.title: ")
	}
	one := read[published](t, s.do("POST", "publish", `{"recipients":[{"type":"device","device_id":"d"}],"payload":{"templateId":"t","templateData":{"order":{"id":1}}},`+
		`"providerOverrides":[{"provider":"apns","payload":{"aps":{"badge":2}}}]}`), 202)
	if apns := one.Rendered[1]; !apns.UsedOverride || string(apns.Payload) != `{"aps":{"badge":2}}` {
		t.Errorf("%+v", apns)
	}
}
