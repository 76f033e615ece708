package webhooks

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/sql"
)

// killVariable makes the test binary the process that is killed. Its value is the
// file of the queue.
const killVariable = "SOCKUDO_KILL_WEBHOOKS"

func TestMain(m *testing.M) {
	if path := os.Getenv(killVariable); path != "" {
		if err := beKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// killDelivery is that of the processes that are killed, and of the last one.
func killDelivery(q storage.Queue, url string, roots *x509.CertPool) *Delivery {
	a := new(apps)
	a.set(storage.Webhook{URL: url, EventTypes: []string{"channel_occupied"}})
	return New(NewBoard(meter.NewRegistry("kill")), Settings{
		Single: true, Retry: storage.WebhookRetry{InitialBackoff: 50 * time.Millisecond, MaxBackoff: 200 * time.Millisecond},
		AllowPrivate: true, Roots: roots, Apps: a, Queue: q, Log: zap.NewNop(),
	})
}

// beKilled tells events until the process is killed, and prints which are kept.
func beKilled(path string) error {
	q, err := sql.OpenQueue(context.Background(), path, sql.QueueOptions{}, nil)
	if err != nil {
		return err
	}
	der, err := os.ReadFile(os.Getenv("SOCKUDO_KILL_CERT"))
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	d := killDelivery(q, os.Getenv("SOCKUDO_KILL_URL"), roots)
	if err := d.Start(); err != nil {
		return err
	}
	var mu sync.Mutex
	for n := 0; ; n++ {
		channel := fmt.Sprintf("%s.%d", os.Getenv("SOCKUDO_KILL_ROUND"), n)
		d.Tell("demo", storageEvents(channel), func(kept bool) {
			if kept {
				mu.Lock()
				defer mu.Unlock()
				_, _ = fmt.Fprintln(os.Stdout, channel+".")
			}
		})
		if n%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// TestKilledProcessesLoseNoWebhook kills processes with thousands of requests in
// their queue. Whatever they have kept is delivered in the end.
func TestKilledProcessesLoseNoWebhook(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		time.Sleep(2 * time.Millisecond)
		if n%10 == 7 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	dir := t.TempDir()
	path, cert := filepath.Join(dir, "queue.db"), filepath.Join(dir, "cert")
	if err := os.WriteFile(cert, r.Certificate().Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	const rounds = 5
	for round := range rounds {
		for _, channel := range killOnce(t, path, cert, r.URL, round) {
			kept[channel] = true
		}
	}
	q, err := sql.OpenQueue(t.Context(), path, sql.QueueOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	left := func() storage.QueueStats {
		s, err := q.Stats(t.Context(), QueueName)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := left()
	pending := s.Ready + s.Delayed + s.Active
	r.mu.Lock()
	r.answer = nil
	r.mu.Unlock()
	roots := x509.NewCertPool()
	roots.AddCert(r.Certificate())
	d := killDelivery(q, r.URL, roots)
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(3 * time.Minute); left() != (storage.QueueStats{}); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the queue still has %+v", left())
		}
	}
	if err := d.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, ids := map[string]bool{}, map[string]int{}
	for _, one := range r.all() {
		ids[one.header.Get(IDHeader)]++
		for _, e := range one.envelope(t).Events {
			got[e.Channel] = true
		}
	}
	lost, twice := 0, 0
	for channel := range kept {
		if !got[channel] {
			lost++
		}
	}
	for _, n := range ids {
		if n > 1 {
			twice++
		}
	}
	if lost > 0 || len(kept) < 1000 {
		t.Errorf("%d of %d events that were kept are lost", lost, len(kept))
	}
	t.Logf("FIGURE kill -9 of a process that sends webhooks: %d rounds, %d events kept, %d requests pending after the last kill, %d lost, %d requests came more than once (failed answers included)",
		rounds, len(kept), pending, lost, twice)
}

// killOnce runs a process for a while, kills it, and returns which events it has
// kept.
func killOnce(t *testing.T, path, cert, url string, round int) (channels []string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), killVariable+"="+path, "SOCKUDO_KILL_CERT="+cert, "SOCKUDO_KILL_URL="+url, fmt.Sprint("SOCKUDO_KILL_ROUND=", round))
	var failure strings.Builder
	c.Stderr = &failure
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	enough := make(chan struct{})
	go func() {
		<-enough
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		_ = c.Process.Kill()
	}()
	scanner := bufio.NewScanner(out)
	const least = 400
	for n := 1; scanner.Scan(); n++ {
		if n == least {
			close(enough)
		}
		if channel, whole := strings.CutSuffix(scanner.Text(), "."); whole {
			channels = append(channels, channel)
		}
	}
	_ = c.Wait()
	if len(channels) < least-1 {
		t.Fatalf("round %d ended by itself, with %d events kept: %s", round, len(channels), &failure)
	}
	return channels
}
