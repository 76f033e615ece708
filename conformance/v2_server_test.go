package conformance

import (
	"os"
	"sync"
	"testing"
)

// featured is a server with all of V2 switched on, beside the one that has the
// defaults.
var featured struct {
	once   sync.Once
	server *server
	err    error
}

var (
	// nativeApp has every feature of both versions on.
	nativeApp = app{"native", "native-key", "native-secret"}
	// patientApp remembers what clients have missed for long, and forgetfulApp forgets what clients have missed almost at once.
	patientApp   = app{"patient", "patient-key", "patient-secret"}
	forgetfulApp = app{"forgetful", "forgetful-key", "forgetful-secret"}
	// limitedApp refuses the sixth message, and strictApp ends the connection then; it
	// refuses the third client event.
	limitedApp = app{"limited", "limited-key", "limited-secret"}
	strictApp  = app{"strict", "strict-key", "strict-secret"}
	// bannedApp is disabled, and fullApp has room for one connection.
	bannedApp = app{"banned", "banned-key", "banned-secret"}
	fullApp   = app{"full", "full-key", "full-secret"}
	// silentApp has no recovery, and no client events.
	silentApp = app{"silent", "silent-key", "silent-secret"}
)

// window is the number of events that a client may miss.
const window = 20

// features are the words in the sockudo block that switch V2's features on. What takes
// long by default is short.
const features = `
		presence {
			v2_grace 1s
		}
		recovery {
			buffer_size 20
		}
		tag_filtering {
			enable_tags on
		}
		app native {
			key native-key
			secret native-secret
			enable_client_messages on
			enable_user_authentication on
			enable_watchlist_events on
			namespace open
			namespace ours {
				allow_user_limited_channels on
			}
			namespace closed {
				allow_subscribe_for_client off
			}
			namespace mute {
				allow_publish_for_client off
			}
			namespace nobody {
				allow_presence_for_client off
			}
			delta off* disabled
			delta keyed* inherit {
				conflation_key data.symbol
			}
		}
		app patient {
			key patient-key
			secret patient-secret
			enable_client_messages on
			recovery {
				buffer_size 5000
			}
		}
		app limited {
			key limited-key
			secret limited-secret
			enable_client_messages on
			message_rate_limit {
				max_attempts 5
				decay 60s
			}
		}
		app strict {
			key strict-key
			secret strict-secret
			enable_client_messages on
			max_client_events_per_second 2
			decay_seconds 60
			message_rate_limit {
				max_attempts 5
				decay 60s
				terminate on
			}
		}
		app forgetful {
			key forgetful-key
			secret forgetful-secret
			recovery {
				ttl 1s
			}
		}
		app banned {
			key banned-key
			secret banned-secret
			enabled off
		}
		app full {
			key full-key
			secret full-secret
			max_connections 1
		}
		app silent {
			key silent-key
			secret silent-secret
			recovery {
				enabled off
			}
		}
`

func needV2(t *testing.T) *server {
	t.Helper()
	if testing.Short() || os.Getenv("CONFORMANCE_TARGET") != "" {
		t.Skip("our own server, which is no part of a short run")
	}
	featured.once.Do(func() { featured.server, featured.err = startFeatured() })
	if featured.err != nil {
		t.Fatal(featured.err)
	}
	mark := featured.server.log.len()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the server with features:\n%s", featured.server.log.since(mark, 8<<10))
		}
	})
	return featured.server
}

func startFeatured() (*server, error) {
	s, err := newServer()
	if err != nil {
		return nil, err
	}
	s.conf.Extra = features
	return s, s.start()
}
