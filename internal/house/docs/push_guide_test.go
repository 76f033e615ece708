package docs

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
)

// services are stand-ins for those of the platforms.
type services struct {
	fcm     *pushtest.FCM
	apns    *pushtest.APNs
	browser *pushtest.WebPush
}

// block is a push block like that of the guide, which sends to them.
func (s services) block(t *testing.T) string {
	key := s.apns.Key(t)
	file := filepath.Join(t.TempDir(), "apns.p8")
	write(t, file, key.PEM)
	return `push {
			provider fcm {
				credentials_path ` + s.fcm.ServiceAccountFile(t) + `
				endpoint ` + s.fcm.URL + `
				ca_file ` + s.fcm.CAFile + `
			}
			provider apns {
				team_id ` + key.TeamID + `
				key_id ` + key.KeyID + `
				private_key_path ` + file + `
				bundle_id ` + key.BundleID + `
				endpoint ` + s.apns.URL + `
				ca_file ` + s.apns.CAFile + `
			}
			provider webpush {
				vapid_subject mailto:ops@example.com
				vapid_private_key AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE
				ca_file ` + s.browser.CAFile + `
			}
			testing {
				allow_private_endpoints on
			}
			endpoints {
				allow_local on
			}
		}`
}

// TestGuidePush registers a phone of each kind and a browser as the guide's snippets do,
// publishes as it does, and looks at what has come.
func TestGuidePush(t *testing.T) {
	at := services{pushtest.NewFCM(t), pushtest.NewAPNs(t), pushtest.NewWebPush(t)}
	g := unpack(t, "docs/guide-mobile-push.md", nil)
	s := start(t, g.dir, "http://localhost:6001 {\n\tsockudo {\n\t\tapp app-id {\n\t\t\tkey app-key\n\t\t\tsecret app-secret\n\t\t}\n\t\t"+at.block(t)+"\n\t}\n}\n")
	g.files["send.js"] = `import { notify, status } from './lib/notify.js'
const user = { id: '7' }
const [first, again] = [await notify('order-1-packed', user, 'Packed', 'Soon there'), await notify('order-1-packed', user, 'Packed', 'Soon there')]
if (first.publishId !== 'order-1-packed' || again.publishId !== first.publishId) throw new Error(JSON.stringify(again))
let now
do {
  await new Promise((resolve) => setTimeout(resolve, 50))
  now = await status('order-1-packed')
} while (['queued', 'planning', 'dispatching'].includes(now.state))
console.log(JSON.stringify(now))
`
	g.files["show.js"] = `let handler
globalThis.self = {
  addEventListener: (name, f) => { handler = f },
  registration: { showNotification: (title, options) => console.log(title, JSON.stringify(options)) },
}
await import('./public/worker.js')
handler({ data: { json: () => JSON.parse(process.env.MESSAGE) }, waitUntil() {} })
`
	g.put(t, s)
	g.serve(t, s.backend, map[string]string{"/api/devices": "app/api/devices/route.js"}, "APP_SECRET=app-secret")
	subscription := at.browser.Subscribe(t)
	calls := map[string]string{"browser": mustJSON(t, map[string]any{
		"id": "b", "platform": "browser", "timezone": "UTC", "locale": "en",
		"subscription": map[string]any{"endpoint": subscription.Endpoint, "expirationTime": nil, "keys": map[string]string{"p256dh": subscription.P256dh, "auth": subscription.Auth}},
	})}
	token := strings.Repeat("ab", 32)
	for _, b := range g.blocks {
		for _, c := range callsOf(b) {
			calls[b.language] = strings.NewReplacer("a-installation", b.language, "a-token", token, "a-timezone", "Europe/Berlin", "a-locale", "de").Replace(c.body)
		}
	}
	if len(calls) != 3 {
		t.Fatalf("the guide registers %v", calls)
	}
	for name, body := range calls {
		if status, answer := post(t, s.here("http://localhost:3000/api/devices"), body, "user=7"); status != http.StatusNoContent {
			t.Fatalf("%s: %d %s", name, status, answer)
		}
	}
	var now struct {
		State    string
		Counters struct{ Succeeded int }
	}
	out := g.script(t, "send.js", "APP_SECRET=app-secret")
	if err := json.Unmarshal([]byte(out), &now); err != nil || now.State != "succeeded" || now.Counters.Succeeded != 3 {
		t.Errorf("%v, %s", err, out)
	}
	if sent := at.fcm.Sent(); len(sent) != 1 || sent[0].Address != token {
		t.Errorf("FCM has got %+v", sent)
	}
	if sent := at.apns.Sent(); len(sent) != 1 || sent[0].Token != token {
		t.Errorf("APNs has got %+v", sent)
	}
	messages := at.browser.Received(subscription.Endpoint)
	if len(messages) != 1 {
		t.Fatalf("the browser has got %+v", messages)
	}
	g.file(t, "public/worker.js")
	if got := g.script(t, "show.js", "MESSAGE="+string(messages[0].Plaintext)); !strings.HasPrefix(got, `Packed {"body":"Soon there"`) {
		t.Errorf("the worker shows %s", got)
	}
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
