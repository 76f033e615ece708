package rest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// discard is a response writer that keeps nothing, as cheap as one can be.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// benchmarkCall measures one signed POST without the HTTP server around it.
func benchmarkCall(b *testing.B, path, text string, change ...func(*realtime.Settings)) {
	n := newNode(b, testApp(), change...)
	path = "/apps/app-id/" + path
	r := httptest.NewRequest("POST", path+"?"+signed("POST", path, nil, text, appKey, appSecret, time.Now()), nil)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(text))
	source := strings.NewReader(text)
	r.Body = io.NopCloser(source)
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		source.Reset(text)
		n.handler.ServeHTTP(w, r, "127.0.0.1")
	}
	if w.status != 0 {
		b.Fatalf("status %d", w.status)
	}
}

var benchData = `"{\"id\":1,\"text\":\"` + strings.Repeat("x", 80) + `\"}"`

// BenchmarkPublish is a publish of 100 bytes to a channel without subscribers,
// as the official libraries send it.
func BenchmarkPublish(b *testing.B) {
	benchmarkCall(b, "events", `{"name":"bench","channels":["bench-1"],"data":`+benchData+`}`)
}

// BenchmarkPublish10KB is the largest publish that Pusher itself takes.
func BenchmarkPublish10KB(b *testing.B) {
	benchmarkCall(b, "events", `{"name":"bench","channels":["bench-1"],"data":"`+strings.Repeat(`{\"a\":\"bcdef\"},`, 620)+`"}`)
}

// BenchmarkBatch is a batch of ten events; divide by ten for one of them.
func BenchmarkBatch(b *testing.B) {
	item := `{"name":"bench","channel":"bench-1","data":` + benchData + `}`
	benchmarkCall(b, "batch_events", `{"batch":[`+strings.Repeat(item+",", 9)+item+`]}`)
}

// BenchmarkSignature is the part of BenchmarkPublish that is the signature.
func BenchmarkSignature(b *testing.B) {
	const path, text = "/apps/app-id/events", `{"name":"bench","channels":["bench-1"]}`
	query := signed("POST", path, nil, text, appKey, appSecret, time.Now())
	content := []byte(text)
	b.ReportAllocs()
	for b.Loop() {
		q, err := protocol.ParseSignedQuery(query, true)
		if err == nil {
			err = q.Verify(appSecret, "POST", path, content, time.Now())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
