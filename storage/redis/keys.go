package redis

import "github.com/sockudo/caddy-sockudo/internal/words"

// Keys say which Redis to use, and how the names of what is in it begin.
type Keys struct {
	Connection

	// Prefix begins the names of all keys; who shares it shares what is there. Default:
	// "sockudo:" for apps, "sockudo_adapter:" for an adapter, "sockudo_cache" for a
	// cache, "sockudo_rl" for a rate limiter, "sockudo_history" for a history,
	// "sockudo_push" for push notifications, the last five with "@HUB" behind them for
	// hubs with another name than default, and "sockudo_queue:" for a queue, in which
	// each hub has keys of its own.
	Prefix string `json:"prefix,omitempty"`

	hub, prefix string
	options     Options
}

// provision expands the placeholders and reads the files of TLS.
func (k *Keys) provision(cluster bool) (err error) {
	if k.prefix, err = words.Expand("prefix", k.Prefix); err != nil {
		return err
	}
	if k.options, err = k.Connection.options(cluster); err != nil {
		return err
	}
	return checkTag(k.prefix)
}

// ForHub names the hub, whose values are not those of others.
func (k *Keys) ForHub(name string) { k.hub = name }

// ofHub is the prefix, where hubs have their own unless one is written.
func (k *Keys) ofHub(usual string) string {
	switch {
	case k.prefix != "":
		return k.prefix
	case k.hub == "" || k.hub == "default":
		return usual
	}
	return usual + "@" + k.hub
}
