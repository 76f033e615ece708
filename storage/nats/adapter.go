package nats

import (
	"context"
	"fmt"
	"net"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// errClosed is the error of a connection that was closed before.
var errClosed = net.ErrClosed

// Adapter carries envelopes between nodes by way of NATS.
type Adapter struct {
	*relay.Adapter
	dialer *dialer
}

// OpenAdapter connects to NATS. Without a logger nothing is logged.
func OpenAdapter(ctx context.Context, o Options, logger *zap.Logger) (*Adapter, error) {
	if logger == nil {
		logger = zap.NewNop()
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	o = o.withDefaults()
	if o.TLS != nil && o.TLS.SkipVerify {
		logger.Warn("connections to NATS accept any certificate", zap.String("place", o.place()))
	}
	d := &dialer{log: logger, options: o}
	a, err := relay.Open(ctx, d.dial, relay.Options{Driver: "nats", Place: o.place(), Tuning: o.Tuning.Tuning, Log: logger})
	if err != nil {
		return nil, err
	}
	return &Adapter{a, d}, nil
}

// SetTuning changes options of a running adapter.
func (a *Adapter) SetTuning(t Tuning) {
	a.dialer.set(t)
	a.Adapter.SetTuning(t.Tuning)
}
