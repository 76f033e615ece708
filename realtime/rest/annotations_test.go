package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// annotated is a hub as far as annotations need one: messages m-1 and m-2 of a channel,
// some sockets, and a note of what it was told.
type annotated struct {
	policy history.AnnotationPolicy
	actors map[string]protocol.Actor
	fail   error

	mu   sync.Mutex
	told []string
}

func (h *annotated) AnnotationPolicy(app *storage.App, channel string) history.AnnotationPolicy {
	p := h.policy
	p.Annotations.App, p.Annotations.Channel, p.Annotations.Now = app.ID, channel, time.Now().UnixMilli()
	return p
}

func (h *annotated) HasMessage(_ context.Context, _ *storage.App, channel, serial string) (bool, error) {
	return channel == "chat-1" && (serial == "m-1" || serial == "m-2"), h.fail
}

func (h *annotated) Actor(_ *storage.App, socketID string) (protocol.Actor, bool) {
	actor, ok := h.actors[socketID]
	return actor, ok
}

func (h *annotated) Annotated(_ context.Context, app *storage.App, channel string, s history.Summary, a protocol.Annotation, deleted string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, fmt.Sprintf("%s %s %s %s %s | %s %s %s", app.ID, channel, s.Message, s.Type, s.JSON, a.Action, a.Serial, deleted))
	return h.fail
}

// capabilities permit operations on chat-1.
func capabilities(t testing.TB, operations ...string) *protocol.Capabilities {
	t.Helper()
	lists := map[string][]string{"subscribe": {}, "publish": {}}
	for _, op := range operations {
		lists[op] = []string{"chat-1"}
	}
	text, _ := json.Marshal(lists)
	c, err := protocol.ParseSigninCapabilities(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// annotating is a node whose endpoints of annotations ask a hub of the test.
func annotating(t testing.TB) (*node, *annotated) {
	t.Helper()
	n := newNode(t, testApp())
	store := memory.NewHistory(0)
	t.Cleanup(func() { _ = store.Close() })
	h := &annotated{policy: history.AnnotationPolicy{
		Versions: true, Enabled: true, Allowed: true, History: true, PageSize: 100,
		Annotations: history.Annotations{Store: store, MaxFrame: 64 << 10}, Cache: history.NewAnnotationCache(0),
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveAnnotations(n.handler, h, w, r) }))
	t.Cleanup(server.Close)
	n.server = server
	return n, h
}

// serveAnnotations does what the handler does, for the endpoints of annotations.
func serveAnnotations(handler *Handler, hub annotator, w http.ResponseWriter, r *http.Request) {
	rest, _ := strings.CutPrefix(trimSlash(r.URL.EscapedPath()), "/apps/")
	app, tail, _ := strings.Cut(rest, "/")
	rt := annotationRoute(r.Method, tail, func(*call) annotator { return hub })
	if rt == nil {
		writeNotFound(w)
		return
	}
	if !rt.allows(r.Method) {
		w.Header().Set("Allow", rt.allow)
		methodNotAllowed.with("Method not allowed").write(w)
		return
	}
	live, err := handler.hub.Live()
	if err != nil {
		errNoSettings.write(w)
		return
	}
	defer live.Release()
	c := newCall(handler, live, w, r)
	c.serve(rt, app, "")
	c.free()
}

const annotationsPath = "channels/chat-1/messages/m-1/annotations"

func (n *node) annotate(members ...any) answer {
	n.t.Helper()
	return n.post(annotationsPath, body(members...))
}

func (n *node) unannotate(serial string, params ...string) answer {
	n.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		values.Set(params[i], params[i+1])
	}
	return n.do(request{method: http.MethodDelete, path: "/apps/" + appID + "/" + annotationsPath + "/" + serial, params: values})
}

func annotationNumber(n int) string { return fmt.Sprintf("ann:%020d", n) }

func created(n int) string { return `{"annotationSerial":"` + annotationNumber(n) + `"}` }

func removed(by, n int) string {
	return `{"annotationSerial":"` + annotationNumber(by) + `","deletedAnnotationSerial":"` + annotationNumber(n) + `"}`
}

func TestAnnotationsAreTold(t *testing.T) {
	n, h := annotating(t)
	n.annotate("type", "r:distinct.v1", "name", "like", "clientId", "u1", "count", 1, "data", map[string]any{"any": "json"}, "encoding", "json").is(t, 200, created(1))
	n.annotate("type", "r:distinct.v1", "name", "like", "clientId", "u2").is(t, 200, created(2))
	n.unannotate(annotationNumber(1)).is(t, 200, removed(3, 1))
	want := []string{
		`app-id chat-1 m-1 r:distinct.v1 {"like":{"total":1,"clientIds":["u1"],"clipped":false}} | annotation.create ` + annotationNumber(1) + " ",
		`app-id chat-1 m-1 r:distinct.v1 {"like":{"total":2,"clientIds":["u1","u2"],"clipped":false}} | annotation.create ` + annotationNumber(2) + " ",
		`app-id chat-1 m-1 r:distinct.v1 {"like":{"total":1,"clientIds":["u2"],"clipped":false}} | annotation.delete ` + annotationNumber(3) + " " + annotationNumber(1),
	}
	if got := strings.Join(h.told, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	var page struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(n.get(annotationsPath).body), &page); err != nil || len(page.Items) != 3 {
		t.Fatal(page, err)
	}
	if first := page.Items[0]; first["id"] == nil || fmt.Sprint(first["data"]) != "map[any:json]" || first["encoding"] != "json" || first["count"] != 1.0 {
		t.Errorf("%v", first)
	}
	if last := page.Items[2]; last["id"] != nil || last["data"] != nil || last["encoding"] != nil || last["count"] != 1.0 || last["clientId"] != "u1" {
		t.Errorf("%v", last)
	}
}

func TestAnnotationGates(t *testing.T) {
	n, h := annotating(t)
	n.annotate("type", "r:total.v1").is(t, 200, created(1))
	whole := h.policy
	each := func(list bool, remove bool, status int, code, text string) {
		t.Helper()
		n.post(annotationsPath, "{").fails(t, status, code, text) // before the body
		if list {
			n.get(annotationsPath, "limit", "0").fails(t, status, code, text)
		}
		if remove {
			n.unannotate("none").fails(t, status, code, text)
		}
	}
	h.policy.History = false
	each(true, false, 422, "feature_disabled", "Durable history is disabled by policy for channel 'chat-1'")
	n.unannotate(annotationNumber(1)).is(t, 200, removed(2, 1))
	h.policy.Allowed = false
	each(true, true, 403, "forbidden", "Annotations are disabled by channel policy for channel 'chat-1'")
	h.policy.Enabled = false
	each(true, true, 422, "feature_disabled", "Annotations are disabled globally for channel 'chat-1'")
	h.policy.Versions = false
	each(true, true, 422, "feature_disabled", "Versioned messages are disabled for channel 'chat-1'")
	for _, r := range []request{{method: "POST", body: "{"}, {method: "GET"}} {
		r.path = "/apps/app-id/channels/a%20b/messages/m-1/annotations"
		n.do(r).fails(t, 400, "invalid_input", "Channel name contains invalid characters")
	}
	h.policy = whole
	n.post("channels/chat-1/messages/none/annotations", "{").fails(t, 400, "invalid_input", "not valid JSON")
	const missing = "Message 'none' was not found in channel 'chat-1'"
	n.post("channels/chat-1/messages/none/annotations", `{"type":"r:total.v1"}`).fails(t, 404, "not_found", missing)
	n.do(request{method: "DELETE", path: "/apps/app-id/channels/chat-1/messages/none/annotations/x"}).fails(t, 404, "not_found", missing)
	n.get("channels/chat-1/messages/none/annotations").is(t, 200,
		`{"channel":"chat-1","messageSerial":"none","limit":100,"hasMore":false,"nextCursor":null,"items":[]}`)
	n.post("channels/chat-1/messages/"+strings.Repeat("x", 129)+"/annotations", `{"type":"r:total.v1"}`).
		fails(t, 400, "invalid_input", "message_serial must be at most 128 bytes")
}

// Checklist: http-api 143
func TestHTTP143AnnotationsThatAreRefused(t *testing.T) {
	n, h := annotating(t)
	const noName, noClient = "annotation name is required for this annotation type", "annotation client_id is required for this annotation type"
	for text, c := range map[string]struct {
		status int
		says   string
	}{
		`{"type":"reactions"}`:   {400, "annotation type must use namespace:summarizer.version"},
		`{"type":""}`:            {400, "annotation type must not be empty"},
		`{"type":"r:sum.v1"}`:    {400, "unsupported annotation summarizer"},
		`{"type":"r:total.v2"}`:  {400, "unsupported annotation summarizer version"},
		`{"type":"r :total.v1"}`: {400, "annotation type must not contain whitespace"},
		`{"type":"` + strings.Repeat("x", 256) + `:total.v1"}`:    {400, "annotation type must be at most 256 bytes"},
		`{"type":"r:total.v1","count":0}`:                         {400, "Annotation count must be greater than 0"},
		`{"type":"r:sum.v1","count":0}`:                           {400, "Annotation count must be greater than 0"},
		`{"type":"r:total.v1","count":9007199254740992}`:          {400, "Annotation count must be at most 9007199254740991"},
		`{"type":"r:distinct.v1","clientId":"u"}`:                 {400, noName},
		`{"type":"r:unique.v1","clientId":"u","name":" "}`:        {400, noName},
		`{"type":"r:multiple.v1","clientId":"u","name":null}`:     {400, noName},
		`{"type":"r:flag.v1"}`:                                    {400, noClient},
		`{"type":"r:distinct.v1","name":"n","clientId":""}`:       {400, noClient},
		`{"type":"r:unique.v1","name":"n","clientId":null}`:       {400, noClient},
		`{"type":"r:multiple.v1","name":"n","clientId":"\u2003"}`: {400, noClient},
		`{}`:                                     {422, "type must be a string"},
		`{"type":null}`:                          {422, "type must be a string"},
		`{"type":1}`:                             {422, "type must be a string"},
		`{"type":"r:total.v1","name":1}`:         {422, "name must be a string"},
		`{"type":"r:total.v1","clientId":{}}`:    {422, "clientId must be a string"},
		`{"type":"r:total.v1","client_id":[]}`:   {422, "client_id must be a string"},
		`{"type":"r:total.v1","socketId":1}`:     {422, "socketId must be a string"},
		`{"type":"r:total.v1","socket_id":1}`:    {422, "socket_id must be a string"},
		`{"type":"r:total.v1","encoding":true}`:  {422, "encoding must be a string"},
		`{"type":"r:total.v1","count":-1}`:       {422, "count must be a whole number"},
		`{"type":"r:total.v1","count":1.5}`:      {422, "count must be a whole number"},
		`{"type":"r:total.v1","count":"1"}`:      {422, "count must be a whole number"},
		`[]`:                                     {422, "must be a JSON object"},
		`{"type":"r:total.v1"`:                   {400, "not valid JSON"},
		`{"type":"r:total.v1","socketId":"abc"}`: {400, "Invalid socket_id: 'abc'"},
	} {
		n.post(annotationsPath, text).fails(t, c.status, "invalid_input", c.says)
	}
	if len(h.told) > 0 {
		t.Errorf("told %q", h.told)
	}
	for i, text := range []string{
		`{"type":"r:total.v1","count":null,"name":null,"more":1}`, `{"type":"r:total.v1","count":9007199254740991}`,
		`{"type":"r:multiple.v1","name":"n"}`, `{"type":"r:flag.v1","clientId":"u","count":2}`, `{"type":"x","type":"r:total.v1","count":0,"count":1}`,
	} {
		n.post(annotationsPath, text).is(t, 200, created(i+1))
	}
}

// Checklist: http-api 151
func TestHTTP151BothSpellings(t *testing.T) {
	n, h := annotating(t)
	h.actors = map[string]protocol.Actor{"1.2": {Version: protocol.V2, ClientID: "u3", Capabilities: capabilities(t, "publish", "annotation-publish")}}
	n.annotate("type", "r:flag.v1", "clientId", "u1").is(t, 200, created(1))
	n.annotate("type", "r:flag.v1", "client_id", "u2").is(t, 200, created(2))
	n.annotate("type", "r:flag.v1", "socket_id", "1.2").is(t, 200, created(3))
	n.annotate("type", "r:flag.v1", "socketId", "1.2").is(t, 200, created(4))
	n.annotate("type", "r:flag.v1", "clientId", "u4", "client_id", "u5").is(t, 200, created(5))
	if got := h.told[len(h.told)-1]; !strings.Contains(got, `"clientIds":["u1","u2","u3","u4"]`) {
		t.Error(got)
	}
}

func TestAnnotationsInTheNameOfASocket(t *testing.T) {
	n, h := annotating(t)
	h.actors = map[string]protocol.Actor{
		"1.1": {Version: protocol.V1, ClientID: "u1", Capabilities: capabilities(t, "publish", "annotation-publish")},
		"1.2": {Version: protocol.V2, ClientID: "u1", Capabilities: capabilities(t, "publish", "annotation-publish", "annotation-delete-own")},
		"1.3": {Version: protocol.V2, ClientID: "u1"},
		"1.4": {Version: protocol.V2, ClientID: "u1", Capabilities: capabilities(t, "annotation-publish")},
		"1.5": {Version: protocol.V2, Capabilities: capabilities(t, "publish", "annotation-publish", "annotation-delete-any", "annotation-delete-own")},
		"1.6": {Version: protocol.V2, ClientID: "u6", Capabilities: capabilities(t, "annotation-delete-any")},
		"1.7": {Version: protocol.V2, ClientID: "u7", Capabilities: capabilities(t, "annotation-delete-own", "subscribe", "annotation-subscribe")},
	}
	for socket, c := range map[string]struct {
		status     int
		code, says string
	}{
		"9.9": {401, "auth_failed", "Annotation actor socket '9.9' is not connected"}, "1.1": {401, "auth_failed", "Annotation actor socket must use protocol V2"},
		"1.3": {403, "forbidden", "annotation-publish capability is required for channel 'chat-1'"},
		"1.4": {403, "forbidden", "annotation-publish capability is required for channel 'chat-1'"}, "": {400, "invalid_input", "Invalid socket_id: ''"},
	} {
		n.annotate("type", "r:flag.v1", "socketId", socket).fails(t, c.status, c.code, c.says)
	}
	n.annotate("type", "r:flag.v1", "socketId", "1.2", "clientId", "u2").fails(t, 401, "auth_failed", "Requested client_id 'u2' does not match authenticated actor")
	n.annotate("type", "r:flag.v1", "socketId", "1.5", "clientId", "u2").fails(t, 401, "auth_failed", "does not match")
	n.annotate("type", "r:flag.v1", "socketId", "1.5", "clientId", "").fails(t, 401, "auth_failed", "does not match")
	n.annotate("type", "r:flag.v1", "socketId", "1.5").fails(t, 400, "invalid_input", "annotation client_id is required")
	n.annotate("type", "r:flag.v1", "socketId", "1.2", "clientId", "u1").is(t, 200, created(1))
	n.annotate("type", "r:total.v1", "socketId", "1.5").is(t, 200, created(2))
	const either = "annotation-delete-own or annotation-delete-any capability is required for channel 'chat-1'"
	for socket, c := range map[string]struct {
		status     int
		code, says string
	}{
		"9.9": {401, "auth_failed", "is not connected"}, "1.1": {401, "auth_failed", "protocol V2"}, "1.3": {403, "forbidden", either}, "1.7": {403, "forbidden", either},
		"1.5": {403, "forbidden", "annotation-delete-any requires an identified client"}, "x": {400, "invalid_input", "Invalid socket_id"},
	} {
		n.unannotate(annotationNumber(1), "socket_id", socket).fails(t, c.status, c.code, c.says)
	}
	n.unannotate(annotationNumber(2), "socket_id", "1.2").fails(t, 403, "forbidden", either) // of nobody, so not its own
	n.unannotate(annotationNumber(1), "socket_id", "1.2").is(t, 200, removed(3, 1))
	n.unannotate(annotationNumber(2), "socketId", "1.6").is(t, 200, removed(4, 2))
	for socket, c := range map[string]struct {
		status     int
		code, says string
	}{
		"9.9": {401, "auth_failed", "Annotation subscriber socket '9.9' is not connected"}, "1.1": {401, "auth_failed", "Annotation subscriber socket must use protocol V2"},
		"1.2": {403, "forbidden", "annotation-subscribe capability is required for channel 'chat-1'"}, "1.3": {403, "forbidden", "annotation-subscribe"},
	} {
		n.get(annotationsPath, "socket_id", socket).fails(t, c.status, c.code, c.says)
	}
	if got := n.get(annotationsPath, "socket_id", "1.7"); got.status != 200 {
		t.Error(got.status, got.body)
	}
}

// Checklist: http-api 147
func TestHTTP147DeletingTwice(t *testing.T) {
	n, h := annotating(t)
	n.annotate("type", "r:total.v1").is(t, 200, created(1))
	n.unannotate(annotationNumber(1)).is(t, 200, removed(2, 1))
	n.unannotate(annotationNumber(1)).is(t, 200, removed(1, 1))
	if len(h.told) != 2 {
		t.Errorf("told %q", h.told)
	}
	if got := n.get(annotationsPath).body; strings.Count(got, "annotation.delete") != 1 {
		t.Error(got)
	}
}

// Checklist: http-api 148
func TestHTTP148WhatCannotBeDeleted(t *testing.T) {
	n, _ := annotating(t)
	n.annotate("type", "r:total.v1").is(t, 200, created(1))
	n.unannotate(annotationNumber(1)).is(t, 200, removed(2, 1))
	n.unannotate(annotationNumber(2)).fails(t, 400, "invalid_input", "Only annotation.create events can be deleted")
	n.do(request{method: "DELETE", path: "/apps/app-id/channels/chat-1/messages/m-2/annotations/" + annotationNumber(1)}).
		fails(t, 404, "not_found", "Annotation '"+annotationNumber(1)+"' does not target message 'm-2'")
	n.do(request{method: "DELETE", path: "/apps/app-id/channels/chat-1/messages/m-2/annotations/" + annotationNumber(2)}).
		fails(t, 404, "not_found", "does not target message 'm-2'")
	for _, serial := range []string{annotationNumber(3), annotationNumber(0), "ann:1", "a%20b"} {
		name, _ := url.PathUnescape(serial)
		n.unannotate(serial).fails(t, 404, "not_found", "Annotation '"+name+"' was not found in channel 'chat-1'")
	}
}

// Checklist: http-api 149
func TestHTTP149List(t *testing.T) {
	n, h := annotating(t)
	h.policy.PageSize = 3
	for i := range 4 {
		n.annotate("type", "r:total.v1", "name", fmt.Sprint(i)).is(t, 200, created(2*i+1))
		n.annotate("type", "r:flag.v1", "clientId", "u").is(t, 200, created(2*i+2))
	}
	for _, c := range []struct {
		params []string
		limit  int
		want   string
	}{
		{nil, 3, "1 2 3|4 5 6|7 8"},
		{[]string{"limit", "100"}, 3, "1 2 3|4 5 6|7 8"},
		{[]string{"limit", "2", "type", "r:total.v1"}, 2, "1 3|5 7"},
		{[]string{"type", "r:flag.v1", "from_serial", annotationNumber(4)}, 3, "6 8"},
		{[]string{"type", "r:none.v1"}, 0, "400"},
		{[]string{"type", "r:unique.v1"}, 3, ""},
	} {
		var pages []string
		params := c.params
		for more := true; more; {
			got := n.get(annotationsPath, params...)
			if got.status != 200 {
				pages = append(pages, fmt.Sprint(got.status))
				break
			}
			var page struct {
				Channel, MessageSerial string
				Limit                  int
				HasMore                bool
				NextCursor             *string
				Items                  []struct{ Serial, MessageSerial string }
			}
			if err := json.Unmarshal([]byte(got.body), &page); err != nil {
				t.Fatal(err)
			}
			if page.Channel != "chat-1" || page.MessageSerial != "m-1" || page.Limit != c.limit || (page.NextCursor != nil) != page.HasMore {
				t.Errorf("%v: %+v", params, page)
			}
			var serials []string
			for _, item := range page.Items {
				serials = append(serials, strings.TrimLeft(strings.TrimPrefix(item.Serial, "ann:"), "0"))
			}
			pages = append(pages, strings.Join(serials, " "))
			if more = page.HasMore; more {
				params = append(slices.Clip(c.params), "from_serial", *page.NextCursor)
			}
		}
		if got := strings.Join(pages, "|"); got != c.want {
			t.Errorf("%v: %s, want %s", c.params, got, c.want)
		}
	}
	n.get(annotationsPath, "limit", "0").fails(t, 400, "invalid_input", "Annotation event limit must be greater than 0")
	n.get(annotationsPath, "limit", "abc").fails(t, 400, "invalid_input", "limit must be a whole number: 'abc'")
	n.get(annotationsPath, "limit", "-1").fails(t, 400, "invalid_input", "limit must be a whole number")
	n.get(annotationsPath, "from_serial", "ann:1").fails(t, 400, "invalid_input", "from_serial is not the serial of an annotation: 'ann:1'")
	n.get(annotationsPath, "type", "").fails(t, 400, "invalid_input", "annotation type must not be empty")
}

// What is kept is answered, whoever could not be told, and what is not is no success.
func TestAnnotationsWhenSomethingFails(t *testing.T) {
	n, h := annotating(t)
	full := h.policy
	full.Annotations.Store = memory.NewHistory(1)
	n.annotate("type", "r:total.v1").is(t, 200, created(1))
	whole := h.policy
	h.policy = full
	n.annotate("type", "r:total.v1").fails(t, 500, "internal_error", "Internal server error")
	h.policy = whole
	n.annotate("type", "r:total.v1", "data", strings.Repeat("x", storage.MaxLogPayload)).fails(t, 413, "payload_too_large", "larger than can be kept")
	h.fail = errBackend
	for _, got := range []answer{n.annotate("type", "r:total.v1"), n.unannotate(annotationNumber(1))} {
		got.fails(t, 500, "internal_error", "Internal server error")
		if strings.Contains(got.body, errBackend.Error()) {
			t.Error("the answer tells what has failed:", got.body)
		}
	}
}

// untelling is a hub that cannot tell anybody.
type untelling struct{ *annotated }

func (untelling) Annotated(context.Context, *storage.App, string, history.Summary, protocol.Annotation, string) error {
	return errBackend
}

func TestAnnotationsThatNobodyCouldBeTold(t *testing.T) {
	n, h := annotating(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveAnnotations(n.handler, untelling{h}, w, r) }))
	defer server.Close()
	n.server = server
	n.annotate("type", "r:total.v1").is(t, 200, created(1))
	n.unannotate(annotationNumber(1)).is(t, 200, removed(2, 1))
}

func TestRoutesOfAnnotations(t *testing.T) {
	for _, tail := range []string{
		"channels", "channels/c", "channels/c/messages/m", "channels/c/messages/m/annotation", "channels//messages/m/annotations", "channels/c/messages//annotations",
		"channels/c/messages/m/annotations/", "channels/c/messages/m/annotations/a/b", "users/c/messages/m/annotations", "channels/c/history/m/annotations",
	} {
		if annotationRoute("GET", tail, nil) != nil {
			t.Errorf("%s has a route", tail)
		}
	}
	n, _ := annotating(t)
	for _, c := range []struct{ method, path, allow string }{
		{"PUT", "", allowAnnotations}, {"DELETE", "", allowAnnotations}, {"GET", "/" + annotationNumber(1), allowAnnotation}, {"POST", "/x", allowAnnotation},
	} {
		got := n.do(request{method: c.method, path: "/apps/app-id/" + annotationsPath + c.path})
		if got.status != 405 || got.header.Get("Allow") != c.allow {
			t.Errorf("%s: %d, %s", c.method, got.status, got.header.Get("Allow"))
		}
	}
	n.get("channels/chat-1/messages/m%2D1/annotations").is(t, 200, `{"channel":"chat-1","messageSerial":"m-1","limit":100,"hasMore":false,"nextCursor":null,"items":[]}`)
}
