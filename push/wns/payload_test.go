package wns

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

func TestRender(t *testing.T) {
	got, err := Provider{}.Render(&push.Content{
		Title: "T & <T>", Body: "B", Icon: "https://a/i.png?a=1&b=2", Sound: "default", CollapseKey: "order", Data: json.RawMessage(`{"a": "it's \"<&>\""}`),
	})
	want := `{"type":"wns/toast","headers":{"X-WNS-Group":"order","X-WNS-Tag":"order"},"title":"T & <T>","body":"B",` +
		`"icon":"https://a/i.png?a=1&b=2","sound":"default","data":{"a":"it's \"<&>\""}}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want\n%s", got, err, want)
	}
	m, err := parse(got)
	if err != nil {
		t.Fatal(err)
	}
	xml := `<toast launch='{"a":"it&#39;s \"&lt;&amp;&gt;\""}'><visual><binding template='ToastGeneric'><text>T &amp; &lt;T&gt;</text><text>B</text>` +
		`<image placement='appLogoOverride' src='https://a/i.png?a=1&amp;b=2'/></binding></visual></toast>`
	if text := string(m.content()); text != xml {
		t.Errorf("%s; want\n%s", text, xml)
	}
	if _, err := (Provider{}).Render(&push.Content{Title: "T", Data: json.RawMessage(`{`)}); err == nil {
		t.Error("half an object is rendered")
	}
}

func TestContents(t *testing.T) {
	for payload, want := range map[string]string{
		`{"type":"toast","title":"T","launch":"go","data":{"a":1},"sound":"none"}`: `<toast launch='go'><visual><binding template='ToastGeneric'><text>T</text></binding></visual><audio silent='true'/></toast>`,
		`{"type":"toast","body":"B","sound":"ms-winsoundevent:Notification.IM"}`:   `<toast><visual><binding template='ToastGeneric'><text>B</text></binding></visual><audio src='ms-winsoundevent:Notification.IM'/></toast>`,
		`{"type":"toast","body":"B","sound":"ding.caf","data":null}`:               `<toast><visual><binding template='ToastGeneric'><text>B</text></binding></visual></toast>`,
		`{"type":"toast","xml":"<toast><a b='&lt;'/></toast>"}`:                    `<toast><a b='&lt;'/></toast>`,
		`{"type":"tile","title":"T","icon":"i"}`: `<tile><visual><binding template='TileMedium'><text>T</text><image src='i'/></binding>` +
			`<binding template='TileWide'><text>T</text><image src='i'/></binding></visual></tile>`,
		`{"type":"wns/badge","value":7}`:        `<badge value='7'/>`,
		`{"type":"badge","value":"newMessage"}`: `<badge value='newMessage'/>`,
		`{"type":"raw","body":"any <text"}`:     `any <text`,
		`{"type":"raw","data":[ 1, "<" ]}`:      `[1,"<"]`,
	} {
		if err := (Provider{}).CheckPayload(json.RawMessage(payload), true); err != nil {
			t.Errorf("%s: %v", payload, err)
			continue
		}
		m, err := parse(json.RawMessage(payload))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(m.content()); got != want {
			t.Errorf("%s is\n%s", payload, got)
		}
		if m.Type != "raw" {
			if err := checkXML(string(m.content()), m.Type); err != nil {
				t.Errorf("%s: %v", payload, err)
			}
		}
	}
}

func TestOverrides(t *testing.T) {
	for _, c := range [][2]string{
		{`[]`, "payload"},
		{`null`, "payload"},
		{`{}`, "type"},
		{`{"type":"phone","title":"hush"}`, "type"},
		{`{"type":7}`, "type"},
		{`{"type":"toast"}`, "title"},
		{`{"type":"toast","title":{"a":"hush"}}`, "title"},
		{`{"type":"toast","title":"hush","value":1}`, "payload"},
		{`{"type":"toast","title":"hush","Title":"x"}`, "payload"},
		{`{"type":"toast","title":"hush","xml":"<toast/>"}`, "xml"},
		{`{"type":"toast","xml":"<tile/>"}`, "xml"},
		{`{"type":"toast","xml":"<toast>"}`, "xml"},
		{`{"type":"toast","xml":"<toast/><toast/>"}`, "xml"},
		{`{"type":"toast","xml":"<toast/>hush"}`, "xml"},
		{`{"type":"toast","xml":"hush"}`, "xml"},
		{`{"type":"toast","xml":"<toast a='1' a='2'/>"}`, "xml"},
		{`{"type":"toast","xml":"<!DOCTYPE toast [<!ENTITY a 'hush'>]><toast/>"}`, "xml"},
		{`{"type":"toast","xml":"<toast>&hush;</toast>"}`, "xml"},
		{`{"type":"toast","xml":"<toast><?xml version='1.0'?></toast>"}`, "xml"},
		{`{"type":"toast","xml":"<?xml-stylesheet href='hush'?><toast/>"}`, "xml"},
		{`{"type":"toast","xml":"<?xml version='1.0' encoding='utf-16'?><toast/>"}`, "xml"},
		{`{"type":"tile","title":"T","launch":"hush"}`, "payload"},
		{`{"type":"badge"}`, "value"},
		{`{"type":"badge","value":"hush"}`, "value"},
		{`{"type":"badge","value":-1}`, "value"},
		{`{"type":"raw"}`, "body"},
		{`{"type":"raw","body":"hush","data":1}`, "body"},
		{`{"type":"raw","xml":"<a/>"}`, "payload"},
		{`{"type":"raw","body":"x","headers":"hush"}`, "headers"},
		{`{"type":"raw","body":"x","headers":{"Authorization":"hush"}}`, "headers"},
		{`{"type":"raw","body":"x","headers":{"X-WNS-Type":"wns/toast"}}`, "headers"},
		{`{"type":"raw","body":"x","headers":{"X-WNS-TTL":"0"}}`, "headers.X-WNS-TTL"},
		{`{"type":"raw","body":"x","headers":{"X-WNS-Tag":"hush hush"}}`, "headers.X-WNS-Tag"},
		{`{"type":"raw","body":"x","headers":{"X-WNS-Tag":"12345678901234567"}}`, "headers.X-WNS-Tag"},
		{`{"type":"raw","body":"x","headers":{"X-WNS-TTL":"1","x-wns-ttl":"2"}}`, "headers.x-wns-ttl"},
		{`{"type":"raw","body":"x","headers":{"X-WNS-Cache-Policy":"hush"}}`, "headers.X-WNS-Cache-Policy"},
		{`{"type":"toast","xml":"<?xml version='1.0' encoding='utf-8'?><toast/> ","headers":{"x-wns-priority":"High"}}`, ""},
	} {
		text, field := c[0], c[1]
		err := Provider{}.CheckPayload(json.RawMessage(text), true)
		if field == "" && err != nil {
			t.Errorf("%s: %v", text, err)
		} else if field != "" {
			wantFault(t, text, err, field)
		}
	}
}

// Checklist: push 108
func TestSize(t *testing.T) {
	frame := len(`<toast><visual><binding template='ToastGeneric'><text></text></binding></visual></toast>`)
	for size, field := range map[int]string{MaxPayload: "", MaxPayload + 1: "payload"} {
		for _, text := range []string{
			`{"type":"raw","body":"` + strings.Repeat("a", size) + `"}`,
			`{"type":"toast","body":"` + strings.Repeat("a", size-frame) + `"}`,
		} {
			err := Provider{}.CheckPayload(json.RawMessage(text), false)
			if field == "" && err != nil {
				t.Errorf("%d bytes: %v", size, err)
			} else if field != "" {
				wantFault(t, text, err, field)
			}
		}
	}
}

// Checklist: push 60
func TestHeaders(t *testing.T) {
	hashed := push.Hash("a key of many letters")[:16]
	for _, c := range []struct {
		payload, key string
		ttl          time.Duration
		want         map[string]string
	}{
		{`{"type":"toast","title":"T"}`, "order", 10 * time.Minute, map[string]string{
			"Content-Type": "text/xml", "X-WNS-Type": "wns/toast", "X-WNS-Tag": "order", "X-WNS-Group": "order", "X-WNS-TTL": "600",
			"X-WNS-RequestForStatus": "true", "X-WNS-Cache-Policy": "cache",
		}},
		{`{"type":"toast","title":"T"}`, "a key of many letters", 0, map[string]string{"X-WNS-Tag": hashed, "X-WNS-Group": hashed, "X-WNS-TTL": "1"}},
		{`{"type":"toast","title":"T"}`, "", time.Hour, map[string]string{"X-WNS-Tag": "", "X-WNS-Group": ""}},
		{`{"type":"tile","title":"T"}`, "a/b", time.Hour, map[string]string{"X-WNS-Tag": push.Hash("a/b")[:16], "X-WNS-Group": "", "Content-Type": "text/xml"}},
		{`{"type":"badge","value":1}`, "order", time.Hour, map[string]string{"X-WNS-Tag": "", "X-WNS-Type": "wns/badge", "Content-Type": "text/xml"}},
		{`{"type":"raw","body":"x"}`, "order", time.Hour, map[string]string{"X-WNS-Tag": "", "X-WNS-Type": "wns/raw", "Content-Type": "application/octet-stream"}},
		{`{"type":"toast","title":"T","headers":{"x-wns-ttl":"60","x-wns-tag":"t","X-WNS-Cache-Policy":"no-cache"}}`, "order", time.Hour, map[string]string{
			"X-WNS-TTL": "60", "X-WNS-Tag": "t", "X-WNS-Group": "order", "X-WNS-Cache-Policy": "no-cache",
		}},
		{`{"type":"toast","title":"T","headers":{"x-wns-ttl":"600"}}`, "", time.Minute, map[string]string{"X-WNS-TTL": "60"}},
	} {
		m, err := parse(json.RawMessage(c.payload))
		if err != nil {
			t.Fatal(err)
		}
		h := m.header(c.ttl, c.key)
		for name, want := range c.want {
			if got := h[http.CanonicalHeaderKey(name)]; strings.Join(got, ",") != want {
				t.Errorf("%s: %s is %q, want %q", c.payload, name, got, want)
			}
		}
	}
}

// Whatever a notification says, it makes well-formed XML that says the same.
func FuzzToast(f *testing.F) {
	f.Add("T", "B", "https://a", "default", `{"a":"it's"}`)
	f.Add("<&>\"'", "]]>", "'", "ms-appx:///'", `"\u0000"`)
	f.Add("\x00\xff\ufffe", "&#34;", "\r\n\t", "", `[]`)
	f.Fuzz(func(t *testing.T, title, body, icon, sound, data string) {
		payload, err := render(&push.Content{Title: title, Body: body, Icon: icon, Sound: sound, Data: json.RawMessage(data)})
		if err != nil {
			return
		}
		m, err := parse(payload)
		if err != nil && (title != "" || body != "") {
			t.Fatalf("%s: %v", payload, err)
		}
		if err != nil {
			return
		}
		for kind, text := range map[string]string{"toast": string(m.toast()), "tile": string(m.tile())} {
			if err := checkXML(text, kind); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
		wantTexts(t, m)
	})
}

// What callers write is either refused or can be sent as it is meant.
func FuzzOverride(f *testing.F) {
	f.Add([]byte(`{"type":"toast","xml":"<toast/>","headers":{"X-WNS-TTL":"5"}}`))
	f.Add([]byte(`{"type":"badge","value":1}`))
	f.Add([]byte(`{"type":"raw","data":{}}`))
	f.Add([]byte(`{"type":"tile","title":"<","icon":"'"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if (Provider{}).CheckPayload(payload, true) != nil {
			return
		}
		m, err := parse(payload)
		if err != nil {
			t.Fatal(err)
		}
		if content := m.content(); len(content) > MaxPayload || m.Type != "raw" && checkXML(string(content), m.Type) != nil {
			t.Errorf("%s", content)
		}
		for name, values := range m.header(time.Minute, "key") {
			if len(values) != 1 || strings.ContainsAny(name+values[0], "\r\n") || name == "Authorization" {
				t.Errorf("%s is %q", name, values)
			}
		}
	})
}
