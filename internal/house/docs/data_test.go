package docs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// elision is what a document leaves out between members or items.
var elision = regexp.MustCompile(`,? ?…,?([]}])|…, ?`)

// checkJSON parses all values of a block, after one another. Configurations of Caddy
// are loaded, and frames of the protocol are read as the server reads them.
func checkJSON(t testing.TB, b block) {
	text := elision.ReplaceAllString(b.text, "$1")
	decoder := json.NewDecoder(strings.NewReader(text))
	for {
		var value json.RawMessage
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) != nil {
			continue
		}
		if bytes.HasPrefix(object["apps"], []byte("{")) {
			checkConfig(t, value)
		}
		if _, is := object["event"]; is && b.doc == "docs/protocol.md" {
			checkFrame(t, value)
		}
	}
}

func checkConfig(t testing.TB, text []byte) {
	secrets(t)
	var config *caddy.Config
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(config); err != nil {
		t.Error(err)
	}
}

// checkFrame reads a frame of the protocol, and what it carries where that is known.
func checkFrame(t testing.TB, text []byte) {
	m, problem := protocol.ParseMessage(protocol.FormatJSON, text)
	if problem != nil {
		t.Errorf("%v: %s", problem, text)
		return
	}
	_, name, _ := strings.Cut(m.Event, ":")
	switch {
	case name == "subscribe":
		_, problem = protocol.ParseSubscribe(m.Data)
	case name == "unsubscribe":
		_, problem = protocol.ParseUnsubscribe(m.Data)
	case name == "signin":
		_, problem = protocol.ParseSignin(m.Data)
	case name == "auth":
		_, problem = protocol.ParseAuth(m.Data)
	case name == "resume":
		_, problem = protocol.ParseResume(m.Data)
	case m.Event == "sockudo:presence_update":
		_, problem = protocol.ParsePresenceUpdate(m)
	}
	if problem != nil {
		t.Errorf("%v: %s", problem, text)
	}
}

// checkHTTP reads the head of a request. Its body, if it has one here, is JSON.
func checkHTTP(t testing.TB, b block) {
	head, body, _ := strings.Cut(b.text, "\n\n")
	line, headers, _ := strings.Cut(strings.TrimSpace(head), "\n")
	if !strings.HasSuffix(line, " HTTP/1.1") {
		line += " HTTP/1.1"
	}
	raw := line + "\r\nHost: localhost\r\n" + strings.ReplaceAll(headers, "\n", "\r\n") + "\r\n\r\n"
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Replace(raw, "\r\n\r\n\r\n", "\r\n\r\n", 1))))
	if err != nil {
		t.Fatalf("%v: %s", err, head)
	}
	methods := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead}
	if !slices.Contains(methods, req.Method) {
		t.Errorf("%s is no method", req.Method)
	}
	if body != "" {
		checkJSON(t, block{doc: b.doc, text: body})
	}
}

// ofFrameworks begin the names of variables that others read.
var ofFrameworks = regexp.MustCompile(`^(PUSHER|VITE|REALTIME|NEXT_PUBLIC|REVERB|SOKETI)_|^(BROADCAST_CONNECTION|BROADCAST_DRIVER|QUEUE_CONNECTION|APP_SECRET|APP_URL)$`)

// checkEnvironment wants variables that the server, or a framework, reads.
func checkEnvironment(t testing.TB, b block) {
	described := read(t, "docs/configuration.md")
	for line := range strings.Lines(b.text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, is := strings.Cut(line, "=")
		switch {
		case !is || !regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`).MatchString(name):
			t.Errorf("not NAME=VALUE: %s", line)
		case strings.Contains(value, " ") && !strings.HasPrefix(value, `"`):
			t.Errorf("a value with spaces and no quotes: %s", line)
		case !ofFrameworks.MatchString(name) && !strings.Contains(described, "`"+strings.TrimPrefix(name, "PUSH_")+"`") && !strings.Contains(described, "`"+name+"`"):
			t.Errorf("docs/configuration.md does not know %s", name)
		}
	}
}

// checkTOML adapts a file in the product's own format.
func checkTOML(t testing.TB, b block) {
	adapter := caddyconfig.GetAdapter("sockudo")
	if adapter == nil {
		t.Fatal("there is no adapter for TOML")
	}
	secrets(t)
	if _, _, err := adapter.Adapt([]byte(b.text), map[string]any{"filename": b.doc}); err != nil {
		t.Error(err)
	}
}
