package sockudo

import (
	"encoding/json"
	"errors"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive. Without a block it refers to a hub that
// is defined elsewhere. A switch that stands alone is on. Words in brackets are
// other spellings.
//
//	sockudo [MATCHER] [NAME] {
//		name NAME                             # default
//		env_overrides on|off                  # on
//		mode production|development           # production
//		role default|api                      # default [server_role]
//		node_id TEXT                          # random, as long as the process lasts
//		max_connections N                     # 0: unlimited
//		activity_timeout DURATION             # 120s
//		authentication_timeout DURATION       # 3600s [user_authentication_timeout]
//		health_timeout DURATION               # 2s [health_check_timeout_ms N]
//		drain_period DURATION                 # 5s
//		drain_timeout DURATION                # 10s
//		usage on|off                          # off
//		app ID {                              # at least one, unless they are in a store
//			key TEXT                          # required
//			secret TEXT                       # required
//			enabled on|off                    # on
//			enable_client_messages on|off     # off
//			enable_user_authentication on|off # off
//			enable_watchlist_events on|off    # off
//			subscription_count on|off         # off
//			allowed_origins PATTERN...        # any
//			max_connections N                 # 0: unlimited
//			max_client_events_per_second N    # 0: events_per_second of the rate limiter
//			max_backend_events_per_second N   # 0: events_per_second of the rate limiter
//			max_read_requests_per_second N    # 0: unlimited
//			max_presence_members_per_channel N # 0: as the hub, like those below
//			max_presence_member_size_in_kb N
//			max_channel_name_length N
//			max_event_channels_at_once N
//			max_event_name_length N
//			max_event_payload_in_kb N
//			max_event_batch_size N
//			decay_seconds N                   # 1
//			terminate_on_limit on|off         # off
//			message_rate_limit {              # no limit
//				enabled on|off                # on
//				max_attempts N                # 60
//				decay DURATION                # 60s [decay_seconds N]
//				terminate on|off              # off [terminate_on_limit]
//			}
//			limits { ... }                    # the limits above may stand here instead
//			policy { ... }                    # limits, features, channels and idempotency
//			namespace NAME {
//				pattern REGEXP                # any [channel_name_pattern]
//				max_channel_name_length N     # 0: as the app
//				allow_user_limited_channels on|off # off
//			}
//			webhook URL {                     # any number of them; without URL, with lambda
//				events NAME...                # required [event_types]
//				filter {                      # any channel
//					prefix TEXT               # [channel_prefix]
//					suffix TEXT               # [channel_suffix]
//					pattern REGEXP            # [channel_pattern]
//					namespaces NAME...        # [channel_namespaces]
//					namespace NAME            # [channel_namespace]
//				}
//				header NAME VALUE             # any number of them
//				timeout DURATION              # as the hub [request_timeout_ms N]
//				retry { ... }                 # as the hub
//				lambda FUNCTION REGION        # instead of URL
//				lambda_function NAME          # in us-east-1
//			}
//			idempotency {                     # as the hub
//				enabled on|off
//				ttl DURATION                  # [ttl_seconds N]
//			}
//		}
//		app_manager DRIVER { ... }            # memory [apps DRIVER]
//		app_cache {                           # for app managers other than memory
//			enabled on|off                    # on
//			ttl DURATION                      # 300s, 0: for ever [ttl_seconds N]
//			negative_ttl DURATION             # 2s [negative_ttl_seconds N]
//			stale_if_error DURATION           # 0: not at all
//		}
//		database DRIVER { ... }               # settings for drivers that have none of their own
//		adapter DRIVER { ... }                # local
//		cluster_health {                      # for adapters between nodes
//			enabled on|off                    # on
//			heartbeat DURATION                # 3s [heartbeat_interval_ms N]
//			node_timeout DURATION             # 10s [node_timeout_ms N]
//			cleanup DURATION                  # 1s [cleanup_interval_ms N]
//		}
//		cache DRIVER { ... }                  # memory
//		queue DRIVER { ... }                  # sqlite
//		rate_limiter [DRIVER] {               # memory
//			enabled on|off                    # on
//			limits {
//				connection_per_ip N           # 0: unlimited
//				events_per_second N           # 0: unlimited
//			}
//			api MAX WINDOW                    # 100 60s [api_rate_limit]
//			upgrades MAX WINDOW               # 20 60s [websocket_rate_limit]
//			fail_open on|off                  # off
//			...                               # what the driver knows
//		}
//		websocket {
//			max_messages N|none               # 1000
//			max_bytes SIZE|none               # 1MiB
//			on_buffer_full disconnect|drop    # disconnect [disconnect_on_buffer_full on|off]
//			max_channels N|none               # 10000
//			max_payload SIZE                  # 64KiB [max_payload_kb N]
//		}
//		cors {
//			origins PATTERN...                # * [origin]
//			methods METHOD...                 # GET POST PUT PATCH DELETE OPTIONS
//			headers NAME...                   # [allowed_headers] Authorization Content-Type X-Requested-With Accept X-Idempotency-Key
//			credentials on|off                # off
//		}
//		http {
//			max_body SIZE                     # 10MiB [request_limit_in_mb N]
//		}
//		channel_limits {
//			max_name_length N                 # 200
//			cache_ttl DURATION                # 3600s [cache_ttl_seconds N]
//		}
//		event_limits {
//			max_channels_at_once N            # 100
//			max_name_length N                 # 200
//			max_payload SIZE                  # 100KiB [max_payload_in_kb N]
//			max_batch_size N                  # 10
//		}
//		presence {
//			max_members N                     # 100 [max_members_per_channel]
//			max_member_size SIZE              # 2KiB [max_member_size_in_kb N]
//		}
//		idempotency {
//			enabled on|off                    # on
//			ttl DURATION                      # 120s [ttl_seconds N]
//			max_key_length N                  # 128
//		}
//		webhooks {                            # if an app has any
//			enabled on|off                    # on
//			batching_enabled on|off           # on [batching]
//			max_batch_size N                  # 50
//			flush_interval DURATION           # 500ms [flush_interval_ms N]
//			timeout DURATION                  # 5s [timeout_ms N, request_timeout_ms N]
//			debounce DURATION                 # 3s
//			concurrency N                     # 20
//			endpoint_concurrency N            # 4
//			retry {
//				enabled on|off                # on
//				max_attempts N                # unlimited
//				max_elapsed DURATION          # 300s [max_elapsed_time_ms N]
//				initial_backoff DURATION      # 1s [initial_backoff_ms N]
//				max_backoff DURATION          # 60s [max_backoff_ms N]
//			}
//			allow_private on|off              # off, on in mode development
//			allow_lossy_queue on|off          # off
//			ca PATH                           # authorities beside those of the system
//		}
//		metrics {
//			enabled on|off                    # on
//			prefix TEXT                       # sockudo_
//		}
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	name := d.RemainingArgs()
	switch {
	case len(name) > 1:
		return d.Errf("sockudo takes one name, not %q", name)
	case len(name) == 1:
		h.Name = name[0]
	}
	err := parseBlock(d, h)
	if err == nil && len(name) == 1 && h.Name != name[0] {
		return d.Errf("name: the hub has two names, %s and %s", name[0], h.Name)
	}
	return err
}

// parseGlobalOption reads the global option, which may stand several times:
//
//	sockudo [NAME] {
//		...               # as in the directive, without name
//	}
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	app := App{Hubs: map[string]*HubConfig{}}
	if before, ok := existing.(httpcaddyfile.App); ok {
		if err := json.Unmarshal(before.Value, &app); err != nil {
			return nil, err
		}
	}
	d.Next() // the option
	name := defaultHub
	if args := d.RemainingArgs(); len(args) == 1 {
		name = args[0]
	} else if len(args) > 1 {
		return nil, d.Errf("sockudo takes one name, not %q", args)
	}
	if app.Hubs[name] != nil {
		return nil, d.Errf("sockudo %s is defined twice", name)
	}
	config := new(HubConfig)
	opened, err := openBlock(d, func() error { return parseBody(d, config) })
	if err == nil && !opened {
		err = d.Errf("sockudo %s needs a block here, which says what the hub is", name)
	}
	if err != nil {
		return nil, err
	}
	app.Hubs[name] = config
	value, err := json.Marshal(app)
	return httpcaddyfile.App{Name: "sockudo", Value: value}, err
}

// parseWord reads the words of the directive that are not settings of their own.
func (c *HubConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	switch word {
	case "app":
		return true, c.parseApp(d)
	case "apps":
		return true, aliasError("app_manager")
	case "database":
		return true, c.parseDatabase(d)
	}
	return false, nil
}

// aliasError says that a word is another spelling, in a Caddyfile only.
type aliasError string

func (e aliasError) Error() string { return "is another spelling of " + string(e) }

func (c *HubConfig) parseApp(d *caddyfile.Dispenser) error {
	app := new(AppConfig)
	if args := d.RemainingArgs(); len(args) != 1 {
		return d.Errf("app takes one id, not %d arguments", len(args))
	}
	app.ID = d.Val()
	for _, other := range c.Apps {
		if other.ID == app.ID {
			return d.Errf("app %s is written twice", app.ID)
		}
	}
	opened, err := openBlock(d, func() error { return parseBody(d, app) })
	if err != nil {
		return err
	}
	if !opened {
		return d.Errf("app %s needs a block with key and secret", app.ID)
	}
	if _, err := app.flat(); err != nil {
		return d.Errf("app %s: %w", app.ID, err)
	}
	c.Apps = append(c.Apps, app)
	return nil
}

func (a *AppConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	if word == "id" {
		return true, d.Errf("id is written behind app: app %s", a.ID)
	}
	switch word {
	case "webhook":
		return true, parseWebhook(d, &a.Webhooks)
	case "webhooks":
		return true, d.Err(webhooksHint)
	}
	return a.AppChannels.parseWord(d, word)
}

func (c *AppChannels) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	switch word {
	case "namespace":
		return true, c.parseNamespace(d)
	case "channel_namespaces":
		return true, d.Errf("channel_namespaces is written as namespace NAME in a Caddyfile")
	}
	return false, nil
}

func (c *AppChannels) parseNamespace(d *caddyfile.Dispenser) error {
	n := new(NamespaceConfig)
	if args := d.RemainingArgs(); len(args) != 1 {
		return d.Errf("namespace takes one name, not %d arguments", len(args))
	}
	n.Name = d.Val()
	_, err := openBlock(d, func() error { return parseBody(d, n) })
	c.ChannelNamespaces = append(c.ChannelNamespaces, n)
	return err
}

func (n *NamespaceConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	if word == "name" {
		return true, d.Errf("name is written behind namespace: namespace %s", n.Name)
	}
	return false, nil
}

// parseArgs reads "MAX WINDOW", if that stands behind the word.
func (r *RateConfig) parseArgs(d *caddyfile.Dispenser) (known bool, err error) {
	word, args := d.Val(), d.RemainingArgs()
	if len(args) == 0 {
		return false, nil
	}
	if len(args) != 2 {
		return true, d.Errf("%s takes a number and a window such as 100 60s, not %q", word, args)
	}
	r.Max, r.Window = Number(args[0]), Duration(args[1])
	fields := fieldsOf(rateType)
	for name, text := range map[string]string{"max": args[0], "window": args[1]} {
		if f := fields[name]; !hasPlaceholder(text) {
			err = errors.Join(err, at(word, f.rule.check(text, f.kind)))
		}
	}
	return true, wrap(d, err)
}

func wrap(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}
