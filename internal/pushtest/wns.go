package pushtest

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// WNS is a stand-in for Windows Push Notification Services and their token endpoint.
// It takes what the service takes, and nothing else: a bearer token of its own that is
// not revoked, a type, well-formed XML as text/xml with the root that goes with the
// type, octets for raw, tags of at most 16 letters and digits, and at most 5000 bytes.
//
//	w := pushtest.NewWNS(t)
//	o := push.ConnectOptions{TokenEndpoint: w.TokenEndpoint(), Roots: w.Roots(), AllowPrivate: true}
//	uri := w.Channel("a") // or a real one, with o.Endpoint = w.Endpoint()
//	w.Script("a", pushtest.Scripted{Status: 406})
//
// Replies are scripted by the name of the channel, which is the parameter token of its
// URI.
type WNS struct {
	stand[WNSMessage]
	OAuth ClientOAuth
}

// WNSMessage is a message that the stand-in has accepted.
type WNSMessage struct {
	// Channel is the name of the channel.
	Channel string
	// Type is toast, tile, badge or raw.
	Type string
	// Header has the headers of the request, without the access token.
	Header http.Header
	// Body is what has been sent.
	Body string
	// TTL is that of X-WNS-TTL.
	TTL time.Duration
	// Launch is the attribute of a toast.
	Launch string
	// Texts are the texts of a toast or tile, in their order.
	Texts []string
}

// NewWNS starts a stand-in, which ends with the test.
func NewWNS(t testing.TB) *WNS {
	t.Helper()
	w := &WNS{OAuth: ClientOAuth{
		ID: "ms-app://s-1-15-2-104729", Secret: "wns-secret-" + standID(), Scope: "notify.windows.com", Life: 24 * time.Hour,
	}}
	mux := http.NewServeMux()
	mux.Handle("/accesstoken.srf", &w.OAuth)
	mux.HandleFunc("/", w.serve)
	w.start(t, mux)
	return w
}

// TokenEndpoint is the URL of the token endpoint.
func (w *WNS) TokenEndpoint() string { return w.Endpoint() + "/accesstoken.srf" }

// Channel is the URI of a channel at this stand-in.
func (w *WNS) Channel(name string) string { return w.Endpoint() + "/w/?token=" + name }

// Material are the credentials, as they are uploaded.
func (w *WNS) Material() json.RawMessage {
	return standJSON(map[string]string{"packageSid": w.OAuth.ID, "clientSecret": w.OAuth.Secret})
}

// WNSStatus is a reply of success with a status of the notification: received, dropped
// or channelthrottled.
func WNSStatus(status string) Scripted {
	return Scripted{Status: http.StatusOK, Header: http.Header{
		"X-WNS-Msg-ID": {standID()}, "X-WNS-NotificationStatus": {status}, "X-WNS-DeviceConnectionStatus": {"connected"},
	}}
}

func (w *WNS) serve(rw http.ResponseWriter, r *http.Request) {
	if !w.begin(r) {
		return
	}
	if !w.OAuth.Accepts(r) {
		rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		standAnswer(rw, http.StatusUnauthorized, nil, "")
		return
	}
	m, status, err := w.read(r)
	if err != nil {
		w.fault(err.Error())
		standAnswer(rw, status, http.Header{"X-WNS-Error-Description": {"see the test"}}, "")
		return
	}
	if reply, ok := w.reply(m.Channel); ok {
		reply.write(rw, r)
		return
	}
	w.accept(m)
	standAnswer(rw, http.StatusOK, http.Header{
		"X-WNS-Msg-ID": {standID()}, "X-WNS-NotificationStatus": {"received"}, "X-WNS-DeviceConnectionStatus": {"connected"},
	}, "")
}

var (
	wnsTag     = regexp.MustCompile(`^[A-Za-z0-9]{1,16}$`)
	wnsHeaders = map[string]func(value string) bool{
		"X-Wns-Type":             func(v string) bool { return strings.HasPrefix(v, "wns/") },
		"X-Wns-Ttl":              func(v string) bool { n, err := strconv.ParseUint(v, 10, 32); return err == nil && n > 0 },
		"X-Wns-Tag":              wnsTag.MatchString,
		"X-Wns-Group":            wnsTag.MatchString,
		"X-Wns-Cache-Policy":     func(v string) bool { return v == "cache" || v == "no-cache" },
		"X-Wns-Suppresspopup":    func(v string) bool { return v == "true" || v == "false" },
		"X-Wns-Requestforstatus": func(v string) bool { return v == "true" || v == "false" },
		"X-Wns-Priority": func(v string) bool {
			return v == "High" || v == "Medium" || v == "Low" || v == "Very-low"
		},
	}
)

// read reads and checks a message. A fault has a status.
func (w *WNS) read(r *http.Request) (m WNSMessage, status int, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return m, http.StatusBadRequest, err
	}
	if r.Method != http.MethodPost {
		return m, http.StatusMethodNotAllowed, fmt.Errorf("the method is %s", r.Method)
	}
	for name, values := range r.Header {
		check, known := wnsHeaders[name]
		if strings.HasPrefix(name, "X-Wns-") && (!known || len(values) != 1 || !check(values[0])) {
			return m, http.StatusBadRequest, fmt.Errorf("the header %s is %q", name, values)
		}
	}
	m = WNSMessage{
		Channel: r.URL.Query().Get("token"), Type: strings.TrimPrefix(r.Header.Get("X-WNS-Type"), "wns/"),
		Header: r.Header.Clone(), Body: string(body),
	}
	m.Header.Del("Authorization")
	ttl, _ := strconv.Atoi(r.Header.Get("X-WNS-TTL")) // checked above
	m.TTL = time.Duration(ttl) * time.Second
	switch {
	case m.Channel == "":
		return m, http.StatusNotFound, errors.New("the channel has no name")
	case r.ContentLength != int64(len(body)):
		return m, http.StatusBadRequest, errors.New("the request has no length")
	case len(body) > 5000:
		return m, http.StatusRequestEntityTooLarge, fmt.Errorf("the body has %d bytes", len(body))
	case m.TTL == 0:
		return m, http.StatusBadRequest, errors.New("X-WNS-TTL is missing")
	}
	return m, http.StatusBadRequest, m.check(r.Header.Get("Content-Type"))
}

// check checks the content, and takes the texts out of XML.
func (m *WNSMessage) check(contentType string) error {
	switch m.Type {
	case "raw":
		if contentType != "application/octet-stream" {
			return fmt.Errorf("raw content is %q", contentType)
		}
		return nil
	case "toast", "tile", "badge":
		if contentType != "text/xml" {
			return fmt.Errorf("XML is %q", contentType)
		}
		return m.parse()
	}
	return fmt.Errorf("the type is %q", m.Type)
}

// parse reads well-formed XML with one root, which is that of the type.
func (m *WNSMessage) parse() error {
	d := xml.NewDecoder(strings.NewReader(m.Body))
	depth, roots, text := 0, 0, false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && roots == 1 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the XML is not well-formed: %w", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
				if e.Name.Local != m.Type {
					return fmt.Errorf("the root is %s, and the type %s", e.Name.Local, m.Type)
				}
				for _, a := range e.Attr {
					if a.Name.Local == "launch" {
						m.Launch = a.Value
					}
				}
			}
			depth++
			if text = e.Name.Local == "text"; text {
				m.Texts = append(m.Texts, "")
			}
		case xml.EndElement:
			depth, text = depth-1, false
		case xml.CharData:
			if text {
				m.Texts[len(m.Texts)-1] += string(e)
			} else if depth == 0 && strings.TrimSpace(string(e)) != "" {
				return errors.New("there is text beside the root")
			}
		case xml.Directive:
			return errors.New("there is a directive in the XML")
		}
	}
}
