package wns

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// escape is a text as the content of an element, or as an attribute in apostrophes.
// What XML cannot have becomes the replacement character. Quotation marks stay, which
// leaves more room for JSON.
func escape(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // a buffer takes everything
	return strings.ReplaceAll(b.String(), "&#34;", `"`)
}

// toast is the XML of a toast: title and body, the icon in place of the app's own, and
// the launch argument.
func (m *message) toast() []byte {
	var b bytes.Buffer
	b.WriteString("<toast")
	launch := m.Launch
	if launch == "" && len(m.Data) > 0 {
		launch = string(compact(m.Data))
	}
	if launch != "" {
		fmt.Fprintf(&b, " launch='%s'", escape(launch))
	}
	b.WriteString("><visual><binding template='ToastGeneric'>")
	m.texts(&b)
	if m.Icon != "" {
		fmt.Fprintf(&b, "<image placement='appLogoOverride' src='%s'/>", escape(m.Icon))
	}
	b.WriteString("</binding></visual>")
	switch {
	case m.Sound == "none":
		b.WriteString("<audio silent='true'/>")
	case strings.HasPrefix(m.Sound, "ms-winsoundevent:"), strings.HasPrefix(m.Sound, "ms-appx:///"):
		fmt.Fprintf(&b, "<audio src='%s'/>", escape(m.Sound))
	} // others are sounds of other platforms: Windows plays its own
	b.WriteString("</toast>")
	return b.Bytes()
}

// tile is the XML of a tile in two sizes.
func (m *message) tile() []byte {
	var b bytes.Buffer
	b.WriteString("<tile><visual>")
	for _, size := range []string{"TileMedium", "TileWide"} {
		fmt.Fprintf(&b, "<binding template='%s'>", size)
		m.texts(&b)
		if m.Icon != "" {
			fmt.Fprintf(&b, "<image src='%s'/>", escape(m.Icon))
		}
		b.WriteString("</binding>")
	}
	b.WriteString("</visual></tile>")
	return b.Bytes()
}

func (m *message) texts(b *bytes.Buffer) {
	for _, text := range []string{m.Title, m.Body} {
		if text != "" {
			fmt.Fprintf(b, "<text>%s</text>", escape(text))
		}
	}
}

// badge is the XML of a badge: a number or a glyph.
func (m *message) badge() []byte {
	value := string(m.Value)
	var glyph string
	if json.Unmarshal(m.Value, &glyph) == nil {
		value = glyph
	}
	return fmt.Appendf(nil, "<badge value='%s'/>", escape(value))
}

// checkXML wants well-formed XML with one element of a name around everything, and
// nothing that makes a parser look elsewhere.
func checkXML(text, root string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	depth, roots, declared := 0, 0, false
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && roots == 1:
			return nil
		case err != nil || roots > 1:
			return fmt.Errorf("it is no well-formed XML with one element %s around everything", root)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
				if e.Name.Local != root || e.Name.Space != "" {
					return fmt.Errorf("its first element must be %s", root)
				}
			}
			if twice(e.Attr) {
				return errors.New("an element has an attribute twice")
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(e)) > 0 {
				return errors.New("it has text beside its element")
			}
		case xml.Directive:
			return errors.New("it must not have a DOCTYPE")
		case xml.ProcInst:
			if e.Target != "xml" || declared || !strings.HasPrefix(text, "<?xml") {
				return errors.New("it must not have processing instructions")
			}
			declared = true
		}
	}
}

func twice(attributes []xml.Attr) bool {
	seen := map[xml.Name]bool{}
	for _, a := range attributes {
		if seen[a.Name] {
			return true
		}
		seen[a.Name] = true
	}
	return false
}
