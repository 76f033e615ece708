package surrealdb

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/internal/words"
)

// tlsProxy speaks TLS before a server that does not.
func tlsProxy(t *testing.T, config *tls.Config, target string) (addr string) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	var loops sync.WaitGroup
	t.Cleanup(loops.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	loops.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(context.Background(), "tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				loops.Go(func() {
					_, _ = io.Copy(way[1], way[0])
					_, _ = client.Close(), server.Close()
				})
			}
		}
	})
	return listener.Addr().String()
}

func pemOf(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ours, others := certtest.New(t), certtest.New(t)
	certificate, err := tls.LoadX509KeyPair(ours.Cert, ours.Key)
	if err != nil {
		t.Fatal(err)
	}
	authority := &words.TLSOptions{CA: pemOf(t, ours.CA)}
	clients, err := authority.Config()
	if err != nil {
		t.Fatal(err)
	}
	o := standing(t)
	target := hostOf(t, o)
	o.URL = "wss://" + tlsProxy(t, &tls.Config{Certificates: []tls.Certificate{certificate}}, target)
	refused(t, o, "certificate signed by unknown authority")
	o.TLS = &words.TLSOptions{CA: pemOf(t, others.CA)}
	refused(t, o, "certificate signed by unknown authority")
	o.TLS = authority
	put(t, open(t, o), app("a", "k"))

	core, logs := observer.New(zap.WarnLevel)
	o.TLS = &words.TLSOptions{SkipVerify: true}
	knows(t, openLogged(t, o, zap.New(core)), "k", "a")
	if logs.FilterMessageSnippet("insecure_skip_verify").Len() != 1 {
		t.Error("the log does not warn of a server that is not verified")
	}

	o.URL = "wss://" + tlsProxy(t, &tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.RootCAs,
	}, target)
	o.TLS = authority
	refused(t, o, "certificate required")
	o.TLS = &words.TLSOptions{CA: authority.CA, Cert: pemOf(t, ours.Cert), Key: pemOf(t, ours.Key)}
	knows(t, open(t, o), "k", "a")
}
