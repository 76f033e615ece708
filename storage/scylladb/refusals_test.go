package scylladb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

// refused opens a table that must not open, and checks what the error says.
func refused(t *testing.T, o Options, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	start := time.Now()
	m, err := OpenAppManager(ctx, o, nil)
	if err == nil {
		_ = m.Close()
		t.Errorf("the table opens; it should say %q", want)
		return
	}
	said := err.Error()
	if !strings.Contains(said, o.place()+": ") || !strings.Contains(said, want) || strings.Contains(said, "hush") || strings.Contains(said, "\n") {
		t.Errorf("the error is %q; it should name %q and say %q, without a secret, in one line", said, o.place(), want)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Checklist: configuration 40
func TestUnreachable(t *testing.T) {
	o := Options{Nodes: []string{"127.0.0.1:1"}, Username: "u", Password: "hush"}
	refused(t, o, "dial tcp 127.0.0.1:1: connect: connection refused")
	o.Nodes = []string{"127.0.0.1:1", "127.0.0.2:1"}
	refused(t, o, "127.0.0.1:1: connect: connection refused; dial tcp 127.0.0.2:1: connect: connection refused")
	o.Nodes = []string{"no-such-host.invalid:9042"}
	refused(t, o, "failed to resolve any of the provided hostnames")

	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	o.Nodes = []string{silent.Addr().String()}
	refused(t, o, silent.Addr().String()+": no answer in time")

	// Whoever opens it may have less patience.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := OpenAppManager(ctx, o, nil); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), o.place()) {
		t.Errorf("with a short limit: %v", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("a limit of 50ms took %v", took)
	}
}

func TestRefusedLogins(t *testing.T) {
	_, o := server(t, cqltest.Options{Logins: map[string]cqltest.Login{"u": {Password: "hush-hush", Rights: []string{"SELECT"}}}})
	refused(t, o, "authentication required")
	o.Username, o.Password = "u", "hush"
	refused(t, o, o.Nodes[0]+": Provided username u and/or password are incorrect")
}

// One node alone cannot do what three are asked for.
func TestTooFewNodes(t *testing.T) {
	_, o := server(t, cqltest.Options{})
	o.ReplicationFactor = 0
	refused(t, o, "Cannot achieve consistency level for cl LOCAL_QUORUM. Requires 2, alive 1")
}

// protected is a server that speaks TLS and wants a certificate, with options that
// it accepts.
func protected(t *testing.T) Options {
	t.Helper()
	files := certtest.New(t)
	certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(read(files.CA))
	_, o := server(t, cqltest.Options{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}})
	o.TLS = &words.TLSOptions{CA: read(files.CA), Cert: read(files.Cert), Key: read(files.Key)}
	return o
}

func TestTLS(t *testing.T) {
	o := protected(t)
	m := open(t, o)
	put(t, m, app("a", "k"))
	knows(t, m, "k", "a")

	unsure := o
	unsure.TLS = &words.TLSOptions{Cert: o.TLS.Cert, Key: o.TLS.Key, SkipVerify: true}
	knows(t, open(t, unsure), "k", "a")

	stranger := o
	stranger.TLS = &words.TLSOptions{CA: o.TLS.CA}
	refused(t, stranger, "certificate required")
	stranger.TLS = &words.TLSOptions{Cert: o.TLS.Cert, Key: o.TLS.Key}
	refused(t, stranger, "certificate signed by unknown authority")
	stranger.TLS = nil
	refused(t, stranger, o.Nodes[0])
	_, plain := server(t, cqltest.Options{})
	plain.TLS = o.TLS
	refused(t, plain, "TLS handshake with "+plain.Nodes[0])
}

// A certificate may be for the address of a node, or for a node that is written.
func TestCertificateNames(t *testing.T) {
	o := protected(t)
	config, err := o.TLS.Config()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0]) // for 127.0.0.1
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		names []string
		want  string
	}{
		{[]string{"127.0.0.1"}, ""},
		{[]string{"10.0.0.1", "127.0.0.1"}, ""},
		{[]string{"10.0.0.1", "db.internal"}, "the certificate is for none of 10.0.0.1, db.internal"},
	} {
		err := verify([]*x509.Certificate{leaf}, config.RootCAs, c.names)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("%q: %v, want %q", c.names, err, c.want)
		}
	}
	if err := verify(nil, config.RootCAs, nil); err == nil {
		t.Error("no certificate is accepted")
	}
}

// Checklist: configuration 36
func TestBadOptions(t *testing.T) {
	for want, o := range map[string]Options{
		`keyspace "a b"`:                  {Keyspace: "a b"},
		`keyspace "a\"; DROP"`:            {Keyspace: `a"; DROP`},
		`keyspace "ключ"`:                 {Keyspace: "ключ"},
		`keyspace "System_auth" is one`:   {Keyspace: "System_auth"},
		"48 at most":                      {Keyspace: strings.Repeat("a", 49)},
		`table_name "a-b"`:                {Table: "a-b"},
		`table_name "a;b"`:                {Table: "a;b"},
		`table_name "a.b"`:                {Table: "a.b"},
		"43 at most":                      {Table: strings.Repeat("a", 44)},
		`replication_class "X', 'y': '1"`: {ReplicationClass: "X', 'y': '1"},
		`replication_class "1"`:           {ReplicationClass: "1"},
		"replication_factor -1":           {ReplicationFactor: -1},
		"go together":                     {Username: "u"},
		"one of them":                     {Password: "hush"},
		`nodes: "a" is not like`:          {Nodes: []string{"a"}},
		"b:2 has another port than a:1":   {Nodes: []string{"a:1", "b:2"}},
		"tls: ca holds no certificate":    {TLS: &words.TLSOptions{CA: []byte("hush")}},
	} {
		if _, err := OpenAppManager(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", want, err)
		}
	}
	// The longest names fit.
	_, o := server(t, cqltest.Options{})
	o.Keyspace, o.Table = strings.Repeat("k", 48), strings.Repeat("t", 43)
	put(t, open(t, o), app("a", "k"))
}

// What the server answers with an error is not taken for a missing app, and says
// what it is.
func TestErrorsOfTheServer(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	m := open(t, o)
	put(t, m, app("a", "k"))
	for want, fault := range map[string]error{
		"Server is overloaded": cqltest.Overloaded(), "NullPointerException": cqltest.Broken(),
		"received only 1 responses": cqltest.ReadTimeout(), "no SELECT": cqltest.Unauthorized("no SELECT"),
	} {
		s.Let(func(cqltest.Request, func() error) error { return fault })
		_, byID := m.AppByID(t.Context(), "a")
		_, byKey := m.AppByKey(t.Context(), "unknown")
		_, list := m.Apps(t.Context())
		for what, err := range map[string]error{
			"AppByID": byID, "AppByKey": byKey, "Apps": list, "Check": m.Check(t.Context()),
			"DeleteApp": m.DeleteApp(t.Context(), "a", storage.AnyVersion),
		} {
			if err == nil || !strings.Contains(err.Error(), o.place()) || !strings.Contains(err.Error(), want) || errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s with the fault %q: %v", what, want, err)
			}
		}
	}
	s.Let(nil)
	knows(t, m, "k", "a")
}
