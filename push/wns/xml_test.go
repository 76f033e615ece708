package wns

import (
	"encoding/xml"
	"strings"
	"testing"
)

// document is what a reader finds in a toast.
type document struct {
	Launch string   `xml:"launch,attr"`
	Texts  []string `xml:"visual>binding>text"`
	Image  struct {
		Src string `xml:"src,attr"`
	} `xml:"visual>binding>image"`
}

// wantTexts compares what is read with what has been written.
func wantTexts(t *testing.T, m *message) {
	t.Helper()
	var d document
	if err := xml.Unmarshal(m.toast(), &d); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, text := range []string{m.Title, m.Body} {
		if text != "" {
			texts = append(texts, possible(text))
		}
	}
	if strings.Join(d.Texts, "\x00") != strings.Join(texts, "\x00") || d.Image.Src != possible(m.Icon) {
		t.Errorf("%q says %q and %q, not %q and %q", m.toast(), d.Texts, d.Image.Src, texts, m.Icon)
	}
	launch := m.Launch
	if launch == "" && len(m.Data) > 0 {
		launch = string(compact(m.Data))
	}
	if d.Launch != possible(launch) {
		t.Errorf("launch is %q, not %q", d.Launch, launch)
	}
}

// possible is a text without what XML cannot have.
func possible(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			return 0xfffd
		}
		return r
	}, text)
}

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		`"a"`: `"a"`, `'a'`: `&#39;a&#39;`, `<&>`: `&lt;&amp;&gt;`, `&#34;`: `&amp;#34;`, "\r\n\t": "&#xD;&#xA;&#x9;", "\x00": "\ufffd", "ä€😀": "ä€😀",
	} {
		if got := escape(text); got != want {
			t.Errorf("%q is %q", text, got)
		}
	}
}
