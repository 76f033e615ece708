// Package lookup stands between the hub and a store of apps. Apps keeps the
// records that were asked for and refreshes them in the background; Overlay puts
// the apps of a configuration above those of the store.
package lookup

import "github.com/sockudo/caddy-sockudo/storage"

var (
	_ storage.AppManager     = (*Apps)(nil)
	_ storage.AppEditor      = (*Apps)(nil)
	_ storage.AppFollowed    = (*Apps)(nil)
	_ storage.UnreadableApps = (*Apps)(nil)
	_ storage.Checker        = (*Apps)(nil)
	_ storage.AppManager     = (*Overlay)(nil)
	_ storage.AppEditor      = (*Overlay)(nil)
	_ storage.AppFollowed    = (*Overlay)(nil)
	_ storage.Checker        = (*Overlay)(nil)
)
