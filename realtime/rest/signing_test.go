package rest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const vectorBody = `{"name":"order.created","channels":["orders"],"data":"{\"id\":\"ord_1\"}"}`

// The six vectors of section 1.6.
var vectors = []struct{ method, path, query, body, signature string }{
	{"POST", "/apps/app-id/events", "body_md5=02875efcc8fe5dff4e17f909dfbea1ad", vectorBody, "41bbfc43e8eb4e30f4162824e65b5920d39ea624bd022b3af5f60a26f806708c"},
	{"GET", "/apps/app-id/channels", "filter_by_prefix=presence-&info=user_count", "", "fd5a1b38d92aee2b7913a8cf43136cffab888ee5a097536910d6239f08eb68a2"},
	{"GET", "/apps/app-id/channels/presence-lobby", "Zkey=MixedCase%20Value&info=subscription_count%2Cuser_count", "", "73fbc40ed42fb3210442e22cfb1f3592bffd2d80a9c3106e51ad610276676cd6"},
	{"GET", "/apps/app-id/channels/room%20one", "info=subscription_count", "", "f2047bfa1952411ebdd2168b9360117d5539025deace6fa492a00cd5ad38d5d9"},
	{"POST", "/apps/app-id/users/u1/terminate_connections", "body_md5=99914b932bd37a50b983c5e7c90ae93b", "{}", "05a27cccae0fd91a5549cf8c5c72bcb2f1bed4287b2b09e6324b0bc92cb11077"},
	{"DELETE", "/apps/app-id/channels/chat/messages/m1/annotations/ann1", "", "", "9d33fdfdee9fdf24e9bc1df33d8132723b031cea2504bebf2c2877ef03289239"},
}

// vectorTime is when the vectors were signed.
var vectorTime = time.Unix(1700000000, 0)

// Checklist: http-api 15
func TestHTTP015Vectors(t *testing.T) {
	n := newNode(t, testApp())
	n.handler.now = func() time.Time { return vectorTime }
	for _, v := range vectors {
		query := "auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0&" + v.query
		got := n.do(request{method: v.method, path: v.path, body: v.body, query: new(query + "&auth_signature=" + v.signature)})
		wrong := n.do(request{method: v.method, path: v.path, body: v.body, query: new(query + "&auth_signature=" + strings.Repeat("0", 64))})
		switch {
		case v.method == "DELETE":
			// No endpoint of V1: the signature alone is checked, as the handler would.
			live, err := n.hub.Live()
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(v.method, v.path+"?"+query+"&auth_signature="+v.signature, nil)
			if f := newCall(n.handler, live, httptest.NewRecorder(), r).authenticate("app-id"); f != nil {
				t.Errorf("%s %s: %s", v.method, v.path, f.text)
			}
			live.Release()
		case got.status == 401 || got.status >= 500:
			t.Errorf("%s %s: %d %s", v.method, v.path, got.status, got.body)
		case wrong.status != 401:
			t.Errorf("%s %s with another signature: %d %s", v.method, v.path, wrong.status, wrong.body)
		}
	}
}

// sign is a query signed by the harness over the given pairs, in the given order.
func sign(method, path, body string, pairs ...string) *string {
	params := url.Values{}
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		params.Add(k, v)
	}
	return new(signed(method, path, params, body, appKey, appSecret, time.Now()))
}

// Checklist: http-api 16
func TestHTTP016QueryMissing(t *testing.T) {
	n := newNode(t, testApp())
	n.do(plain("GET", "/apps/app-id/channels")).fails(t, 400, "invalid_input", "Missing authentication query parameters")
	for query, text := range map[string]string{
		"&":                         "Query string is empty or invalid",
		"auth_key=%zz":              "Invalid authentication query parameters: ",
		"auth_key=a&auth_key=b":     "Invalid authentication query parameters: ",
		"%ff%fe=%&auth_key=app-key": "Invalid authentication query parameters: ",
	} {
		n.do(request{method: "GET", path: "/apps/app-id/channels", query: &query}).fails(t, 400, "invalid_input", text)
	}
	// "?" alone is a query that is empty.
	r := httptest.NewRequest("GET", "/apps/app-id/channels?", nil)
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r, "127.0.0.1")
	answer{w.Code, w.Header(), w.Body.String()}.fails(t, 400, "invalid_input", "Query string is empty or invalid")
}

// The status is Pusher's 401, where the checklist copies a 404.
// Checklist: http-api 17
func TestHTTP017UnknownKey(t *testing.T) {
	n := newNode(t, testApp())
	const text = "Application key not found or invalid: Invalid app key"
	n.do(request{method: "GET", path: "/apps/app-id/channels", key: "nobody", secret: appSecret}).fails(t, 401, "auth_failed", text)
	n.do(request{method: "GET", path: "/apps/app-id/channels", query: new("x=y")}).fails(t, 401, "auth_failed", text)
	n.do(request{method: "GET", path: "/apps/app-id/channels", query: new("Auth_Key=app-key")}).fails(t, 401, "auth_failed", text)
}

// Checklist: http-api 18
func TestHTTP018OtherApp(t *testing.T) {
	other := &storage.App{ID: "other", Key: "other-key", Secret: "other-secret", Enabled: true}
	drivers := memoryDrivers(t, testApp(), other)
	n := startNode(t, "node-1", drivers)
	got := n.do(request{method: "GET", path: "/apps/app-id/channels", key: "other-key", secret: "other-secret"})
	got.fails(t, 401, "auth_failed", "Authenticated app does not match route app_id")
	n.do(request{method: "GET", path: "/apps/%61pp-id/channels"}).is(t, 200, `{"channels":{}}`)
}

// Checklist: http-api 19
func TestHTTP019Timestamp(t *testing.T) {
	n := newNode(t, testApp())
	now := time.Unix(1800000000, 0)
	n.handler.now = func() time.Time { return now }
	const path = "/apps/app-id/channels"
	at := func(offset int64) answer {
		query := signed("GET", path, nil, "", appKey, appSecret, time.Unix(now.Unix()+offset, 0))
		return n.do(request{method: "GET", path: path, query: &query})
	}
	for _, offset := range []int64{0, 600, -600} {
		at(offset).is(t, 200, `{"channels":{}}`)
	}
	for _, offset := range []int64{601, -601, -1 << 40} {
		at(offset).fails(t, 401, "auth_failed", "Timestamp expired or too far in the future")
	}
	n.do(request{method: "GET", path: path, query: new("auth_key=app-key")}).fails(t, 401, "auth_failed", "auth_timestamp is missing")
	for _, value := range []string{"", "now", "1.5", "99999999999999999999"} {
		n.do(request{method: "GET", path: path, query: new("auth_key=app-key&auth_timestamp=" + value)}).fails(t, 401, "auth_failed", "Invalid auth_timestamp format")
	}
}

// An empty body needs no MD5 (Q2), unless one is given.
// Checklist: http-api 20
func TestHTTP020BodyMD5Missing(t *testing.T) {
	n := newNode(t, testApp())
	const path = "/apps/app-id/users/u1/terminate_connections"
	post := func(text string, pairs ...string) answer {
		query := signedGet(path, append(pairs, "auth_key="+appKey, "auth_timestamp="+strconv.FormatInt(time.Now().Unix(), 10))...)
		return n.do(request{method: "POST", path: path, body: text, query: &query})
	}
	const missing = "body_md5 is required and must be non-empty in query parameters for POST requests with a non-empty body"
	post("{}").fails(t, 401, "auth_failed", missing)
	post("{}", "body_md5=").fails(t, 401, "auth_failed", missing)
	post("", "body_md5=").fails(t, 401, "auth_failed", missing)
	post("").is(t, 200, `{"ok":true}`)
	post("", "body_md5=d41d8cd98f00b204e9800998ecf8427e").is(t, 200, `{"ok":true}`)
}

// signedGet signs exactly the given pairs for a POST.
func signedGet(path string, pairs ...string) string {
	query, text := url.Values{}, []string{}
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		query.Set(k, v)
		text = append(text, p)
	}
	slices.Sort(text)
	query.Set("auth_signature", protocol.Sign(appSecret, "POST\n"+path+"\n"+strings.Join(text, "&")))
	return query.Encode()
}

// Checklist: http-api 21
func TestHTTP021BodyMD5Wrong(t *testing.T) {
	n := newNode(t, testApp())
	const path = "/apps/app-id/events"
	query := signed("POST", path, nil, `{"other":1}`, appKey, appSecret, time.Now())
	n.do(request{method: "POST", path: path, body: `{}`, query: &query}).fails(t, 401, "auth_failed", "body_md5 mismatch")
	upper := signedGet(path, "auth_key="+appKey, "auth_timestamp="+strconv.FormatInt(time.Now().Unix(), 10), "body_md5=99914B932BD37A50B983C5E7C90AE93B")
	n.do(request{method: "POST", path: path, body: `{}`, query: &upper}).fails(t, 401, "auth_failed", "body_md5 mismatch")
}

// Checklist: http-api 22
func TestHTTP022BodyMD5OnGet(t *testing.T) {
	n := newNode(t, testApp())
	const path = "/apps/app-id/channels"
	n.do(request{method: "GET", path: path, query: sign("GET", path, "", "body_md5=d41d8cd98f00b204e9800998ecf8427e")}).
		fails(t, 401, "auth_failed", "body_md5 must not be present in query parameters for GET requests")
	// DELETE has no endpoint in V1; the check is the same for every method but POST.
	live, err := n.hub.Live()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	r := httptest.NewRequest("DELETE", path+"?"+*sign("DELETE", path, "", "body_md5="), nil)
	f := newCall(n.handler, live, httptest.NewRecorder(), r).authenticate(appID)
	if f == nil || !strings.Contains(f.text, "for DELETE requests") || f.status != 401 {
		t.Errorf("DELETE with body_md5: %+v", f)
	}
}

// Checklist: http-api 23
func TestHTTP023Signature(t *testing.T) {
	n := newNode(t, testApp())
	const path = "/apps/app-id/channels"
	good := signed("GET", path, nil, "", appKey, appSecret, time.Now())
	values, _ := url.ParseQuery(good)
	signature := values.Get("auth_signature")
	for _, bad := range []string{"", strings.ToUpper(signature), signature[:63], signature + "0", strings.Repeat("0", 64)} {
		values.Set("auth_signature", bad)
		n.do(request{method: "GET", path: path, query: new(values.Encode())}).fails(t, 401, "auth_failed", "Invalid API signature")
	}
	values.Del("auth_signature")
	n.do(request{method: "GET", path: path, query: new(values.Encode())}).fails(t, 401, "auth_failed", "Invalid API signature")
	n.do(request{method: "GET", path: path, key: appKey, secret: "wrong"}).fails(t, 401, "auth_failed", "Invalid API signature")
}

// Checklist: http-api 24, 25, 26, 27
func TestHTTP024QueryForms(t *testing.T) {
	n := newNode(t, testApp())
	const path = "/apps/app-id/channels"
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for name, c := range map[string]struct{ sent, text string }{
		"any order":              {"info=a&auth_timestamp=" + now + "&auth_version=1.0&auth_key=app-key", "auth_key=app-key&auth_timestamp=" + now + "&auth_version=1.0&info=a"},
		"keys in lower case":     {"Zeta=1&ALPHA=2&auth_key=app-key&auth_timestamp=" + now, "alpha=2&auth_key=app-key&auth_timestamp=" + now + "&zeta=1"},
		"plus is a space":        {"a=x+y&auth_key=app-key&auth_timestamp=" + now, "a=x y&auth_key=app-key&auth_timestamp=" + now},
		"escaped comma":          {"a=x%2Cy&auth_key=app-key&auth_timestamp=" + now, "a=x,y&auth_key=app-key&auth_timestamp=" + now},
		"plain comma":            {"a=x,y&auth_key=app-key&auth_timestamp=" + now, "a=x,y&auth_key=app-key&auth_timestamp=" + now},
		"last of repeated":       {"a=1&a=2&auth_key=app-key&auth_timestamp=" + now, "a=2&auth_key=app-key&auth_timestamp=" + now},
		"case decides repeated":  {"b=low&B=up&auth_key=app-key&auth_timestamp=" + now, "auth_key=app-key&auth_timestamp=" + now + "&b=low"},
		"no version":             {"auth_key=app-key&auth_timestamp=" + now, "auth_key=app-key&auth_timestamp=" + now},
		"version 2.0":            {"auth_key=app-key&auth_timestamp=" + now + "&auth_version=2.0", "auth_key=app-key&auth_timestamp=" + now + "&auth_version=2.0"},
		"key without a value":    {"flag&auth_key=app-key&auth_timestamp=" + now, "auth_key=app-key&auth_timestamp=" + now + "&flag="},
		"value with equals sign": {"a=b=c&auth_key=app-key&auth_timestamp=" + now, "a=b=c&auth_key=app-key&auth_timestamp=" + now},
	} {
		signature := protocol.Sign(appSecret, "GET\n"+path+"\n"+c.text)
		if got := n.do(request{method: "GET", path: path, query: new(c.sent + "&auth_signature=" + signature)}); got.status != 200 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	for _, twice := range []string{"auth_key=app-key&auth_key=app-key", "auth_signature=a&auth_signature=b", "body_md5=&body_md5="} {
		n.do(request{method: "GET", path: path, query: &twice}).fails(t, 400, "invalid_input", "Invalid authentication query parameters: ")
	}
	// A query of many parameters is a long text to sign and nothing else.
	huge := strings.Repeat("a=1&b=2&", 5000)
	signature := protocol.Sign(appSecret, "GET\n"+path+"\na=1&auth_key=app-key&auth_timestamp="+now+"&b=2")
	n.do(request{method: "GET", path: path, query: new(huge + "auth_key=app-key&auth_timestamp=" + now + "&auth_signature=" + signature)}).is(t, 200, `{"channels":{}}`)
}

// Checklist: http-api 28
func TestHTTP028Tampering(t *testing.T) {
	n := newNode(t, testApp())
	const events, text = "/apps/app-id/events", `{"name":"e","channel":"c"}`
	query := func() string { return signed("POST", events, nil, text, appKey, appSecret, time.Now()) }
	n.do(request{method: "POST", path: events, body: text, query: new(query())}).is(t, 200, `{}`)
	n.do(request{method: "POST", path: events, body: text + " ", query: new(query())}).fails(t, 401, "auth_failed", "body_md5 mismatch")
	n.do(request{method: "POST", path: "/apps/app-id/batch_events", body: text, query: new(query())}).fails(t, 401, "auth_failed", "Invalid API signature")
	n.do(request{method: "POST", path: events, body: text, query: new(query() + "&info=x")}).fails(t, 401, "auth_failed", "Invalid API signature")
	n.do(request{method: "POST", path: "/apps/app-id/event%73", body: text, query: new(query())}).is(t, 404, "404 NOT FOUND")
	get := signed("GET", "/apps/app-id/channels", nil, "", appKey, appSecret, time.Now())
	r, _ := http.NewRequest("HEAD", n.server.URL+"/apps/app-id/channels?"+get, nil)
	resp, err := n.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("another method: %d", resp.StatusCode)
	}
}

// Checklist: http-api 30
func TestHTTP030Replay(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("c")
	const path, text = "/apps/app-id/events", `{"name":"e","channel":"c","data":"d"}`
	query := signed("POST", path, nil, text, appKey, appSecret, time.Now())
	for range 2 {
		n.do(request{method: "POST", path: path, body: text, query: &query}).is(t, 200, `{}`)
	}
	if got := len(s.settle("c").events("e")); got != 2 {
		t.Errorf("%d deliveries", got)
	}
}

// Checklist: configuration 44
func TestConf044DisabledApp(t *testing.T) {
	n := newNode(t, testApp(func(a *storage.App) { a.Enabled = false }))
	for _, got := range []answer{n.get("channels"), n.post("events", `{"name":"e","channel":"c"}`)} {
		got.fails(t, 403, "forbidden", "disabled")
	}
	// Whoever cannot sign does not learn about it.
	n.do(request{method: "GET", path: "/apps/app-id/channels", key: appKey, secret: "wrong"}).fails(t, 401, "auth_failed", "Invalid API signature")
}

// Calls are counted with the sizes of their bodies, and only authenticated ones.
func TestCallsCounted(t *testing.T) {
	n := newNode(t, testApp())
	text := body("name", "e", "channel", "c")
	n.post("events", text).is(t, 200, `{}`)
	failed := n.post("events", `{}`)
	n.do(request{method: "GET", path: "/apps/app-id/channels", key: appKey, secret: "wrong"})
	metrics := gather(t, n.hub)
	for name, want := range map[string]float64{
		"http_calls_received_total": 2, "http_received_bytes": float64(len(text) + 2), "http_transmitted_bytes": float64(2 + len(failed.body)),
	} {
		if metrics[name] != want {
			t.Errorf("%s is %v, want %v", name, metrics[name], want)
		}
	}
}

// A hub without a configuration refuses and says when to come back.
func TestNoConfiguration(t *testing.T) {
	hub := realtime.NewHub("empty")
	w := httptest.NewRecorder()
	New(hub).ServeHTTP(w, httptest.NewRequest("GET", "/apps/a/channels?x=y", nil), "127.0.0.1")
	answer{w.Code, w.Header(), w.Body.String()}.fails(t, 503, "service_unavailable", "No configuration")
	if w.Header().Get("Retry-After") != "1" {
		t.Error("no Retry-After")
	}
	w = httptest.NewRecorder()
	New(hub).ServeHTTP(w, httptest.NewRequest("GET", "/up", nil), "127.0.0.1")
	if w.Code != 503 || w.Body.String() != "ERROR" {
		t.Errorf("/up: %d %s", w.Code, w.Body)
	}
}
