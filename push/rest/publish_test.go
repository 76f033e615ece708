package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/storage"
)

// published is the answer to a publish.
type published = push.Acceptance

// publishBody is a publish to targets, with further members.
func publishBody(id, targets string, more ...string) string {
	if id != "" {
		more = append(more, `,"publishId":`+strconv.Quote(id))
	}
	return `{"recipients":[` + targets + `],"payload":{"title":"T","body":"B"}` + strings.Join(more, "") + `}`
}

// raw is a target that needs no device.
const rawTarget = `{"type":"recipient","recipient":{"transportType":"gcm","registrationToken":"fcm-token-A"}}`

// ends waits for the end of a publish.
func (s *site) ends(id, state string) push.Status {
	s.t.Helper()
	var got push.Status
	until(s.t, id+" ends", func() bool {
		got = read[push.Status](s.t, s.do("GET", "publish/"+id+"/status", ""), 200)
		return got.Ended()
	})
	if got.State != state {
		s.t.Errorf("%s is %+v, not %s", id, got, state)
	}
	return got
}

// Checklist: push 45
func TestPublish(t *testing.T) {
	s := newSite(t)
	s.device("d")
	read[any](t, s.do("POST", "channelSubscriptions", `{"channel":"orders","deviceId":"d"}`), 201)
	got := s.do("POST", "publish", `{"publishId":"p","recipients":[{"type":"channel","channel":"orders"}],"payload":{"title":"T <1>","body":"B"},"unknown":{}}`)
	const scripted = `{"body":"B","title":"T <1>"}`
	var previews []string
	for _, kind := range []string{"fcm", "apns", "webPush", "hms", "wns", "realtime"} {
		payload := scripted
		switch kind {
		case "hms", "wns", "realtime": // nothing renders them here
			payload = `{"notification":{"title":"T <1>","body":"B"}}`
		}
		previews = append(previews, `{"provider":"`+kind+`","payload":`+payload+`,"usedOverride":false}`)
	}
	got.body = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(got.body)
	got.is(t, 202, `{"publishId":"p","status":"accepted","expectedRecipients":1,"fanoutRegime":"fastPath","renderedPayloads":[`+strings.Join(previews, ",")+`]}`)
	if got.header.Get(headerForced) != "" {
		t.Error("nobody has asked to wait")
	}
	s.ends("p", "succeeded")
	if sent := s.fcm.notifications(); len(sent) != 1 || sent[0].Recipient.RegistrationToken != "fcm-d" || sent[0].PublishID != "p" {
		t.Errorf("sent: %+v", sent)
	}
	// Without an id it gets one.
	if a := read[published](t, s.do("POST", "publish", publishBody("", rawTarget)), 202); len(a.PublishID) != 36 {
		t.Errorf("%+v", a)
	}
}

// Checklist: push 46, 60
func TestPublishFaults(t *testing.T) {
	s := newSite(t)
	past, later := time.Now().Add(-time.Hour).UnixMilli(), time.Now().Add(time.Hour).UnixMilli()
	for _, c := range []struct{ field, body string }{
		{"recipients", publishBody("", "")},
		{"recipients", publishBody("", strings.TrimSuffix(strings.Repeat(rawTarget+",", 1025), ","))},
		{"recipients", `{"payload":{}}`},
		{"payload", `{"recipients":[` + rawTarget + `]}`},
		{"recipients[0].type", publishBody("", `{"type":"userTopic","topic":"x"}`)},
		{"recipients[1].device_id", publishBody("", rawTarget+`,{"type":"device"}`)},
		{"recipients[0].recipient.endpoint", publishBody("", `{"type":"recipient","recipient":{"transportType":"web","endpoint":"http://a","p256dh":"b","auth":"c"}}`)},
		{"payload.icon", `{"recipients":[` + rawTarget + `],"payload":{"icon":"http://a/b"}}`},
		{"payload.title", `{"recipients":[` + rawTarget + `],"payload":{"title":"` + strings.Repeat("x", 257) + `"}}`},
		{"payload.title", `{"recipients":[` + rawTarget + `],"payload":{"title":"{{ data.x }}"}}`},
		{"payload.templateData", `{"recipients":[` + rawTarget + `],"payload":{"templateData":[]}}`},
		{"providerOverrides[0].provider", publishBody("", rawTarget, `,"providerOverrides":[{"provider":"pigeon","payload":{}}]`)},
		{"providerOverrides[0].payload", publishBody("", rawTarget, `,"providerOverrides":[{"provider":"fcm"}]`)},
		{"expiresAtMs", publishBody("", rawTarget, fmt.Sprintf(`,"expiresAtMs":%d`, past))},
		{"expiresAtMs", publishBody("", rawTarget, fmt.Sprintf(`,"notBeforeMs":%d,"expiresAtMs":%d`, later, later))},
		{"notBeforeMs", publishBody("", rawTarget, `,"notBeforeMs":"soon"`)},
		{"ttlSeconds", publishBody("", rawTarget, `,"ttlSeconds":-1`)},
		{"publishId", publishBody(strings.Repeat("x", 256), rawTarget)},
		{"mode: it must", ""},
		{headerConflict, ""},
	} {
		path, headers := "publish", []string(nil)
		switch {
		case strings.HasPrefix(c.field, "mode"):
			path += "?mode=later"
		case c.field == headerConflict:
			headers = []string{headerConflict, "maybe"}
		}
		got := s.do("POST", path, c.body, headers...)
		if got.fails(t, 400, "invalid_input", c.field); !strings.HasPrefix(got.body, `{"error":"`+c.field) {
			t.Errorf("%s is not what the refusal begins with: %s", c.field, got.body)
		}
	}
	for _, target := range []string{`{"type":"device","device_id":"d"}`, `{"type":"device","deviceId":"d"}`, `{"type":"client","client_id":"c"}`, `{"type":"client","clientId":"c"}`} {
		read[any](t, s.do("POST", "publish", publishBody("", target)), 202)
	}
	most := strings.TrimSuffix(strings.Repeat(`{"type":"device","device_id":"d"},`, 1024), ",")
	read[any](t, s.do("POST", "publish", publishBody("", most)), 202)
}

// A request with several faults is refused for the first one in the order of the steps.
// Checklist: push 47, 48, 49, 50
func TestPublishOrder(t *testing.T) {
	unready := func(one *setup) { delete(one.pipeline.Setups, push.WebPush) }
	const web = `{"type":"recipient","recipient":{"transportType":"web","endpoint":"https://a.example/b","p256dh":"b","auth":"c"}}`
	long := strings.Repeat("x", 4096)
	for name, c := range map[string]struct {
		change       func(*setup)
		target, more string
		status       int
		code, text   string
		retry        string
	}{
		"targets before a template":         {nil, `{"type":"x"}`, `"templateId":"none"`, 400, "invalid_input", "recipients[0].type", ""},
		"a template before what is enabled": {unready, web, `"templateId":"none"`, 400, "invalid_input", "payload.templateId", ""},
		"what is enabled before the rate": {
			func(one *setup) { unready(one); one.pipeline.Limiter = full{} }, web, "", 503, "service_unavailable",
			"push admission unavailable: the provider webPush is not enabled", "",
		},
		"the queue before the rate": {func(one *setup) { one.pipeline.Queue, one.pipeline.Limiter = sick{one.pipeline.Queue}, full{} }, rawTarget, "", 503, "service_unavailable", "queue", ""},
		"the rate before pressure":  {func(one *setup) { one.pipeline.Limiter = full{}; one.pipeline.Lag.Refuse = true }, rawTarget, "", 429, "rate_limited", "push acceptance rate exceeded", "1"},
		"no limiter":                {func(one *setup) { one.pipeline.Limiter = broken{} }, rawTarget, "", 503, "backpressure", "limiter", "1"},
		"pressure before rendering": {func(one *setup) { one.pipeline.Lag.Refuse = true }, rawTarget, `"title":"{{ data.x }}"`, 429, "rate_limited", "push pipeline is applying backpressure", "5"},
		"rendering":                 {nil, rawTarget, `"body":"` + long + `"`, 400, "invalid_input", "payload.fcm.payload", ""},
		"nothing is enabled": {
			func(one *setup) { one.pipeline.Setups = nil }, `{"type":"device","device_id":"d"}`, "", 503, "service_unavailable",
			"push admission unavailable: no provider is enabled", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			change := []func(*setup){}
			if c.change != nil {
				change = append(change, c.change)
			}
			s := newSite(t, change...)
			got := s.do("POST", "publish", `{"recipients":[`+c.target+`],"payload":{`+c.more+`}}`)
			got.fails(t, c.status, c.code, c.text)
			if retry := got.header.Get("Retry-After"); retry != c.retry {
				t.Errorf("Retry-After is %q, not %q", retry, c.retry)
			}
		})
	}
}

// full is a limiter that has no place, broken one that fails, and sick a queue that is
// out of order.
type (
	full   struct{ storage.RateLimiter }
	broken struct{ storage.RateLimiter }
	sick   struct{ storage.Queue }
)

func (full) Allow(context.Context, string, int, int, time.Duration) (storage.RateDecision, error) {
	return storage.RateDecision{Limit: 1, Reset: 300 * time.Millisecond}, nil
}

func (broken) Allow(context.Context, string, int, int, time.Duration) (storage.RateDecision, error) {
	return storage.RateDecision{}, errBackend
}

func (sick) Check(context.Context) error { return errors.New("out of order") }

// Checklist: push 49
func TestAcceptanceRate(t *testing.T) {
	s := newSite(t, func(one *setup) { one.pipeline.Quotas.AcceptanceRPS, one.idle = 3, true })
	until(t, "four in a second", func() bool {
		for range 4 {
			if got := s.do("POST", "publish", publishBody("", rawTarget)); got.status != 202 {
				got.fails(t, 429, "rate_limited", "rate")
				if retry, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || retry < 1 {
					t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
				}
				return true
			}
		}
		return false
	})
}

// Checklist: push 51
func TestWaitingPublishesAreNoLag(t *testing.T) {
	s := newSite(t, func(one *setup) { one.pipeline.Lag.Publishes = 2 })
	soon := fmt.Sprintf(`,"notBeforeMs":%d`, time.Now().Add(50*time.Second).UnixMilli())
	for range 10 {
		read[any](t, s.do("POST", "publish", publishBody("", rawTarget, soon)), 202)
	}
	s.fcm.decide(func(push.Notification) push.Result {
		return push.Result{Outcome: push.Rejected, Class: push.CallerPayload, Reason: "no"}
	})
	for i := range 10 {
		id := fmt.Sprintf("p%d", i)
		read[any](t, s.do("POST", "publish", publishBody(id, rawTarget)), 202)
		s.ends(id, "failed")
	}
	if n := len(read[list[any]](t, s.do("GET", "deadLetters", ""), 200).Items); n != 10 {
		t.Errorf("%d dead letters", n)
	}
}

// Checklist: push 52, 62
// Checklist: configuration 140
func TestQuotas(t *testing.T) {
	s := newSite(t, func(one *setup) { one.pipeline.Quotas.FanoutMax = 1 })
	two := `{"type":"client","clientId":"user-42"}`
	s.device("one")
	s.device("two")
	for range 2 {
		got := read[published](t, s.do("POST", "publish", publishBody("p", two)), 202)
		if got.Status != "quota_exceeded" || got.Expected != 2 {
			t.Errorf("%+v", got)
		}
	}
	if status := s.ends("p", "quota_exceeded"); status.ErrorReason != "fanout_max exceeded for app app-1" {
		t.Errorf("%+v", status)
	}
	if sent := s.fcm.notifications(); len(sent) != 0 {
		t.Errorf("%d are sent", len(sent))
	}
	for _, value := range []string{"", "0", "whatever"} {
		id := "over-" + value
		read[any](t, s.do("POST", "publish", publishBody(id, two), headerOverride, value), 202)
		s.ends(id, "succeeded")
		if !slices.Contains(s.audits(), "quotaOverride "+id) {
			t.Errorf("the audit log has %q", s.audits())
		}
	}
	read[any](t, s.do("POST", "batch/publish", "["+publishBody("over-batch", two)+"]", headerOverride, "1"), 202)
	s.ends("over-batch", "succeeded")
	if !slices.Contains(s.audits(), "quotaOverride over-batch") {
		t.Errorf("the audit log has %q", s.audits())
	}
}

// Checklist: push 53
func TestIdempotency(t *testing.T) {
	s := newSite(t)
	read[any](t, s.do("POST", "publish", publishBody("p", rawTarget)), 202)
	s.ends("p", "succeeded")
	other := strings.Replace(publishBody("p", rawTarget), `"T"`, `"U"`, 1)
	same := strings.Replace(publishBody("p", rawTarget), `"publishId"`, ` "idempotency_key"`, 1)
	for _, body := range []string{publishBody("p", rawTarget), other, same, strings.Replace(same, "idempotency_key", "idempotencyKey", 1)} {
		if got := read[published](t, s.do("POST", "publish", body), 202); got.PublishID != "p" || got.Status != "succeeded" || got.Expected != 1 {
			t.Errorf("%+v", got)
		}
	}
	for _, body := range []string{publishBody("p", rawTarget), same} {
		read[any](t, s.do("POST", "publish", body, headerConflict, "reject"), 202)
	}
	s.do("POST", "publish", other, headerConflict, "reject").fails(t, 409, "conflict", "publish id")
	read[any](t, s.do("POST", "publish", publishBody("q", rawTarget), headerConflict, "reject"), 202)
	s.ends("q", "succeeded")
	if sent := s.fcm.notifications(); len(sent) != 2 {
		t.Errorf("%d are sent", len(sent))
	}
}

// Checklist: push 54
func TestIdempotencyAtOnce(t *testing.T) {
	s := newSite(t, func(one *setup) { one.pipeline.Quotas.AcceptanceRPS = -1 })
	s.device("d")
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if got := s.do("POST", "publish", publishBody("p", `{"type":"device","deviceId":"d"}`)); got.status != 202 {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	all.Wait()
	s.ends("p", "succeeded")
	if sent := s.fcm.notifications(); len(sent) != 1 {
		t.Errorf("%d are sent", len(sent))
	}
}

// A payload that is too large for one provider matters to its recipients only.
// Checklist: push 55
func TestTooLargeForOthers(t *testing.T) {
	s := newSite(t, func(one *setup) { one.pipeline.Codecs[push.APNs] = narrow{one.pipeline.Codecs[push.APNs]} })
	got := read[published](t, s.do("POST", "publish", publishBody("p", rawTarget)), 202)
	if apns := got.Rendered[1]; string(apns.Payload) != "null" || !strings.Contains(apns.Error, "too large") || got.Rendered[0].Error != "" {
		t.Errorf("%+v", got.Rendered)
	}
	s.ends("p", "succeeded")
}

// narrow takes no payload.
type narrow struct{ push.Provider }

func (narrow) CheckPayload(json.RawMessage, bool) error {
	return push.Fault("payload", "it is too large")
}

// Checklist: push 58
func TestFanoutRegimes(t *testing.T) {
	s := newSite(t, func(one *setup) { one.idle, one.pipeline.FastThreshold = true, 3 })
	for n, want := range map[int]string{2: "fastPath", 3: "shardPath"} {
		targets := strings.TrimSuffix(strings.Repeat(rawTarget+",", n), ",")
		if got := read[published](t, s.do("POST", "publish", publishBody("", targets)), 202); got.FanoutRegime != want || got.Expected != int64(n) {
			t.Errorf("%d: %+v", n, got)
		}
	}
}
