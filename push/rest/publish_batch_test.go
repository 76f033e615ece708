package rest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/push"
)

// Checklist: push 57
func TestBatch(t *testing.T) {
	s := newSite(t)
	batch := func(items ...string) string { return "[" + strings.Join(items, ",") + "]" }
	got := read[list[published]](t, s.do("POST", "batch/publish", batch(publishBody("a", rawTarget), publishBody("b", rawTarget), publishBody("c", rawTarget))), 202)
	for i, id := range []string{"a", "b", "c"} {
		if len(got.Items) != 3 || got.Items[i].PublishID != id || len(got.Items[i].Rendered) != 6 {
			t.Fatalf("%+v", got.Items)
		}
		s.ends(id, "succeeded")
	}
	s.do("POST", "batch/publish", "[]").is(t, 202, `{"items":[]}`)

	// The first fault ends the call, and what was before it is delivered.
	bad := `{"recipients":[],"payload":{}}`
	s.do("POST", "batch/publish", batch(publishBody("d", rawTarget), bad, publishBody("e", rawTarget))).fails(t, 400, "invalid_input", "[1].recipients: ")
	s.ends("d", "succeeded")
	s.do("GET", "publish/e/status", "").fails(t, 404, "not_found", "publish")
	// What is no publish at all is seen before anything is done.
	s.do("POST", "batch/publish", batch(publishBody("f", rawTarget), `{"payload":7}`)).fails(t, 400, "invalid_input", "[1].payload: ")
	s.do("POST", "batch/publish", batch(publishBody("f", rawTarget), `7`)).fails(t, 400, "invalid_input", "[1]: ")
	s.do("GET", "publish/f/status", "").fails(t, 404, "not_found", "publish")

	for _, body := range []string{`{}`, `null`, `"x"`, publishBody("", rawTarget)} {
		s.do("POST", "batch/publish", body).fails(t, 400, "invalid_input", "an array")
	}
	s.do("POST", "batch/publish", "["+strings.Repeat("{},", 1000)+"{}]").fails(t, 400, "invalid_input", "more than 1000")
	s.do("POST", "batch/publish?mode=x", "[]").fails(t, 400, "invalid_input", "mode")
}

// An itemized batch has an answer for each publish.
func TestItemizedBatch(t *testing.T) {
	s := newSite(t)
	var got struct{ Items []json.RawMessage }
	answer := s.do("POST", "batch/publish?mode=itemized", `[{"recipients":[],"payload":{}},7,`+publishBody("a", rawTarget)+`,{"payload":{"title":3}}]`)
	got = read[struct{ Items []json.RawMessage }](t, answer, 202)
	want := []string{
		`{"error":"recipients: there must be 1 to 1024 of them, not 0","code":"invalid_input","status":400}`,
		`{"error":"body: it cannot be a JSON number","code":"invalid_input","status":400}`, "",
		`{"error":"payload.title: it cannot be a JSON number","code":"invalid_input","status":400}`,
	}
	if len(got.Items) != 4 {
		t.Fatal(answer.body)
	}
	for i, text := range want {
		if text != "" && string(got.Items[i]) != text {
			t.Errorf("item %d is %s, not %s", i, got.Items[i], text)
		}
	}
	if !strings.HasPrefix(string(got.Items[2]), `{"publishId":"a","status":"accepted"`) || answer.header.Get("Retry-After") != "" {
		t.Errorf("%s", answer.body)
	}
	s.ends("a", "succeeded")

	// The pause that one item asks for is that of the call.
	limited := newSite(t, func(one *setup) { one.pipeline.Lag.Refuse = true })
	refused := limited.do("POST", "batch/publish?mode=itemized", "["+publishBody("a", rawTarget)+`,{"recipients":[],"payload":{}}]`)
	refused.is(t, 202, `{"items":[{"error":"push pipeline is applying backpressure","code":"rate_limited","status":429},`+want[0]+`]}`)
	if refused.header.Get("Retry-After") != "5" {
		t.Errorf("%v", refused.header)
	}
	limited.store.fail.Store(true)
	limited.do("POST", "batch/publish?mode=itemized", "["+publishBody("a", `{"type":"device","deviceId":"d"}`)+"]").is(t, 202,
		`{"items":[{"error":"Internal server error","code":"internal_error","status":500}]}`)
}

// A target that appears twice is one notification, by whatever way.
// Checklist: push 67
func TestTargetsAreOnce(t *testing.T) {
	s := newSite(t)
	s.device("d")
	read[any](t, s.do("POST", "channelSubscriptions", `{"channel":"c","deviceId":"d"}`), 201)
	const all = `{"type":"device","deviceId":"d"},{"type":"client","clientId":"user-42"},{"type":"channel","channel":"c"},{"type":"device","deviceId":"d"},` +
		`{"type":"recipient","recipient":{"transportType":"gcm","registrationToken":"fcm-d"}}`
	read[any](t, s.do("POST", "publish", publishBody("p", all)), 202)
	if status := s.ends("p", "succeeded"); status.Counters.Planned != 1 || status.Counters.Succeeded != 1 {
		t.Errorf("%+v", status)
	}
	if sent := s.fcm.notifications(); len(sent) != 1 || sent[0].App != appID || sent[0].Recipient.Kind() != push.FCM {
		t.Errorf("sent: %+v", sent)
	}
}
