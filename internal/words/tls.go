package words

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
)

// TLS says how to encrypt the connections to a server.
type TLS struct {
	// CA is a file with the certificates of authorities in PEM, or these themselves.
	// Default: the authorities of the system.
	CA string `json:"ca,omitempty"`

	// Cert is a file with a client certificate in PEM, or that itself. Default: none.
	Cert string `json:"cert,omitempty"`

	// Key is a file with the key of the client certificate in PEM, or that itself.
	// Default: none.
	Key string `json:"key,omitempty"`

	// InsecureSkipVerify accepts any certificate, and so anybody who poses as the
	// server. The log warns of it. Default: off.
	InsecureSkipVerify bool `json:"insecure_skip_verify,omitempty"`
}

// Words are those of the block.
func (s *TLS) Words() Set {
	return Set{
		"ca": Text(&s.CA), "cert": Text(&s.Cert), "key": Text(&s.Key),
		"insecure_skip_verify": Switch(&s.InsecureSkipVerify),
	}
}

// Options reads the files, for the block of a name. They are nil for plain text.
func (s *TLS) Options(name string) (*TLSOptions, error) {
	if s == nil {
		return nil, nil
	}
	o := &TLSOptions{SkipVerify: s.InsecureSkipVerify}
	for _, part := range []struct {
		name, text string
		to         *[]byte
	}{{"ca", s.CA, &o.CA}, {"cert", s.Cert, &o.Cert}, {"key", s.Key, &o.Key}} {
		field := name + ": " + part.name
		text, err := Expand(field, part.text)
		switch {
		case err != nil:
			return nil, err
		case text == "":
			continue
		case strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN"):
			*part.to = []byte(text)
			continue
		}
		if *part.to, err = os.ReadFile(text); err != nil { //nolint:gosec // the operator's file
			return nil, fmt.Errorf("%s: %w", field, err)
		}
	}
	if _, err := o.Config(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return o, nil
}

// TLSOptions say how to encrypt, with what the files hold.
type TLSOptions struct {
	// CA are the certificates of authorities in PEM. None means those of the system.
	CA []byte
	// Cert and Key are a client certificate in PEM. None means no certificate.
	Cert, Key []byte
	// SkipVerify accepts any certificate of the server.
	SkipVerify bool
}

// Config is nil for plain text. The name of the server is filled in where it is
// known.
func (o *TLSOptions) Config() (*tls.Config, error) {
	if o == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.SkipVerify} //nolint:gosec // the operator's wish, and logged
	if len(o.CA) > 0 {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("ca holds no certificate in PEM")
		}
	}
	if len(o.Cert)+len(o.Key) == 0 {
		return c, nil
	}
	if len(o.Cert) == 0 || len(o.Key) == 0 {
		return nil, errors.New("cert and key are written together or not at all")
	}
	certificate, err := tls.X509KeyPair(o.Cert, o.Key)
	if err != nil {
		return nil, errors.New("cert and key are no certificate in PEM and its key")
	}
	c.Certificates = []tls.Certificate{certificate}
	return c, nil
}
