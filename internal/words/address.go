package words

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Addresses expands the addresses of a field, of which a placeholder may hold
// several with commas between them. One without a port gets the usual one.
func Addresses(field string, texts []string, port string) (list []string, err error) {
	for _, text := range texts {
		if text, err = Expand(field, text); err != nil {
			return nil, err
		}
		for part := range strings.SplitSeq(text, ",") {
			if part, err = Address(field, strings.TrimSpace(part), port); err != nil {
				return nil, err
			}
			list = append(list, part)
		}
	}
	return list, nil
}

// Address is the address of a field as HOST:PORT, with the usual port if it has
// none.
func Address(field, text, port string) (string, error) {
	host, given, err := net.SplitHostPort(text)
	if err != nil { // no port, or nonsense
		host, given = strings.Trim(text, "[]"), port
	}
	n, err := strconv.Atoi(given)
	if host == "" || err != nil || n < 1 || n > 65535 || strings.ContainsAny(host, "/@ ") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", fmt.Errorf("%s: %q is not like HOST:PORT", field, text)
	}
	return net.JoinHostPort(host, given), nil
}
