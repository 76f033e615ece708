package surrealdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sockudo/caddy-sockudo/internal/words"
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
	if !strings.Contains(said, o.place()+": ") || !strings.Contains(said, want) || strings.Contains(said, "hush") || strings.Contains(said, "\n") {
		t.Errorf("the error is %q; it should name %q and say %q, without a secret, in one line", said, o.place(), want)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestUnreachable(t *testing.T) {
	o := Options{URL: "ws://127.0.0.1:1", Password: "hush"}
	refused(t, o, "dial tcp 127.0.0.1:1: connect: connection refused")
	o.URL = "wss://" + hostOf(t, standing(t)) // which speaks no TLS
	refused(t, o, "tls: first record does not look like a TLS handshake")
}

// A server that takes connections and says nothing.
func TestSilentAddress(t *testing.T) {
	t.Parallel()
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			refused(t, Options{URL: scheme + "://" + silent.Addr().String(), Password: "hush"}, "no answer within 8s")
		})
	}
}

func TestOtherServers(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/plain/rpc", func(w http.ResponseWriter, r *http.Request) { // a WebSocket of somebody else's
		if ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil); err == nil {
			_ = ws.Close()
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	o := Options{URL: server.URL, Password: "hush"}
	refused(t, o, "no SurrealDB at /rpc: the answer to the handshake is 404 Not Found")
	o.URL += "/plain"
	refused(t, o, "the server does not speak CBOR")
}

func TestRefusedCredentials(t *testing.T) {
	t.Parallel()
	o := standing(t)
	o.Password += "x"
	refused(t, o, `signing in as root user "root": There was a problem with authentication`)
	o = standing(t)
	o.Username = "nobody"
	refused(t, o, `signing in as root user "nobody": There was a problem with authentication`)
	o = standing(t)
	open(t, o) // which makes the database
	editor := withUser(t, o, levelDatabase, "EDITOR")
	editor.AuthLevel = levelRoot
	refused(t, editor, `signing in as root user "`+editor.Username+`": There was a problem`)
	editor.AuthLevel = levelNamespace
	refused(t, editor, `signing in as user "`+editor.Username+`" of the namespace: `)

	// One that shows what it was given.
	fake := newFake(t, func(method string, params []any) (any, error) {
		return nil, fmt.Errorf("no user %v", params)
	})
	o = Options{URL: fake.url, Username: "u", Password: "hush"}
	refused(t, o, `signing in as root user "u": no user [map[pass:… user:u]]`)
}

func TestAuthLevels(t *testing.T) {
	t.Parallel()
	root := standing(t)
	open(t, root)
	for _, level := range []string{levelRoot, levelNamespace, levelDatabase} {
		o := withUser(t, root, level, "EDITOR")
		o.Table = "of_" + level
		m := open(t, o)
		put(t, m, app(level, level))
		knows(t, m, level, level)
		if err := m.DeleteApp(t.Context(), level, storage.AnyVersion); err != nil {
			t.Error(err)
		}
	}
}

// A user who may only read can serve apps. Changes are errors, though the server
// does not say that it has not made them.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	root := standing(t)
	m := open(t, root)
	put(t, m, app("a", "k"))
	viewer := withUser(t, root, levelDatabase, "VIEWER")
	reader := open(t, viewer)
	knows(t, reader, "k", "a")
	knows(t, reader, "unknown", "")
	if apps, err := reader.Apps(t.Context()); err != nil || len(apps) != 1 {
		t.Errorf("Apps = %v, %v", apps, err)
	}
	if err := reader.Check(t.Context()); err != nil {
		t.Error(err)
	}
	version := versionOf(t, app("a", "k"))
	for what, err := range map[string]error{
		"a new app":          reader.PutApp(t.Context(), app("b", "kb"), storage.NoVersion),
		"any app":            reader.PutApp(t.Context(), app("b", "kb"), storage.AnyVersion),
		"an app that is":     reader.PutApp(t.Context(), app("a", "k2"), storage.AnyVersion),
		"a changed app":      reader.PutApp(t.Context(), app("a", "k2"), version),
		"deleting":           reader.DeleteApp(t.Context(), "a", storage.AnyVersion),
		"deleting a version": reader.DeleteApp(t.Context(), "a", version),
	} {
		if err == nil || errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), reader.place+": the server takes the change and does not make it") {
			t.Errorf("%s without the right to: %v", what, err)
		}
	}
	if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 1 || apps[0].Key != "k" {
		t.Errorf("Apps = %v, %v", apps, err)
	}
	viewer.Table = "none_yet"
	refused(t, viewer, "making the table: IAM error: Not enough permissions to perform this action")
}

// The server shows the values that it does not take, in which secrets are.
func TestErrorsShowNoSecret(t *testing.T) {
	o := standing(t)
	m := open(t, o)
	run(t, o, "DEFINE FIELD payload ON TABLE applications TYPE int", nil, nil)
	secret := app("a", "k")
	secret.Secret = "hush"
	for _, version := range []string{storage.NoVersion, storage.AnyVersion} {
		err := m.PutApp(t.Context(), secret, version)
		if err == nil || !strings.Contains(err.Error(), m.place+": Couldn't coerce value for field `payload`") || strings.Contains(err.Error(), "hush") {
			t.Errorf("a record that the table does not take: %v", err)
		}
	}
	run(t, o, "DEFINE FIELD OVERWRITE payload ON TABLE applications TYPE string ASSERT $value = ''", nil, nil)
	if err := m.PutApp(t.Context(), secret, storage.NoVersion); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("a payload that the table refuses: %v", err)
	}
}

// A session that has expired is replaced by another one, whoever notices first.
func TestExpiredSession(t *testing.T) {
	t.Parallel()
	root := standing(t)
	put(t, open(t, root), app("a", "k"))
	o := withUser(t, root, levelRoot, "OWNER")
	run(t, root, "DEFINE USER OVERWRITE "+o.Username+" ON ROOT PASSWORD '"+o.Password+"' ROLES OWNER DURATION FOR TOKEN 1s, FOR SESSION 1s", nil, nil)
	m := open(t, o)
	first := m.link.now
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() {
			for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				if _, err := m.AppByKey(t.Context(), "k"); err != nil {
					t.Errorf("AppByKey: %v", err)
				}
			}
			if err := m.PutApp(t.Context(), app(fmt.Sprint(n), fmt.Sprint(n)), storage.NoVersion); err != nil {
				t.Errorf("PutApp: %v", err)
			}
		})
	}
	group.Wait()
	if m.link.now == first {
		t.Error("the session did not expire")
	}
	until(t, "end of the first connection", func() bool {
		select {
		case <-first.gone:
			return true
		default:
			return false
		}
	})
	time.Sleep(1100 * time.Millisecond) // with nobody calling
	if err := m.PutApp(t.Context(), app("late", "late"), storage.NoVersion); err != nil {
		t.Errorf("a change after the session has expired: %v", err)
	}
}

// A password that is changed later counts when the connection is made anew, and not
// before.
func TestChangedPassword(t *testing.T) {
	t.Parallel()
	root := standing(t)
	open(t, root)
	o := withUser(t, root, levelDatabase, "EDITOR")
	m := open(t, o)
	run(t, root, "DEFINE USER OVERWRITE "+o.Username+" ON DATABASE PASSWORD 'other' ROLES EDITOR", nil, nil)
	m.link.now.end(errors.New("for the test"))
	for range 3 {
		if _, err := m.AppByKey(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), m.place+": signing in as user") || strings.Contains(err.Error(), "hush") {
			t.Errorf("a lookup with an old password: %v", err)
		}
	}
	run(t, root, "DEFINE USER OVERWRITE "+o.Username+" ON DATABASE PASSWORD '"+o.Password+"' ROLES EDITOR", nil, nil)
	until(t, "sign-in with the old password", func() bool {
		_, err := m.AppByKey(t.Context(), "k")
		return errors.Is(err, storage.ErrNotFound)
	})
}

func TestBadOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"url is not one such as":                        {URL: "127.0.0.1:8000"},
		"without user, password":                        {URL: "ws://u:hush@127.0.0.1:8000"},
		"password and query":                            {URL: "ws://127.0.0.1:8000?x=hush"},
		"url is not":                                    {URL: "ws://:8000"},
		"https://, not mem://":                          {URL: "mem://x"},
		`auth_level "record" is not`:                    {AuthLevel: "record"},
		`namespace "a\x00"`:                             {Namespace: "a\x00"},
		"tls is written, but url does not begin with w": {URL: "http://127.0.0.1", TLS: new(words.TLSOptions)},
		"tls: cert and key":                             {URL: "wss://127.0.0.1", TLS: &words.TLSOptions{Cert: []byte("x")}},
	} {
		if _, err := OpenAppManager(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestPlaces(t *testing.T) {
	for address, want := range map[string][2]string{
		"":                            {"surrealdb 127.0.0.1:8000/sockudo/sockudo", "ws://127.0.0.1:8000/rpc"},
		"ws://db":                     {"surrealdb db:80/sockudo/sockudo", "ws://db:80/rpc"},
		"https://db.example/":         {"surrealdb db.example:443/sockudo/sockudo", "wss://db.example:443/rpc"},
		"ws://[::1]:8000/rpc":         {"surrealdb [::1]:8000/sockudo/sockudo", "ws://[::1]:8000/rpc"},
		"wss://db.example/surreal/db": {"surrealdb db.example:443/sockudo/sockudo", "wss://db.example:443/surreal/db/rpc"},
	} {
		o := Options{URL: address}
		u, err := o.endpoint()
		if err != nil || o.place() != want[0] || u.String() != want[1] {
			t.Errorf("%s is %s and %v, %v; want %v", address, o.place(), u, err, want)
		}
	}
}
