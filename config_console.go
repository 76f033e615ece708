package sockudo

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sockudo/caddy-sockudo/console"
)

// ConsoleConfig is the debug console: a page on the site that shows what happens in the
// hub. It is opened by links that the admin API and caddy sockudo console make.
type ConsoleConfig struct {
	// Enabled serves the console on all sites of the hub. Default: on, in a block that is
	// there.
	Enabled Switch `json:"enabled,omitempty"`

	// Path is where the sites serve it. Default: /_sockudo.
	Path string `json:"path,omitempty"`

	// Publish lets links be made that may publish events, close connections and send dead
	// letters again. Default: off.
	Publish Switch `json:"publish,omitempty"`

	// MaxSessions is the number of pages that are open at once, on this node. Default: 5.
	MaxSessions Number `json:"max_sessions,omitempty" min:"1"`
}

var consolePath = regexp.MustCompile(`^(/[A-Za-z0-9_.~-]+)+$`)

// ownPaths are the first segments of paths that a hub serves besides.
var ownPaths = []string{"app", "apps", "up", "live", "usage", "stats", "operator"}

// settings are those of the console, nil while it is off.
func (c *ConsoleConfig) settings() (*console.Settings, error) {
	if c == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	s := &console.Settings{Path: "/_sockudo", Publish: c.Publish.or(false), MaxSessions: c.MaxSessions.or(5)}
	if c.Path != "" {
		s.Path = strings.TrimSuffix(c.Path, "/")
	}
	segments := strings.Split(strings.TrimPrefix(s.Path, "/"), "/")
	switch {
	case !consolePath.MatchString(s.Path), slices.Contains(segments, "."), slices.Contains(segments, ".."):
		return nil, fmt.Errorf("console.path: %q is not a path such as /_sockudo", c.Path)
	case slices.Contains(ownPaths, segments[0]):
		return nil, fmt.Errorf("console.path: %q is among the paths that the hub itself serves", c.Path)
	}
	if !c.Enabled.or(true) {
		return nil, nil //nolint:nilnil // there is none
	}
	return s, nil
}
