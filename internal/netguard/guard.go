// Package netguard tells addresses of the public network from all others, for servers
// that connect to where others tell them to.
package netguard

import (
	"errors"
	"net/netip"
	"syscall"
)

// ErrPrivate is why a connection is not made.
var ErrPrivate = errors.New("the address is a loopback, private or similar one")

// notPublic are the networks beside those that netip knows by name.
var notPublic = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4",
	"64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
)

// embedding are the networks of IPv6 that carry an address of IPv4, and in which
// byte that begins.
var embedding = []struct {
	network netip.Prefix
	at      int
}{
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// IsPublic reports whether an address is one of the public network, as opposed to
// loopback, private, link-local, shared, multicast, unspecified and reserved ones,
// in any way to write them.
func IsPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, network := range notPublic {
		if network.Contains(a) {
			return false
		}
	}
	if a.Is4() {
		return true
	}
	bytes := a.As16()
	for _, e := range embedding {
		if e.network.Contains(a) {
			return IsPublic(netip.AddrFrom4([4]byte(bytes[e.at : e.at+4])))
		}
	}
	return true
}

// RefusePrivate is the Control of a dialer: the address is the one that the name
// has been resolved to, so no answer of a name server gets around it.
func RefusePrivate(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !IsPublic(to.Addr()) {
		return ErrPrivate
	}
	return nil
}
