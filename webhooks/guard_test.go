package webhooks

import (
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// A name that leads to a private address is refused when the connection is made,
// with the word that would admit it, and proxies of the environment do not help.
func TestPrivateReceivers(t *testing.T) {
	r := newReceiver(t, nil)
	t.Setenv("HTTPS_PROXY", r.URL)
	t.Setenv("HTTP_PROXY", r.URL)
	name := strings.Replace(r.URL, "127.0.0.1", "localhost", 1)
	g := newRig(t, Settings{Roots: r.roots}, storage.Webhook{URL: name + "/", EventTypes: []string{"channel_occupied"}}, storage.Webhook{URL: strings.Replace(name, "https", "http", 1), EventTypes: []string{"channel_occupied"}})
	strict := g.settings
	strict.AllowPrivate = false
	g.http = &poster{newClient(&strict)}
	g.tell(t, occupied("a"))
	for _, l := range g.dead(t, 2) {
		if !strings.Contains(l.Reason, "allow_private") || l.Attempt != 1 {
			t.Errorf("the dead letter is of %d attempts, for %q", l.Attempt, l.Reason)
		}
	}
	if n := len(r.all()); n != 0 {
		t.Errorf("the receiver got %d requests", n)
	}
}
