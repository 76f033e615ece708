package webhooks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/netguard"
)

// privateText is why a receiver is not connected to. It names the setting.
const privateText = "the receiver is at a loopback, private or similar address, which allow_private in webhooks would admit"

// broken is the result of a request without an answer. Its reason is in our own
// words, because errors of the network show names, addresses and URLs.
func broken(ctx context.Context, err error, timeout time.Duration) result {
	r := result{verdict: failed, class: "transport"}
	var (
		lookup  *net.DNSError
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		other   x509.HostnameError
		invalid x509.CertificateInvalidError
		alert   tls.AlertError
		record  tls.RecordHeaderError
	)
	switch {
	case ctx.Err() != nil:
		return result{verdict: aborted, reason: "it was cut off, because the worker has been stopped", class: "aborted"}
	case errors.Is(err, netguard.ErrPrivate):
		return result{verdict: refused, reason: privateText, class: "address"}
	case isTimeout(err):
		r.reason, r.class = fmt.Sprintf("there was no answer within %v", timeout), "timeout"
	case errors.As(err, &lookup):
		r.reason, r.class = "its name cannot be resolved", "dns"
	case errors.As(err, &unknown):
		r.reason, r.class = "its certificate is of an unknown authority", "certificate"
	case errors.As(err, &other):
		r.reason, r.class = "its certificate is for another name", "certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		r.reason, r.class = "its certificate has expired, or is not valid yet", "certificate"
	case errors.As(err, &verify):
		r.reason, r.class = "its certificate cannot be verified", "certificate"
	case errors.As(err, &alert), errors.As(err, &record):
		r.reason, r.class = "it does not agree on TLS", "certificate"
	case errors.Is(err, syscall.ECONNREFUSED):
		r.reason = "it refuses connections"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.reason = "it has closed the connection without an answer"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		r.reason = "it cannot be reached"
	default:
		r.reason = "the connection failed, or its answer was no HTTP"
	}
	return r
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout()
}
