package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// AdapterOptions say how nodes meet.
type AdapterOptions struct {
	// Prefix begins the names of all channels. Empty means "sockudo_adapter:".
	Prefix string
	// Sharded says that a cluster keeps each channel to the node that its slot belongs
	// to, which needs Redis 7. It is for clusters only.
	Sharded bool
	relay.Tuning
}

// Adapter carries envelopes between nodes by way of Redis, by publishing and
// subscribing.
type Adapter struct {
	*relay.Adapter
	dialer *dialer
}

// OpenAdapter connects to Redis. The logger may be nil.
func OpenAdapter(ctx context.Context, o Options, a AdapterOptions, logger *zap.Logger) (*Adapter, error) {
	if logger == nil {
		logger = zap.NewNop()
	}
	o, a.Prefix = o.withDefaults(), cmp.Or(a.Prefix, defaultPrefix)
	err := o.check()
	if err == nil {
		err = checkAdapterPrefix(a.Prefix)
	}
	if err == nil && a.Sharded && !o.Cluster {
		err = errors.New("use_sharded_pubsub is for clusters only")
	}
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	for _, name := range o.unverified() {
		logger.Warn("insecure_skip_verify is on: anybody may pose as the server", zap.String("store", o.place()), zap.String("in", name))
	}
	d := newDialer(o, a)
	// Its own errors say which driver that is.
	place := strings.TrimPrefix(strings.TrimPrefix(o.place(), "redis "), "cluster ")
	driver := map[bool]string{false: "redis", true: "redis_cluster"}[o.Cluster]
	adapter, err := relay.Open(ctx, d.dial, relay.Options{Driver: driver, Place: place, Tuning: a.Tuning, Log: logger})
	if err != nil {
		if o.TLS != nil && len(o.TLS.Cert) == 0 && isReset(err) {
			err = fmt.Errorf("%w; the server may demand a client certificate: tls { cert key }", err)
		}
		return nil, errors.Join(err, d.close())
	}
	return &Adapter{adapter, d}, nil
}

// SetTuning changes options of a running adapter. For what is sent the timeout
// counts from the next connection on.
func (a *Adapter) SetTuning(t relay.Tuning) {
	a.dialer.setTimeout(t.AnswerTimeout)
	a.Adapter.SetTuning(t)
}

// Close ends the adapter. It does not wait for deliveries; a leave does.
func (a *Adapter) Close() error { return errors.Join(a.Adapter.Close(), a.dialer.close()) }

// newDialer asks nobody yet. The options have been checked.
func newDialer(o Options, a AdapterOptions) *dialer {
	d := &dialer{options: o, sharded: a.Sharded, names: newNames(a.Prefix, o.DB)}
	d.setTimeout(a.AnswerTimeout)
	if o.Sentinel != nil {
		d.sentinels = newSentinels(o)
	}
	return d
}

// defaultPrefix is that of Sockudo.
const defaultPrefix = "sockudo_adapter:"

// checkAdapterPrefix wants a prefix that no other one leads into, see names.
func checkAdapterPrefix(prefix string) error {
	if strings.Contains(prefix, namesBegin) {
		return fmt.Errorf("prefix %q must not have %s in it, which begins the rest of a name", prefix, namesBegin)
	}
	return checkTag(prefix)
}

func (d *dialer) setTimeout(t time.Duration) { d.timeout.Store(int64(cmp.Or(t, 5*time.Second))) }
