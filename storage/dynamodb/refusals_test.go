package dynamodb

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// refused opens a table that must not open, and checks what the error says.
func refused(t *testing.T, o Options, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	start := time.Now()
	m, err := OpenAppManager(ctx, o, nil)
	if err == nil {
		_ = m.Close()
		t.Fatal("the table opens")
	}
	said := err.Error()
	if !strings.Contains(said, o.withDefaults().place()+": ") || !strings.Contains(said, want) || strings.Contains(said, "hush") || strings.Contains(said, "\n") {
		t.Errorf("the error is %q; it should name %q and say %q, without a secret, in one line", said, o.withDefaults().place(), want)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestUnreachable(t *testing.T) {
	o := Options{Table: "apps", Endpoint: "http://127.0.0.1:1", AccessKeyID: "hush1", SecretAccessKey: "hush2", SessionToken: "hush3"}
	refused(t, o, "DescribeTable: Post \"http://127.0.0.1:1/\": dial tcp 127.0.0.1:1: connect: connection refused")
	o.Endpoint = "http://no-such-host.invalid"
	refused(t, o, "no-such-host.invalid")

	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	o.Endpoint = "http://" + silent.Addr().String()
	refused(t, o, "DescribeTable: no answer in time")
	o.Endpoint = "https://" + strings.TrimPrefix(endpoint(), "http://") // which speaks no TLS
	refused(t, o, "server gave HTTP response to HTTPS client")
}

func TestRefusedCredentials(t *testing.T) {
	o := newTable(t)
	o.AccessKeyID = "not-one" // all that DynamoDB Local checks is the form
	refused(t, o, "UnrecognizedClientException")

	// The service shows the request that it got, which holds a secret.
	g := newGate(t)
	o.Endpoint, o.AccessKeyID, o.SessionToken = g.url, "AKID", "hush"
	g.let(func(_ string, w http.ResponseWriter, r *http.Request, _ func() *answer) bool {
		refuse(w, "InvalidSignatureException", `The request signature we calculated does not match.\n\nThe Canonical String should have been\n'POST\n/\n\nx-amz-security-token:`+r.Header.Get("X-Amz-Security-Token")+`'`)
		return true
	})
	refused(t, o, "InvalidSignatureException: The request signature we calculated does not match.")
}

func TestMissingCredentials(t *testing.T) {
	alone(t)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	refused(t, Options{Table: "apps", Endpoint: endpoint()}, "DescribeTable: no credentials: ")
	refused(t, Options{Table: "apps", Endpoint: endpoint(), Profile: "nobody"}, "nobody")
}

// alone takes the environment's credentials away.
func alone(t *testing.T) (file string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	file = filepath.Join(t.TempDir(), "credentials")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", file+".none")
	return file
}

// Which credentials and which region a request is signed with.
func TestCredentials(t *testing.T) {
	file := alone(t)
	if err := os.WriteFile(file, []byte("[ops]\naws_access_key_id = AKPROFILE\naws_secret_access_key = hush\n[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key = hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g, o := newGate(t), newTable(t)
	o.Endpoint = g.url
	var mu sync.Mutex
	var signed, token string
	g.let(func(_ string, _ http.ResponseWriter, r *http.Request, _ func() *answer) bool {
		mu.Lock()
		defer mu.Unlock()
		signed, token = r.Header.Get("Authorization"), r.Header.Get("X-Amz-Security-Token")
		return false
	})
	for _, c := range []struct {
		name                        string
		key, token, profile, region string
		env                         bool
		wantKey, wantRegion         string
	}{
		{name: "static", key: "AKSTATIC", region: "eu-central-1", wantKey: "AKSTATIC", wantRegion: "eu-central-1"},
		{name: "for a while", key: "AKSTATIC", token: "tok", wantKey: "AKSTATIC", wantRegion: "us-east-1"},
		{name: "a profile", profile: "ops", wantKey: "AKPROFILE", wantRegion: "us-east-1"},
		{name: "the chain's file", wantKey: "AKDEFAULT", wantRegion: "us-east-1"},
		{name: "the chain's environment", env: true, wantKey: "AKENV", wantRegion: "us-east-1"},
		{name: "a profile before the environment", env: true, profile: "ops", wantKey: "AKPROFILE", wantRegion: "us-east-1"},
		{name: "static before the environment", env: true, key: "AKSTATIC", wantKey: "AKSTATIC", wantRegion: "us-east-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.env {
				t.Setenv("AWS_ACCESS_KEY_ID", "AKENV")
				t.Setenv("AWS_SECRET_ACCESS_KEY", "hush")
			}
			t.Setenv("AWS_REGION", "ap-south-1") // is not where the table is
			mine := o
			mine.AccessKeyID, mine.SecretAccessKey, mine.SessionToken, mine.Profile, mine.Region = c.key, "", c.token, c.profile, c.region
			if c.key != "" {
				mine.SecretAccessKey = "hush"
			}
			m := open(t, mine)
			if err := m.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !strings.Contains(signed, "Credential="+c.wantKey+"/") || !strings.Contains(signed, "/"+c.wantRegion+"/dynamodb/") || token != c.token {
				t.Errorf("signed with %s and token %q; want %s in %s", signed, token, c.wantKey, c.wantRegion)
			}
		})
	}
}

// AWS refuses what a policy does not grant; DynamoDB Local knows no policies, so the
// gate refuses in its place, in AWS's words.
func TestMissingRights(t *testing.T) {
	g, o := newGate(t), newTable(t)
	m := open(t, o)
	put(t, m, app("a", "k"))
	write(t, m, rowOf("b", "kb", `{}`))
	o.Endpoint = g.url
	grant := func(operations ...string) {
		g.let(func(operation string, w http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
			if slices.Contains(operations, operation) {
				return false
			}
			refuse(w, "AccessDeniedException", "User: arn:aws:iam::1:user/u is not authorized to perform: dynamodb:"+operation)
			return true
		})
	}
	grant()
	refused(t, o, "DescribeTable: AccessDeniedException: User: arn:aws:iam::1:user/u is not authorized to perform: dynamodb:DescribeTable")

	// Whoever may only read can serve apps.
	grant("DescribeTable", "GetItem", "Query", "Scan")
	reader := open(t, o)
	knows(t, reader, "k", "a")
	knows(t, reader, "kb", "b")
	knows(t, reader, "unknown", "")
	if apps, err := reader.Apps(t.Context()); err != nil || len(apps) != 2 {
		t.Errorf("Apps = %v, %v", apps, err)
	}
	if err := reader.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"PutApp":    reader.PutApp(t.Context(), app("a", "k2"), storage.AnyVersion),
		"DeleteApp": reader.DeleteApp(t.Context(), "a", storage.AnyVersion),
	} {
		if err == nil || !strings.Contains(err.Error(), o.place()+": TransactWriteItems: AccessDeniedException") {
			t.Errorf("%s without the right to: %v", what, err)
		}
	}
	knows(t, m, "k", "a")

	other := newTable(t)
	other.Endpoint = g.url
	refused(t, other, "making the table: CreateTable: AccessDeniedException")
}

// What DynamoDB does not take is an error that says so.
func TestTooLargeApp(t *testing.T) {
	m := open(t, newTable(t))
	big := app("a", "k")
	big.AllowedOrigins = []string{strings.Repeat("x", 500<<10)}
	if err := m.PutApp(t.Context(), big, storage.AnyVersion); err == nil || !strings.Contains(err.Error(), "size") {
		t.Errorf("an app of 500 KiB: %v", err)
	}
	knows(t, m, "k", "")
	guarded(t, m, "k", "")
}

func TestBadOptions(t *testing.T) {
	for want, o := range map[string]Options{
		`region "eu central"`: {Region: "eu central"},
		`region "a.b/"`:       {Region: "a.b/"},
		"go together":         {AccessKeyID: "a"},
		"one of them":         {SecretAccessKey: "hush"},
		"aws_session_token":   {SessionToken: "hush"},
		"aws_profile_name":    {Profile: "p", AccessKeyID: "a", SecretAccessKey: "hush"},
		"endpoint_url":        {Endpoint: "127.0.0.1:28002"},
		"without user":        {Endpoint: "http://u:hush@127.0.0.1:28002"},
	} {
		if _, err := OpenAppManager(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", want, err)
		}
	}
}
