//go:build linux

package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sockudo/caddy-sockudo/bench/loadgen"
)

// startHandler serves the handler without Caddy around it.
func startHandler(t *testing.T) (*Handler, loadgen.Target) {
	t.Helper()
	handler := &Handler{AppID: "app-id", Key: "app-key", Secret: "app-secret", hub: newHub()}
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		return caddyhttp.Error(http.StatusNotFound, nil)
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handler.ServeHTTP(w, r, next); err != nil {
			var refused caddyhttp.HandlerError
			if !errors.As(err, &refused) {
				panic(err)
			}
			w.WriteHeader(refused.StatusCode)
		}
	}))
	t.Cleanup(server.Close)
	return handler, loadgen.Target{
		Addr: server.Listener.Addr().String(), AppID: "app-id", Key: "app-key", Secret: "app-secret", PID: os.Getpid(),
	}
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	for name, scenario := range map[string]loadgen.Scenario{
		"idle":     loadgen.Idle{Connections: 40, Channels: 40},
		"window":   loadgen.Fanout{Subscribers: 20, Window: 8, Publishers: 4, Measure: 200 * time.Millisecond},
		"paced":    loadgen.Fanout{Subscribers: 20, Rate: 100, Measure: 200 * time.Millisecond},
		"channels": loadgen.Fanout{Subscribers: 20, Channels: 10, Window: 16, Measure: 200 * time.Millisecond},
		"publish":  loadgen.Publish{Publishers: 2, Measure: 200 * time.Millisecond},
		"batch":    loadgen.Publish{Publishers: 2, Batch: 10, Measure: 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler, target := startHandler(t)
			r, err := scenario.Run(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			if r.Faults.Any() || r.Count == 0 || r.PerCPUSecond <= 0 {
				t.Errorf("%d %s, %g per CPU-second, faults: %s", r.Count, r.Unit, r.PerCPUSecond, r.Faults)
			}
			for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
				handler.hub.mu.Lock()
				left := len(handler.hub.channels)
				handler.hub.mu.Unlock()
				if left == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d channels are left after the connections ended", left)
				}
			}
		})
	}
}

func TestSignatureIsChecked(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*loadgen.Target){
		"key":    func(target *loadgen.Target) { target.Key = "other" },
		"secret": func(target *loadgen.Target) { target.Secret = "other" },
	} {
		_, target := startHandler(t)
		spoil(&target)
		var r loadgen.Result
		for measure := 20 * time.Millisecond; r.Faults.Refused == 0 && measure < 10*time.Second; measure *= 4 { // longer where the machine is slow
			var err error
			if r, err = (loadgen.Publish{Publishers: 1, Measure: measure}).Run(t.Context(), target); err != nil {
				t.Fatal(err)
			}
		}
		if r.Count != 0 || r.Faults.Refused != 1 || !strings.Contains(r.Faults.First, "401") {
			t.Errorf("another %s: %d published, faults: %s", name, r.Count, r.Faults)
		}
	}
}
