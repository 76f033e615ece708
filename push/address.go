package push

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// ReadAddress reads the https URL of a service in a configuration, and takes off
// slashes at its end. Unless path is set it is a scheme and a host alone. An empty text
// stays empty. Errors name the field.
func ReadAddress(field, text string, path bool) (string, error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.ContainsAny(text, "?#") {
		return "", Fault(field, "it must be an https URL without a user, query or fragment")
	}
	short := strings.TrimRight(text, "/")
	if u.Path = strings.TrimRight(u.Path, "/"); u.Path != "" && !path {
		return "", Fault(field, "it must be a scheme and a host, without a path")
	}
	return short, nil
}

// ReadRoots are the authorities of the system and those of a file in PEM, or nil for the
// system's alone if there is no file. Errors name the field.
func ReadRoots(field, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	return addRoots(roots, field, file)
}

// ReadOnlyRoots are the authorities of a file in PEM and no others, or nil for those of the
// system if there is no file. Errors name the field.
func ReadOnlyRoots(field, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	return addRoots(x509.NewCertPool(), field, file)
}

func addRoots(to *x509.CertPool, field, file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator's file
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if !to.AppendCertsFromPEM(text) {
		return nil, Fault(field, "holds no certificate in PEM")
	}
	return to, nil
}
