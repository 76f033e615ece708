package sockudo

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

func contextWithEnd(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

// deafPort is an address that answers no attempt to connect: the connections that the kernel
// keeps for a program that never accepts any are all there.
func deafPort(t *testing.T) (address string) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	raw, err := l.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = syscall.Listen(int(fd), 0) })
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 16 {
		conn, err := net.DialTimeout("tcp", l.Addr().String(), 200*time.Millisecond)
		if err != nil {
			return l.Addr().String()
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("the port does not become deaf")
	return ""
}

// doctorProxy is a proxy with a fault, and what it is to be found out as.
type doctorProxy struct {
	name, step, cause string
	args              []string
	front             func(t *testing.T, to string) (address string)
}

// overHTTP is a proxy of Go, with a change.
func overHTTP(change func(*httputil.ReverseProxy), wrap func(http.Handler) http.Handler) func(*testing.T, string) string {
	return func(t *testing.T, to string) string {
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to})
		// Caddy's site is for one host.
		director := proxy.Director               //nolint:staticcheck // as old proxies do it
		proxy.Director = func(r *http.Request) { //nolint:staticcheck // as above
			director(r)
			r.Host = to
		}
		if change != nil {
			change(proxy)
		}
		var handler http.Handler = proxy
		if wrap != nil {
			handler = wrap(proxy)
		}
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
}

// overTCP passes bytes on, the way back by a function.
func overTCP(back func(client, server net.Conn, request *http.Request)) func(*testing.T, string) string {
	return func(t *testing.T, to string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				client, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer client.Close()
					server, err := net.Dial("tcp", to)
					if err != nil {
						return
					}
					defer server.Close()
					from := bufio.NewReader(client)
					r, err := http.ReadRequest(from)
					if err != nil {
						return
					}
					r.Host = to
					body, _ := io.ReadAll(r.Body)
					r.Body = io.NopCloser(strings.NewReader(string(body)))
					upgrade := r.Header.Get("Upgrade") != ""
					if !upgrade {
						r.Close = true
					}
					if r.Write(server) != nil {
						return
					}
					if upgrade {
						go func() {
							_, _ = io.Copy(server, from)
							_ = server.Close()
						}()
					}
					back(client, server, r)
				}()
			}
		}()
		return l.Addr().String()
	}
}

// doctorProxies are the faults of proxies.
func doctorProxies() []doctorProxy {
	ofSocket := func(r *http.Request) bool { return r.Header.Get("Upgrade") != "" }
	pass := func(client, server net.Conn) { _, _ = io.Copy(client, server) }
	sockets := func(status int, body string) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if ofSocket(r) {
					http.Error(w, body, status)
					return
				}
				next.ServeHTTP(w, r)
			})
		}
	}
	return []doctorProxy{
		{"drops the headers", "upgrade", "taken the headers of the upgrade away", nil, overHTTP(func(p *httputil.ReverseProxy) {
			d := p.Director                      //nolint:staticcheck // as old proxies do it
			p.Director = func(r *http.Request) { //nolint:staticcheck // as above
				d(r)
				r.Header.Del("Upgrade")
				r.Header.Del("Connection")
			}
		}, nil)},
		{"426", "upgrade", "speaks another version of HTTP", nil, overHTTP(nil, sockets(http.StatusUpgradeRequired, "upgrade required"))},
		{"405", "upgrade", "changes the request", nil, overHTTP(nil, sockets(http.StatusMethodNotAllowed, "no"))},
		{"502", "upgrade", "does not reach the server", nil, overHTTP(nil, sockets(http.StatusBadGateway, "bad gateway"))},
		{"504", "upgrade", "does not reach the server", nil, overHTTP(nil, sockets(http.StatusGatewayTimeout, "timeout"))},
		{"429", "upgrade", "opened too many sockets", nil, overHTTP(nil, sockets(http.StatusTooManyRequests, "slow down"))},
		{"200", "upgrade", "made an ordinary request of the upgrade", nil, overHTTP(nil, sockets(http.StatusOK, "fine"))},
		{"500", "upgrade", "somebody else answers", nil, overHTTP(nil, sockets(http.StatusInternalServerError, "oops"))},
		{"kills upgrades", "upgrade", "something between ends connections", nil, overTCP(func(client, server net.Conn, r *http.Request) {
			if !ofSocket(r) {
				pass(client, server)
			}
		})},
		{"says nothing", "connect", "nothing comes", []string{"--timeout", "1s"}, overTCP(func(client, server net.Conn, r *http.Request) {
			if !ofSocket(r) {
				pass(client, server)
				return
			}
			from := bufio.NewReader(server)
			resp, err := http.ReadResponse(from, r)
			if err == nil && resp.Write(client) == nil {
				_, _ = io.Copy(io.Discard, from)
			}
		})},
		{"closes idle sockets", "idle", "closes connections on which nothing is said", []string{"--idle", "2s"}, overTCP(func(client, server net.Conn, r *http.Request) {
			for buffer := make([]byte, 64<<10); ; {
				_ = server.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
				n, err := server.Read(buffer)
				if err != nil {
					return
				}
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
		})},
		{"keeps messages back", "delivery", "keeps back what the server sends", []string{"--timeout", "10s"}, overTCP(func(client, server net.Conn, r *http.Request) {
			if !ofSocket(r) {
				pass(client, server)
				return
			}
			for buffer := make([]byte, 64<<10); ; {
				n, err := server.Read(buffer)
				if err != nil {
					return
				}
				if strings.Contains(string(buffer[:n]), "doctor-second") {
					time.Sleep(1500 * time.Millisecond) // the fault itself
				}
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
		})},
		{"another clock", "clock", "signed calls are refused", nil, overHTTP(func(p *httputil.ReverseProxy) {
			p.ModifyResponse = func(r *http.Response) error {
				r.Header.Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
				return nil
			}
		}, nil)},
		{"a clock that is a little off", "clock", "capability tokens may be off", nil, overHTTP(func(p *httputil.ReverseProxy) {
			p.ModifyResponse = func(r *http.Response) error {
				r.Header.Set("Date", time.Now().Add(2*time.Minute).UTC().Format(http.TimeFormat))
				return nil
			}
		}, nil)},
		{"changes bodies", "publish", "changes the body of requests", nil, overHTTP(func(p *httputil.ReverseProxy) {
			d := p.Director                      //nolint:staticcheck // as old proxies do it
			p.Director = func(r *http.Request) { //nolint:staticcheck // as above
				d(r)
				if r.Method == http.MethodPost {
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), 2
				}
			}
		}, nil)},
		{"changes the path", "publish", "changes the path of requests", nil, overHTTP(func(p *httputil.ReverseProxy) {
			d := p.Director                      //nolint:staticcheck // as old proxies do it
			p.Director = func(r *http.Request) { //nolint:staticcheck // as above
				d(r)
				r.URL.RawQuery += "&added=1"
			}
		}, nil)},
		{"limits bodies", "payload", "admits smaller bodies", nil, overHTTP(nil, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ContentLength > 5000 {
					http.Error(w, "too large", http.StatusRequestEntityTooLarge)
					return
				}
				next.ServeHTTP(w, r)
			})
		})},
		{"limits messages", "payload", "limits the messages of WebSockets", []string{"--timeout", "2s"}, overTCP(func(client, server net.Conn, r *http.Request) {
			for buffer := make([]byte, 64<<10); ; {
				n, err := server.Read(buffer)
				if err != nil || ofSocket(r) && n > 5000 {
					return
				}
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
		})},
		{"sockets elsewhere", "delivery", "nodes that do not know each other", []string{"--timeout", "2s"}, elsewhere},
	}
}

// elsewhere sends the calls of the HTTP API to another process, which accepts them all.
func elsewhere(t *testing.T, to string) string {
	return overHTTP(nil, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/apps/") {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, "{}")
				return
			}
			next.ServeHTTP(w, r)
		})
	})(t, to)
}
