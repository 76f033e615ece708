package docs

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// authority answers as the frameworks of two guides do: by the rules that those show,
// with the signature of the SDK. The SDKs for PHP and Ruby are not packages of Debian.
const authority = `import Pusher from 'pusher'
const pusher = new Pusher({ appId: 'app-id', key: 'app-key', secret: 'app-secret', host: 'localhost' })
export async function POST(request) {
  const form = new URLSearchParams(await request.text())
  const [channel, socket] = [form.get('channel_name'), form.get('socket_id')]
  const user = /user=(\w+)/.exec(request.headers.get('cookie') ?? '')?.[1]
  if (!user || request.headers.get('x-csrf-token') !== 'token') return new Response('', { status: 403 })
  if (channel.startsWith('presence-')) {
    return Response.json(pusher.authorizeChannel(socket, channel, { user_id: user, user_info: { id: user, name: 'User ' + user } }))
  }
  return channel.endsWith(user) ? Response.json(pusher.authorizeChannel(socket, channel)) : new Response('', { status: 403 })
}
`

// publisher calls the API as an SDK does, with an event from its arguments.
const publisher = `import Pusher from 'pusher'
const pusher = new Pusher({ appId: 'app-id', key: 'app-key', secret: 'app-secret', host: 'localhost', port: 6001, useTLS: false })
const [channel, event, data, params] = JSON.parse(process.env.EVENT)
await pusher.trigger(channel, event, data, params)
`

// assemble puts the page of a guide behind its Caddyfile.
func assemble(t *testing.T, doc, endpoint, entry string) (*guide, *server) {
	t.Helper()
	g := unpack(t, doc, nil)
	s := start(t, g.dir, g.file(t, "Caddyfile"))
	g.file(t, entry)
	g.files["auth.js"], g.files["publish.js"] = authority, publisher
	g.files["public/index.html"] = "<!doctype html>\n<meta name=\"csrf-token\" content=\"token\">\n<body><script src=\"/page.js\"></script>\n"
	g.put(t, s)
	var defines []string
	known := map[string]string{}
	for _, v := range variables(s.here(g.files[".env"])) {
		if name, is := strings.CutPrefix(v[1], "${"); is {
			v[1] = known[strings.TrimSuffix(name, "}")]
		}
		known[v[0]] = v[1]
		if strings.HasPrefix(v[0], "VITE_") {
			defines = append(defines, "import.meta.env."+v[0]+"="+strconv.Quote(v[1]))
		}
	}
	g.bundle(t, entry, "public/page.js", defines...)
	g.serve(t, s.backend, map[string]string{endpoint: "auth.js"})
	return g, s
}

func TestGuideLaravel(t *testing.T) {
	g, s := assemble(t, "docs/guide-laravel.md", "/broadcasting/auth", "resources/js/orders.js")
	p := open(t, s.here("http://localhost:6001/"), [2]string{"user", "7"})
	p.subscribed("private-users.7")
	if got := p.line(); got != "1 here" {
		t.Errorf("the page shows %q", got)
	}
	g.script(t, "publish.js", `EVENT=["private-users.7","order.shipped",{"userId":7,"orderId":1}]`)
	if got := p.line(); got != "Order 1 is on its way" {
		t.Errorf("the page shows %q", got)
	}
	other := open(t, s.here("http://localhost:6001/"), [2]string{"user", "8"})
	other.refused = true // by the channel of user 7
	other.subscribed("presence-lobby")
	if got := p.line(); got != "User 8 has come" {
		t.Errorf("the page shows %q", got)
	}
}

func TestGuideRails(t *testing.T) {
	g, s := assemble(t, "docs/guide-rails.md", "/realtime/auth", "app/javascript/orders.js")
	p := open(t, s.here("http://localhost:6001/"), [2]string{"user", "7"})
	p.subscribed("private-user-7")
	event := `EVENT=["private-user-7","order.created",{"id":%},{"idempotency_key":"order-1-created"}]`
	g.script(t, "publish.js", strings.Replace(event, "%", "1", 1))
	// The key publishes once.
	g.script(t, "publish.js", strings.Replace(event, "%", "2", 1))
	g.script(t, "publish.js", strings.NewReplacer("%", "3", "order-1", "order-3").Replace(event))
	for _, want := range []string{"Order 1", "Order 3"} {
		if got := p.line(); got != want {
			t.Errorf("the page shows %q, want %q", got, want)
		}
	}
	if status, _ := post(t, s.here("http://localhost:6001/realtime/auth"), "channel_name=private-user-7&socket_id=1.2", "user=8"); status != http.StatusForbidden {
		t.Errorf("another user gets %d", status)
	}
}
