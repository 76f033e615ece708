package fcm

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// canned answers without a network.
type canned struct{}

func (canned) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"name":"projects/p/messages/1"}`)), Request: r}, nil
}

// bench is a sender without a network.
func bench(b *testing.B) *sender {
	b.Helper()
	s := &sender{client: &http.Client{Transport: canned{}, Timeout: time.Minute}, clock: time.Now}
	var err error
	if s.library, err = newLibrary(s.client, defaultEndpoint, "p"); err != nil {
		b.Fatal(err)
	}
	s.tokens = &tokens{clock: time.Now, current: &token{text: "given"}}
	return s
}

// BenchmarkSend is what a notification costs beside the network.
func BenchmarkSend(b *testing.B) {
	s, n := bench(b), notice(b, "a")
	b.ReportAllocs()
	for b.Loop() {
		if r := s.Send(b.Context(), n); r.Outcome != push.Accepted {
			b.Fatalf("%+v", r)
		}
	}
}

// BenchmarkSendWithoutLibrary is the same as if there were no library.
func BenchmarkSendWithoutLibrary(b *testing.B) {
	s, n := bench(b), notice(b, "a")
	b.ReportAllocs()
	for b.Loop() {
		body, err := complete(n)
		if err != nil {
			b.Fatal(err)
		}
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, defaultEndpoint+"/v1/projects/p/messages:send", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer given")
		a := ask(s.client, r)
		if a.result(time.Now(), true).Outcome != push.Accepted {
			b.Fatal("not sent")
		}
	}
}

// BenchmarkRender is what is done once for each publish.
func BenchmarkRender(b *testing.B) {
	c := &push.Content{Title: "T", Body: "B", CollapseKey: "order", Data: []byte(`{"order":{"id":"ord_123"},"n":5,"s":"x"}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Provider{}).Render(c); err != nil {
			b.Fatal(err)
		}
	}
}
