package conformance

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pusher/pusher-http-go/v5"
)

// hookedApp has a webhook, whose receiver is there while its test runs.
var hookedApp = app{"hooked", "hooked-key", "hooked-secret"}

// hookRequest is a request of a webhook as the helper of the SDK for Node wants it.
type hookRequest struct {
	Headers map[string]string `json:"headers"`
	RawBody string            `json:"rawBody"`
	header  http.Header
}

// receiveHooks listens at the port that the Caddyfile names.
func receiveHooks(t *testing.T, s *server) <-chan hookRequest {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(s.host, strconv.Itoa(s.conf.Hooks)))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan hookRequest, 100)
	receiver := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		one := hookRequest{map[string]string{}, string(body), r.Header.Clone()}
		for name := range r.Header {
			one.Headers[strings.ToLower(name)] = r.Header.Get(name) // as Node has them
		}
		got <- one
	})}
	go func() { _ = receiver.Serve(listener) }()
	t.Cleanup(func() { _ = receiver.Close() })
	return got
}

// What happens in channels comes to a receiver, and the helpers of the official
// SDKs for Node and Go find it as they want it.
//
// Checklist: http-api 158
// Checklist: configuration 90
func TestWebhookHelpers(t *testing.T) {
	s := needOurs(t)
	needNode(t)
	got := receiveHooks(t, s)
	ann := openSocket(t, s.socketURL(hookedApp.Key))
	ann.join(t, hookedApp, "presence-hooks", member("ann"))
	ann.send(t, "client-hello", "presence-hooks", map[string]string{"text": `<ü "quoted"> & more`})
	want := map[string]bool{"channel_occupied": true, "member_added": true, "client_event": true}
	client := pusher.Client{Key: hookedApp.Key, Secret: hookedApp.Secret}
	var requests []hookRequest
	for len(want) > 0 {
		select {
		case one := <-got:
			hook, err := client.Webhook(one.header, []byte(one.RawBody))
			if err != nil {
				t.Fatalf("the SDK for Go: %v: %s", err, one.RawBody)
			}
			for _, e := range hook.Events {
				if e.Channel != "presence-hooks" {
					t.Errorf("the SDK for Go has %+v", e)
				}
				delete(want, e.Name)
			}
			requests = append(requests, one)
		case <-time.After(10 * time.Second):
			t.Fatalf("no request tells of %v", want)
		}
	}
	forged := requests[0]
	forged.RawBody = strings.Replace(forged.RawBody, "presence-hooks", "presence-other", 1)
	said := askNode(t, append(requests, forged))
	names := map[string]bool{}
	for i, a := range said {
		if a.Valid != (i < len(requests)) {
			t.Errorf("the SDK for Node says %+v of request %d of %d", a, i+1, len(requests))
		}
		for _, e := range a.Events {
			names[e.Name] = true
		}
		if now := time.Now().UnixMilli(); a.Valid && (a.Time < now-60_000 || a.Time > now+60_000) {
			t.Errorf("the SDK for Node reads the time %d", a.Time)
		}
	}
	if !names["channel_occupied"] || !names["member_added"] || !names["client_event"] {
		t.Errorf("the SDK for Node found %v", names)
	}
}

// nodeAnswer is what the helper for Node says of a request.
type nodeAnswer struct {
	Valid  bool
	Time   int64
	Events []struct{ Name, Channel string }
}

func askNode(t *testing.T, requests []hookRequest) (answers []nodeAnswer) {
	t.Helper()
	var lines strings.Builder
	for _, one := range requests {
		text, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(text, '\n'))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join("clients", "webhook.mjs"))
	credentials, err := json.Marshal(map[string]string{"appId": hookedApp.ID, "key": hookedApp.Key, "secret": hookedApp.Secret})
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "CONFORMANCE="+string(credentials), "NODE_NO_WARNINGS=1")
	cmd.Stdin = strings.NewReader(lines.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the helper for Node: %v: %s", err, out)
	}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for decoder.More() {
		var a nodeAnswer
		if err := decoder.Decode(&a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(requests) {
		t.Fatalf("the helper for Node says %s", out)
	}
	return answers
}
