package nats

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/internal/natstest"
	"github.com/sockudo/caddy-sockudo/internal/words"
)

// at are options for a server of the test.
func at(s *natstest.Server) Options { return Options{Servers: []string{s.Addr()}, Prefix: "test"} }

// refused opens what must not open, and checks what the error says.
func refused(t *testing.T, o Options, want string) {
	t.Helper()
	start := time.Now()
	a, err := OpenAdapter(t.Context(), o, nil)
	if err == nil {
		_ = a.Close()
		t.Errorf("%s opens, and should say %q", o.place(), want)
		return
	}
	if text := err.Error(); !strings.HasPrefix(text, "nats "+o.place()+": ") || !strings.Contains(text, want) || strings.Contains(text, "hush") {
		t.Errorf("the error is %q; it should name %q and say %q, without the password", text, o.place(), want)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the error came after %v", took)
	}
}

// opens wants options to work.
func opens(t *testing.T, o Options) {
	t.Helper()
	if err := openAdapter(t, o).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPassword(t *testing.T) {
	s := natstest.Start(t, "authorization { user: sockudo, password: hush }")
	o := at(s)
	refused(t, o, "Authorization Violation")
	o.Username, o.Password = "sockudo", "hushhush"
	refused(t, o, "Authorization Violation")
	o.Password = "hush"
	opens(t, o)
	o = at(s)
	o.Servers = []string{"nats://sockudo:hush@" + s.Addr()}
	opens(t, o)
	o.Servers = []string{"nats://sockudo:hushhush@" + s.Addr()}
	refused(t, o, "Authorization Violation")
}

func TestToken(t *testing.T) {
	o := at(natstest.Start(t, "authorization { token: hush }"))
	refused(t, o, "Authorization Violation")
	o.Token = "hushhush"
	refused(t, o, "Authorization Violation")
	o.Token = "hush"
	opens(t, o)
}

// TestKeys logs in with keys that were made for this test.
func TestKeys(t *testing.T) {
	settings := func(name string) string {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	t.Run("credentials", func(t *testing.T) {
		o := at(natstest.Start(t, settings("operator.conf")))
		refused(t, o, "Authorization Violation")
		o.CredentialsFile = missing
		refused(t, o, "no such file")
		o.CredentialsFile = filepath.Join("testdata", "user.creds")
		opens(t, o)
	})
	t.Run("nkey", func(t *testing.T) {
		o := at(natstest.Start(t, settings("nkey.conf")))
		refused(t, o, "Authorization Violation")
		o.NkeyFile = missing
		refused(t, o, "nkey_file: ")
		o.NkeyFile = filepath.Join("testdata", "user.nk")
		opens(t, o)
	})
}

// tlsOf reads the files of an authority, and of a client that it vouches for.
func tlsOf(t *testing.T, c certtest.Files) *words.TLSOptions {
	t.Helper()
	o, err := (&words.TLS{CA: c.CA, Cert: c.Cert, Key: c.Key}).Options("tls")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func tlsSettings(c certtest.Files, verify bool) string {
	return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: %v }", c.Cert, c.Key, c.CA, verify)
}

func TestTLS(t *testing.T) {
	ours, others := certtest.New(t), certtest.New(t)
	s := natstest.Start(t, tlsSettings(ours, true))
	o := at(s)
	o.TLS = tlsOf(t, ours)
	opens(t, o)

	wrong, system, anonymous, plain := o, o, o, o
	wrong.TLS = &words.TLSOptions{CA: tlsOf(t, others).CA, Cert: o.TLS.Cert, Key: o.TLS.Key}
	refused(t, wrong, "certificate signed by unknown authority")
	system.TLS = &words.TLSOptions{Cert: o.TLS.Cert, Key: o.TLS.Key}
	refused(t, system, "certificate signed by unknown authority")
	anonymous.TLS = &words.TLSOptions{CA: o.TLS.CA}
	refused(t, anonymous, "tls")
	plain.TLS = nil // the server demands TLS
	refused(t, plain, "certificate signed by unknown authority")
	plain.Servers = []string{"tls://" + s.Addr()}
	refused(t, plain, "certificate signed by unknown authority")

	core, logs := observer.New(zap.WarnLevel)
	trusting := o
	trusting.TLS = &words.TLSOptions{Cert: o.TLS.Cert, Key: o.TLS.Key, SkipVerify: true}
	a, err := OpenAdapter(t.Context(), trusting, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	if logs.FilterMessageSnippet("accept any certificate").Len() != 1 {
		t.Errorf("the log says %v", logs.All())
	}

	// Who wants TLS does not go on without.
	unsafe := at(natstest.Start(t, ""))
	unsafe.TLS = o.TLS
	refused(t, unsafe, "secure connection not available")
}

func TestRights(t *testing.T) {
	s := natstest.Start(t, `authorization {
		users: [
			{user: all, password: hush, permissions: {publish: "test.>", subscribe: "test.>"}}
			{user: deaf, password: hush, permissions: {publish: "test.>", subscribe: "other.>"}}
			{user: dumb, password: hush, permissions: {publish: "other.>", subscribe: "test.>"}}
		]
	}`)
	o := at(s)
	o.Username, o.Password = "all", "hush"
	opens(t, o)
	o.Username = "deaf"
	refused(t, o, `Permissions Violation for Subscription to "test.`)
	o.Username = "dumb"
	refused(t, o, `Permissions Violation for Publish to "test.channel.%.check"`)
}

func TestUnreachable(t *testing.T) {
	s := natstest.Start(t, "")
	s.Kill()
	o := at(s)
	refused(t, o, "dial tcp "+s.Addr()+": connect: connection refused")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	// Both are named: the one that refuses, and the one that never answers.
	o.Servers = append(o.Servers, listener.Addr().String())
	o.ConnectionTimeout = 100 * time.Millisecond
	refused(t, o, "connection refused")
	refused(t, o, listener.Addr().String()+": ")
	refused(t, o, "timeout")

	o.ConnectionTimeout = time.Hour
	o.Servers = o.Servers[1:]
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := OpenAdapter(ctx, o, nil); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("a load that is over gets %v after %v", err, time.Since(start))
	}
}

// TestOneOfTheServers connects although the first one is away.
func TestOneOfTheServers(t *testing.T) {
	gone, s := natstest.Start(t, ""), natstest.Start(t, "")
	gone.Kill()
	for range 5 {
		opens(t, Options{Servers: []string{gone.Addr(), s.Addr()}, Prefix: "test"})
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"username and password are written together":               {Username: "u"},
		"username or password must not be written beside token":    {Username: "u", Password: "hush", Token: "hush"},
		"token must not be written beside credentials_file":        {Token: "hush", CredentialsFile: "f"},
		"credentials_file must not be written beside nkey_file":    {NkeyFile: "f", CredentialsFile: "f"},
		"servers: h:4222 has a user in it, and token is written":   {Servers: []string{"nats://u:hush@h"}, Token: "hush"},
		"servers: an address cannot be read":                       {Servers: []string{"nats://u:hush@h:port"}},
		"servers: ws is not spoken here":                           {Servers: []string{"ws://h"}},
		"servers: an address cannot be read; it is like HOST:PORT": {Servers: []string{"nats://h/hush"}},
		"prefix must not have an empty part":                       {Prefix: "a..b"},
		"prefix has the character ' '":                             {Prefix: "a b"},
		"prefix has the character '*'":                             {Prefix: "a.*"},
		"prefix has the character 'ü'":                             {Prefix: "ü"},
		`prefix must not have a part "channel"`:                    {Prefix: "a.channel.b"},
		"prefix must not begin with $":                             {Prefix: "$SYS"},
		"prefix has 201 bytes":                                     {Prefix: strings.Repeat("x", 201)},
		"tls: ca holds no certificate":                             {TLS: &words.TLSOptions{CA: []byte("hush")}},
	} {
		_, err := OpenAdapter(t.Context(), o, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q, want %q", err, want)
		}
	}
}
