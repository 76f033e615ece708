//go:build unix

package redistest

// TLSArgs make a server speak TLS on a port of its own, and demand a certificate of
// its clients. They name files in PEM.
func TLSArgs(ca, cert, key string) []string {
	return []string{"--tls-port", "FREE", "--tls-ca-cert-file", ca, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "yes"}
}
