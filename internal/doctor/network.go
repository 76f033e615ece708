package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// port is that of the address.
func (w *walker) port() string {
	if port := w.base.Port(); port != "" {
		return port
	}
	if w.base.Scheme == "https" {
		return "443"
	}
	return "80"
}

func (w *walker) dns(ctx context.Context) Step {
	host := w.base.Hostname()
	if net.ParseIP(host) != nil {
		return ok(host + " is an address")
	}
	list, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		missing, isDNS := errors.AsType[*net.DNSError](err)
		if isDNS && missing.IsNotFound {
			return fail(err.Error(), "there is no such name", "Add an A or AAAA record for "+host+", or correct the address.")
		}
		return fail(err.Error(), "the name servers gave no answer", "Check the resolver of this machine (/etc/resolv.conf) and the name servers of the domain.")
	}
	return ok(strings.Join(list, ", "))
}

func (w *walker) tcp(ctx context.Context) Step {
	host := w.base.Hostname()
	list, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return fail(err.Error(), "the name is gone", "Check the name servers of the domain.")
	}
	var failed []string
	var last error
	for _, address := range list {
		to := net.JoinHostPort(address, w.port())
		conn, err := (&net.Dialer{Timeout: w.Timeout / time.Duration(len(list)+1)}).DialContext(ctx, "tcp", to)
		if err != nil {
			failed, last = append(failed, to), err
			continue
		}
		_ = conn.Close()
	}
	switch {
	case len(failed) == 0:
		return ok(fmt.Sprintf("port %s accepts connections", w.port()))
	case len(failed) < len(list):
		return warn("no connection to "+strings.Join(failed, ", ")+": "+last.Error(), "one of the addresses of the name does not answer, and clients that try it first wait or fail",
			"Take the address out of the DNS, or let the server listen there.")
	case errors.Is(last, syscall.ECONNREFUSED):
		return fail(last.Error(), "nothing listens on port "+w.port(), "Start Caddy, let its site listen on this port, and open the port on every load balancer and container before it.")
	default:
		return fail(last.Error(), "nobody answers on port "+w.port()+": a firewall drops what comes in, or the address is another machine's", "Open port "+w.port()+" in the firewall and in the security group, and check the address.")
	}
}

// tlsConfig is that of every connection. Sockets want HTTP/1.1.
func (w *walker) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: w.base.Hostname(), RootCAs: w.Roots, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
}

func (w *walker) tls(ctx context.Context) Step {
	if w.base.Scheme != "https" {
		return skip("the address is http: browsers on https pages cannot use it")
	}
	dialer := tls.Dialer{Config: w.tlsConfig()}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(w.base.Hostname(), w.port()))
	if err != nil {
		return w.badTLS(err)
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	if state.NegotiatedProtocol == "" && w.speaksOnlyHTTP2(ctx) {
		return w.onlyHTTP2("the server chooses no protocol")
	}
	leaf := state.PeerCertificates[0]
	left, life := time.Until(leaf.NotAfter), leaf.NotAfter.Sub(leaf.NotBefore)
	detail := fmt.Sprintf("certificate of %s, good until %s", leaf.Issuer.CommonName, leaf.NotAfter.UTC().Format(time.RFC3339))
	if left < life/6 {
		return warn(detail, "the certificate should have been renewed by now", "Look for errors about certificates in the log of Caddy, and check that its challenges reach it.")
	}
	return ok(detail)
}

// badTLS says what is wrong with a handshake.
func (w *walker) badTLS(err error) Step {
	detail, host := err.Error(), w.base.Hostname()
	if invalid, is := errors.AsType[x509.CertificateInvalidError](err); is && invalid.Reason == x509.Expired {
		return fail(detail, "the certificate has expired, or is not good yet", "Renew it: look for errors about certificates in the log of Caddy. If it was renewed, reload whatever serves it; if it is good, set the clock of this machine.")
	}
	if _, is := errors.AsType[x509.HostnameError](err); is {
		return fail(detail, "the certificate is for another name", "Write "+host+" as the address of the site in the configuration, or use the name that the certificate is for.")
	}
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		return fail(detail, "the certificate is signed by nobody whom this machine trusts: it is Caddy's own or another private one, or the chain is not complete", "Use a public certificate, serve the whole chain, or name the authority with --ca.")
	}
	if _, is := errors.AsType[tls.RecordHeaderError](err); is {
		return fail(detail, "the port does not speak TLS", "Use http in the address, or let the site listen with https on this port.")
	}
	switch {
	case strings.Contains(detail, "no application protocol"):
		return w.onlyHTTP2(detail)
	case strings.Contains(detail, "remote error: tls:"):
		return fail(detail, "the server has no certificate for "+host, "Write "+host+" as the address of the site, and look for errors about certificates in the log of Caddy.")
	default:
		return fail(detail, "the connection ends within the TLS handshake", "Check what ends TLS at this port: a proxy for another protocol, or one that admits other clients only.")
	}
}

// speaksOnlyHTTP2 reports whether a server that does not choose HTTP/1.1 chooses HTTP/2.
func (w *walker) speaksOnlyHTTP2(ctx context.Context) bool {
	config := w.tlsConfig()
	config.NextProtos = []string{"h2", "http/1.1"}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", net.JoinHostPort(w.base.Hostname(), w.port()))
	if err != nil {
		return false
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().NegotiatedProtocol == "h2"
}

func (w *walker) onlyHTTP2(detail string) Step {
	return fail(detail, "the server speaks HTTP/2 only, and clients of WebSockets need HTTP/1.1", "Allow http/1.1 in the ALPN of whatever ends TLS; in Caddy, add h1 to protocols of the server.")
}
