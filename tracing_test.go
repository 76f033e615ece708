package sockudo

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
)

// spans is a collector of OpenTelemetry, which keeps what it gets.
type spans struct {
	t  *testing.T
	mu sync.Mutex
	by map[string][]*tracepb.Span // by name
	// raw is all that has come, for what must not be in it.
	raw bytes.Buffer
}

// collectSpans starts a collector and tells Caddy about it.
func collectSpans(t *testing.T) *spans {
	t.Helper()
	s := &spans{t: t, by: map[string][]*tracepb.Span{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	return s
}

func (s *spans) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			s.t.Error(err)
			return
		}
		body = unzipped
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return // the exporter has gone
	}
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(text, &export); err != nil || r.URL.Path != "/v1/traces" {
		s.t.Errorf("%s: %v", r.URL.Path, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(text)
	for _, resource := range export.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				s.by[span.GetName()] = append(s.by[span.GetName()], span)
			}
		}
	}
}

// find waits for the spans of a name.
func (s *spans) find(name string, n int) (found []*tracepb.Span) {
	s.t.Helper()
	eventually(s.t, "spans "+name, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		found = slices.Clone(s.by[name])
		return len(found) >= n
	})
	if len(found) != n {
		s.t.Errorf("%d spans %s, want %d", len(found), name, n)
	}
	return found
}

// childOf checks that a span is a step of another one.
func (s *spans) childOf(child, parent *tracepb.Span) {
	s.t.Helper()
	if !bytes.Equal(child.GetTraceId(), parent.GetTraceId()) || !bytes.Equal(child.GetParentSpanId(), parent.GetSpanId()) {
		s.t.Errorf("%s is not a child of %s", child.GetName(), parent.GetName())
	}
}

func attributesOf(span *tracepb.Span) map[string]string {
	all := map[string]string{}
	for _, a := range span.GetAttributes() {
		all[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return all
}

// A request that Caddy traces has the steps of a publish, and an upgrade is traced
// although its connection leaves the server.
func TestTracing(t *testing.T) {
	collected := collectSpans(t)
	s, f := newServer(t), pushtest.NewFCM(t)
	p := pushPort{t, freePort(t)}
	s.mustLoad("", site(p.port, "tracing {\nspan request\n}\nsockudo {\n"+appBlock+"history {\n}\n"+fcmBlock(f, "credentials_path "+f.ServiceAccountFile(t), "")+"}"))
	c := dial(t, "127.0.0.1:"+p.port, "/app/demo-key")
	upgrade := collected.find("sockudo.upgrade", 1)[0]
	collected.childOf(upgrade, collected.find("request", 1)[0])
	if a := attributesOf(upgrade); a["sockudo.app"] != "demo" || a["sockudo.socket_id"] != c.id || a["sockudo.hub"] != "default" {
		t.Errorf("the upgrade says %v", a)
	}
	c.subscribe("room")
	p.must("events", `{"name":"x","channels":["room","room-2"],"data":"payload-canary","extras":{"push":{"title":"title-canary","body":"b"}}}`)
	c.expect("payload-canary")
	request := collected.find("request", 2)[1]
	for i, publish := range collected.find("sockudo.publish", 2) {
		collected.childOf(publish, request)
		a := attributesOf(publish)
		if want := []string{"room", "room-2"}[i]; a["sockudo.channel"] != want || a["sockudo.channel_kind"] != "public" || a["sockudo.app"] != "demo" || a["sockudo.message_id"] == "" {
			t.Errorf("a publish says %v", a)
		}
		collected.childOf(collected.find("sockudo.history.append", 2)[i], publish)
		collected.childOf(collected.find("sockudo.adapter.broadcast", 2)[i], publish)
	}
	for _, accept := range collected.find("sockudo.push.accept", 2) {
		collected.childOf(accept, request)
	}
	p.must("events", `{"name":"x","channel":"#server-to-user-user-canary","data":"{}"}`)
	if a := attributesOf(collected.find("sockudo.publish", 3)[2]); a["sockudo.channel"] != "" || a["sockudo.channel_kind"] != "user" {
		t.Errorf("a publish to a user says %v", a)
	}
	collected.mu.Lock()
	defer collected.mu.Unlock()
	for _, canary := range []string{"payload-canary", "title-canary", "user-canary", "s3cr3t-canary"} {
		if strings.Contains(collected.raw.String(), canary) {
			t.Errorf("spans tell %s", canary)
		}
	}
}

// A publisher that is traced itself is the parent of what happens here.
func TestTracingContinues(t *testing.T) {
	collected := collectSpans(t)
	s := newServer(t)
	port := freePort(t)
	s.mustLoad("", site(port, "tracing {\nspan request\n}\nsockudo {\n"+appBlock+"}"))
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	request(t, "GET", "http://127.0.0.1:"+port+"/apps/demo/channels", http.Header{"Traceparent": {"00-" + trace + "-" + parent + "-01"}})
	span := collected.find("request", 1)[0]
	if hex.EncodeToString(span.GetTraceId()) != trace || hex.EncodeToString(span.GetParentSpanId()) != parent {
		t.Errorf("the request is part of trace %x below %x", span.GetTraceId(), span.GetParentSpanId())
	}
}
