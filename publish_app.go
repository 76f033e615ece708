package sockudo

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sockudo/caddy-sockudo/storage"
)

// mention is a handler that publishes for an app of a hub.
type mention struct {
	app     string // empty means the only one
	handler *PublishHandler
}

// publishes notes that a handler publishes through the hub. The result tells the id of
// its app once the hub is defined.
func (t *tenure) publishes(m mention) (app func() string) {
	t.mentions = append(t.mentions, m)
	return func() string {
		if one := t.onlyApp(); m.app == "" && one != nil {
			return one.ID
		}
		return m.app
	}
}

// onlyApp is the app of a hub that has one and no store, else nil.
func (t *tenure) onlyApp() *storage.App {
	if t.written == nil && len(t.apps) == 1 && t.drivers[kindApps] == defaultDrivers[kindApps] {
		return t.apps[0]
	}
	return nil
}

// checkMentions refuses handlers that publish for apps that there are not, and to
// channels that such an app cannot have.
func (t *tenure) checkMentions() error {
	for _, m := range t.mentions {
		if err := t.checkMention(m); err != nil {
			return fmt.Errorf("sockudo_publish %s: %w", m.handler.Event, err)
		}
	}
	return nil
}

func (t *tenure) checkMention(m mention) error {
	var ids []string
	for _, app := range t.apps {
		ids = append(ids, app.ID)
	}
	one := t.onlyApp()
	at := slices.Index(ids, m.app)
	switch {
	case at >= 0:
		one = t.apps[at]
	case m.app == "" && one == nil:
		return errors.New("app is missing: say which of the hub's apps publishes")
	case m.app == "":
	case t.drivers[kindApps] == defaultDrivers[kindApps]:
		return fmt.Errorf("app: the hub has no app %s; it has %s", m.app, strings.Join(ids, ", "))
	default:
		return nil // it may be in the store
	}
	if !one.Enabled {
		return fmt.Errorf("app: %s is disabled", one.ID)
	}
	return m.handler.checkStatic(t.settings.ChannelRules(one))
}
