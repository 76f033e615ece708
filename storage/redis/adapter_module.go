package redis

import (
	"fmt"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// Validate checks the prefix and the timeout.
func (m *AdapterModule) Validate() error {
	if err := words.NotNegative(map[string]int64{"request_timeout": int64(m.RequestTimeout)}); err != nil {
		return err
	}
	return checkAdapterPrefix(m.ofHub(defaultPrefix))
}

// Driver is the driver's word in the configuration.
func (*AdapterModule) Driver() string { return "redis" }

// Key identifies the hub, the server, the login and the prefix.
func (m *AdapterModule) Key() string {
	o := m.options
	o.PoolSize = 0
	return m.hub + "\x00" + o.key() + "\x00" + m.ofHub(defaultPrefix)
}

// Driver is the driver's word in the configuration.
func (*ClusterAdapterModule) Driver() string { return "redis_cluster" }

// Key identifies the hub, the cluster, the login, the prefix and the way of
// publishing.
func (m *ClusterAdapterModule) Key() string {
	return fmt.Sprint(m.AdapterModule.Key(), "\x00", m.UseShardedPubsub)
}

func (m *AdapterModule) adapterOptions(sharded bool) AdapterOptions {
	return AdapterOptions{m.ofHub(defaultPrefix), sharded, relay.Tuning{AnswerTimeout: time.Duration(m.RequestTimeout)}}
}

// Tune takes the timeout of a newer configuration.
func (a *Adapter) Tune(spec any) error {
	switch m := spec.(type) {
	case *AdapterModule:
		a.SetTuning(m.adapterOptions(false).Tuning)
	case *ClusterAdapterModule:
		a.SetTuning(m.adapterOptions(false).Tuning)
	default:
		return fmt.Errorf("%T does not tune an adapter of Redis", spec)
	}
	return nil
}
