package realtime

import (
	"context"
	"net/netip"
	"strconv"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// RateKey is what limits per client address count by: the address, of IPv6 the
// first 64 bits. Text that is no address counts as it is.
func RateKey(clientIP string) string {
	addr, err := netip.ParseAddr(clientIP)
	if err != nil {
		return clientIP
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, _ := addr.Prefix(64)
	return prefix.Masked().String()
}

// private reports whether an address is most likely a proxy rather than a client.
func private(clientIP string) bool {
	addr, err := netip.ParseAddr(clientIP)
	return err == nil && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast())
}

// AllowAPI counts an HTTP call of a client address. limited is false when no
// limit applies.
func (l Live) AllowAPI(ctx context.Context, clientIP string) (d storage.RateDecision, limited bool, err error) {
	return l.allow(ctx, "api_rate_limit", contextHTTP, "api:", clientIP, l.Settings.Rate.API)
}

// AllowUpgrade counts a handshake of a client address. limited is false when no
// limit applies.
func (l Live) AllowUpgrade(ctx context.Context, clientIP string) (d storage.RateDecision, limited bool, err error) {
	return l.allow(ctx, "websocket_rate_limit", contextUpgrade, "websocket_connect:", clientIP, l.Settings.Rate.Upgrades)
}

func (l Live) allow(ctx context.Context, name, from, prefix, clientIP string, rate Rate) (storage.RateDecision, bool, error) {
	s := l.Settings
	if !rate.On() || s.Rate.SkipPrivate && private(clientIP) {
		return storage.RateDecision{Allowed: true}, false, nil
	}
	d, err := s.Drivers.RateLimiter.Allow(ctx, prefix+RateKey(clientIP), 1, rate.Max, rate.Window)
	l.Hub.metrics.RateChecked(name, from, err == nil && d.Allowed)
	if err != nil {
		s.Log.Warn("rate limiter", zap.String("limiter", name), zap.Error(err))
		if s.Rate.FailOpen {
			return storage.RateDecision{Allowed: true}, false, nil
		}
		return d, true, err
	}
	return d, true, nil
}

// AllowApp counts n events or calls of an app in a window of one second. kind is
// "backend_events" or "read_requests".
func (l Live) AllowApp(ctx context.Context, app *storage.App, kind string, n, limit int) (storage.RateDecision, error) {
	d, err := l.Settings.Drivers.RateLimiter.Allow(ctx, kind+":"+app.ID, n, limit, second)
	if err != nil {
		if l.Settings.Rate.FailOpen {
			return storage.RateDecision{Allowed: true}, nil
		}
		return d, err
	}
	m := l.Hub.app(app, l.lease.term.Load()).meter
	m.rateChecked(kind, contextHTTP)
	if !d.Allowed {
		m.rateTriggered(kind, contextHTTP)
	}
	return d, nil
}

// TakeSlot counts an open socket of a client address. release gives it back and
// is never nil when ok.
func (l Live) TakeSlot(ctx context.Context, clientIP string) (release func(), ok bool, err error) {
	s := l.Settings
	limit := s.Rate.ConnectionsPerIP
	if limit <= 0 || s.Rate.SkipPrivate && private(clientIP) {
		return func() {}, true, nil
	}
	limiter := s.Drivers.RateLimiter
	key := "connections:" + RateKey(clientIP)
	holder := s.NodeID + ":" + l.Hub.name + ":" + strconv.FormatUint(l.Hub.nextID.Add(1), 10)
	ok, err = limiter.Acquire(ctx, key, holder, limit)
	if err != nil && s.Rate.FailOpen {
		return func() {}, true, nil
	}
	if err == nil {
		l.Hub.metrics.RateChecked("connection_per_ip", contextUpgrade, ok)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), driverTimeout)
		defer cancel()
		_ = limiter.Release(ctx, key, holder) // a lease that cannot be given back expires
	}, ok, err
}
