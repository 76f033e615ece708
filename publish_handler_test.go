package sockudo

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// publishSite is a site with a hub and handlers that publish.
func publishSite(port, handlers string) string {
	return "http://127.0.0.1:" + port + " {\nsockudo {\nrate_limiter {\nenabled off\n}\n" + appBlock + "}\n" + handlers + "\n}\n"
}

// listen subscribes to the channels of a test.
func listen(t *testing.T, port string, channels ...string) *socket {
	t.Helper()
	k := dial(t, "127.0.0.1:"+port, "/app/demo-key")
	for _, name := range channels {
		k.subscribe(name)
	}
	return k
}

func post(t *testing.T, url, body string, header http.Header) (status int) {
	t.Helper()
	resp, err := persist(func() (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(r.Header, header)
		return client.Do(r)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// Any route publishes: what the request was when it came, what was answered, and
// nothing after an answer that is not a good one.
func TestPublishHandler(t *testing.T) {
	s, port := newServer(t), freePort(t)
	s.mustLoad("", publishSite(port, `
	sockudo_publish /orders/* {
		channel orders orders-{http.request.uri.path.1}
		event order-{http.response.status}
		data `+"`"+`{"id":"{http.request.uri.path.1}","by":"{query.by}","at":"{http.response.header.Location}","n":[1,2]}`+"`"+`
	}
	handle_path /orders/* {
		header Location /new
		respond /bad 404
		respond 201
	}
	sockudo_publish /echo {
		channel echo
		event said
		data {http.request.body}
		socket_id {header.X-Socket-ID}
	}
	handle /echo {
		respond "{http.request.body}"
	}
	sockudo_publish /moved {
		app demo
		channel moved
		event moved
		on_status 3xx 204
	}
	handle /moved {
		redir * /elsewhere 302
	}
	sockudo_publish /empty {
		channel {query.name}
		event e
		data text-of-{method}
	}
	respond /empty ok
	`))
	base := "http://127.0.0.1:" + port
	k := listen(t, port, "orders", "orders-7", "echo", "moved", "named")
	if status := post(t, base+`/orders/7?by=%22%7D%2C%22x`, "", nil); status != http.StatusCreated {
		t.Error(status)
	}
	for _, channel := range []string{"orders", "orders-7"} {
		got := k.expect(`"channel":"` + channel + `"`)
		contains(t, got, `"event":"order-201"`, `\"id\":\"7\"`, `\"by\":\"\\\"},\\\"x\"`, `\"at\":\"/new\"`, `\"n\":[1,2]`)
	}
	post(t, base+"/orders/bad", "", nil) // 404: nothing
	post(t, base+"/echo", `it is "quoted"`, nil)
	got := k.expect(`"event":`)
	contains(t, got, `"channel":"echo"`, `"data":"it is \"quoted\""`)
	post(t, base+"/echo", "not for me", http.Header{"X-Socket-Id": {k.id}})
	if status, _ := request(t, "GET", base+"/moved", nil); status == 0 {
		t.Error(status)
	}
	got = k.expect(`"event":`)
	contains(t, got, `"channel":"moved"`, `"data":"{}"`)
	// An empty placeholder names no channel; the answer is as ever.
	if status := post(t, base+"/empty", "", nil); status != http.StatusOK {
		t.Error(status)
	}
	contains(t, s.logged(), `"channels.0: {http.request.uri.query.name} is empty"`)
	post(t, base+"/empty?name=named", "", nil)
	contains(t, k.expect(`"event":`), `"channel":"named"`, `"data":"text-of-POST"`)
}

// A body that is larger than max_body goes through whole, and nothing is published.
func TestPublishBody(t *testing.T) {
	s, port := newServer(t), freePort(t)
	s.mustLoad("", publishSite(port, `
	sockudo_publish /after {
		channel room
		event e
		data {http.request.body}
		max_body 10
	}
	sockudo_publish /before {
		channel room
		event e
		data {http.request.body_base64}
		max_body 10
		when before
	}
	respond "{http.request.body}"
	`))
	k := listen(t, port, "room")
	base := "http://127.0.0.1:" + port
	read := func(path, body string) (int, string) {
		t.Helper()
		resp, err := client.Post(base+path, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var text strings.Builder
		if _, err := copyTo(&text, resp); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, text.String()
	}
	long := strings.Repeat("0123456789", 1000)
	if status, got := read("/after", long); status != http.StatusOK || got != long {
		t.Errorf("%d, %d bytes of %d", status, len(got), len(long))
	}
	contains(t, s.logged(), "the body of the request is larger than max_body")
	if status, _ := read("/before", long); status != http.StatusRequestEntityTooLarge {
		t.Error(status)
	}
	if status, got := read("/after", "exactly 10"); status != http.StatusOK || got != "exactly 10" {
		t.Error(status, got)
	}
	contains(t, k.expect(`"event":"e"`), `"data":"exactly 10"`)
	if status, got := read("/before", "x"); status != http.StatusOK || got != "x" {
		t.Error(status, got)
	}
	contains(t, k.expect(`"event":"e"`), `"data":"eA=="`)
}

// Before: what cannot be published is refused, and the next handlers never hear of it.
func TestPublishBefore(t *testing.T) {
	s, port := newServer(t), freePort(t)
	sites := func(app string) string {
		return "http://127.0.0.1:" + port + ` {
	sockudo {
		rate_limiter {
			enabled off
		}
		event_limits {
			max_payload 20
		}
		` + app + `
	}
	sockudo_publish /publish {
		channel {query.channel}
		event e
		data {http.request.body}
		when before
	}
	respond /publish answered
	handle_errors {
		respond "refused {err.status_code}" {err.status_code}
	}
}
`
	}
	s.mustLoad("", sites(appBlock))
	k := listen(t, port, "room")
	url := "http://127.0.0.1:" + port + "/publish?channel="
	for _, c := range []struct {
		channel, body string
		status        int
	}{
		{"room", "first", http.StatusOK},
		{"r%20m", "x", http.StatusBadRequest},
		{"", "x", http.StatusServiceUnavailable},
		{"room", strings.Repeat("x", 21), http.StatusRequestEntityTooLarge},
		{"room", "last", http.StatusOK},
	} {
		if status := post(t, url+c.channel, c.body, nil); status != c.status {
			t.Errorf("%s %s: %d, want %d", c.channel, c.body, status, c.status)
		}
	}
	contains(t, k.expect(`"event":"e"`), `"data":"first"`)
	contains(t, k.expect(`"event":"e"`), `"data":"last"`)
	s.mustLoad("", sites(strings.Replace(appBlock, "secret ", "max_backend_events_per_second 1\nsecret ", 1)))
	refused := 0
	for range 20 {
		if post(t, url+"room", "x", nil) == http.StatusServiceUnavailable {
			refused++
		}
	}
	if refused == 0 {
		t.Error("the rate of the app does not count")
	}
}

// What cannot work is refused when the configuration is loaded.
func TestPublishRefusals(t *testing.T) {
	s, port := newServer(t), freePort(t)
	for want, words := range map[string]string{
		"channels is missing": "event e",
		"event is missing":    "channel room",
		"channels.0: Channel name contains invalid characters": "channel rööm\nevent e",
		"channels.1: Unknown channel namespace 'ns'":           "channel room ns:x\nevent e",
		"app: the hub has no app other; it has demo":           "app other\nchannel room\nevent e",
		"data: begins like JSON, and is not":                   "channel room\nevent e\ndata `{\"n\":{query.n}}`",
		`on_status: "4" is neither`:                            "channel room\nevent e\non_status 4",
		"on_status means nothing with when before":             "channel room\nevent e\non_status 2xx\nwhen before",
		"{http.response.status} has no value with when before": "channel room\nevent e\ndata {http.response.status}\nwhen before",
		"{http.response.body} is unknown here":                 "channel room\nevent e\ndata {http.response.body}",
		"hub nowhere is not defined":                           "hub nowhere\nchannel room\nevent e",
		"{env.SOCKUDO_UNSET} is empty or not set":              "app {env.SOCKUDO_UNSET}\nchannel room\nevent e",
	} {
		err := s.load("", publishSite(port, "sockudo_publish {\n"+words+"\n}"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", words, err, want)
		}
	}
	for want, words := range map[string]string{
		"chanel is unknown (did you mean channel?)":        "chanel room",
		`"later" is not one of after, before`:              "when later",
		"channel and channels mean the same":               "channel a\nchannels b",
		"timeout: \"5\" has no unit":                       "timeout 5",
		"max_body: must be at least 1":                     "max_body 0",
		"sockudo_publish takes the name of one hub, not [": "",
	} {
		args := ""
		if words == "" {
			args = "a b "
		}
		err := new(PublishHandler).UnmarshalCaddyfile(caddyfile.NewTestDispenser("sockudo_publish " + args + "{\n" + words + "\n}"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", words, err, want)
		}
	}
	two := strings.ReplaceAll(appBlock, "demo", "other")
	err := s.load("", strings.Replace(publishSite(port, "sockudo_publish {\nchannel room\nevent e\n}"), appBlock, appBlock+two, 1))
	if err == nil || !strings.Contains(err.Error(), "app is missing: say which of the hub's apps publishes") {
		t.Error(err)
	}
	err = s.load("", strings.Replace(publishSite(port, "sockudo_publish {\nchannel room\nevent e\n}"), "secret ", "enabled off\nsecret ", 1))
	if err == nil || !strings.Contains(err.Error(), "app: demo is disabled") {
		t.Error(err)
	}
}

// A reload changes what is published, and loses nothing of the requests before and after.
func TestPublishReload(t *testing.T) {
	s, port := newServer(t), freePort(t)
	handlers := func(event string) string {
		return publishSite(port, "sockudo_publish {\nchannel room\nevent "+event+"\ndata {query.n}\n}\nrespond /x ok")
	}
	s.mustLoad("", handlers("one"))
	k := listen(t, port, "room")
	for _, event := range []string{"one", "two", "three"} {
		s.mustLoad("", handlers(event))
		for _, n := range []string{"1", "2", "3"} {
			if status, _ := request(t, "GET", "http://127.0.0.1:"+port+"/x?n="+n, nil); status != http.StatusOK {
				t.Error(status)
			}
			contains(t, k.expect(`"event":`), `"event":"`+event+`"`, `"data":"`+n+`"`)
		}
	}
}
