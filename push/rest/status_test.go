package rest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// Checklist: push 63, 66
func TestStatus(t *testing.T) {
	s := newSite(t)
	s.do("GET", "publish/p/status", "").fails(t, 404, "not_found", "publish")
	s.do("GET", "publish/"+strings.Repeat("x", 600)+"/status", "").fails(t, 404, "not_found", "publish")
	for id, target := range map[string]string{"channel": `{"type":"channel","channel":"empty"}`, "device": `{"type":"device","device_id":"nobody"}`} {
		read[any](t, s.do("POST", "publish", publishBody(id, target)), 202)
		begun := time.Now()
		s.ends(id, "succeeded")
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s has ended after %v", id, took)
		}
		s.do("GET", "publish/"+id+"/status", "").is(t, 200, `{"appId":"app-1","publishId":"`+id+`","state":"succeeded",`+
			`"counters":{"planned":0,"dispatched":0,"succeeded":0,"failed":0,"expired":0,"retryScheduled":0,"retryAttempted":0,"deadLettered":0},"fanoutRegime":"fastPath","errorReason":"no recipients"}`)
	}
	// Two of three are sent, one of them at the second attempt.
	tries := 0
	s.fcm.decide(func(n push.Notification) push.Result {
		switch n.Recipient.RegistrationToken {
		case "bad":
			return push.Result{Outcome: push.Rejected, Class: push.CallerPayload, Reason: "INVALID"}
		case "later":
			if tries++; tries == 1 {
				return push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "UNAVAILABLE"}
			}
		}
		return push.Result{Outcome: push.Accepted, MessageID: "m"}
	})
	read[any](t, s.do("POST", "publish", publishBody("p", strings.Join([]string{token("good"), token("bad"), token("later")}, ","))), 202)
	s.ends("p", "partiallySucceeded")
	s.do("GET", "publish/p/status", "").is(t, 200, `{"appId":"app-1","publishId":"p","state":"partiallySucceeded",`+
		`"counters":{"planned":3,"dispatched":3,"succeeded":2,"failed":1,"expired":0,"retryScheduled":1,"retryAttempted":1,"deadLettered":0},"fanoutRegime":"fastPath"}`)
	if got := read[published](t, s.do("POST", "publish", publishBody("p", rawTarget)), 202); got.Status != "partially_succeeded" {
		t.Errorf("%+v", got)
	}
	deliveries := read[list[push.DeliveryView]](t, s.do("GET", "publish/p/deliveries", ""), 200)
	if len(deliveries.Items) != 3 || deliveries.More {
		t.Fatalf("%+v", deliveries)
	}
	for i, want := range []string{"succeeded 1 m  ", "failed 1  caller_payload INVALID", "succeeded 2 m  "} {
		d := deliveries.Items[i]
		if got := fmt.Sprintf("%s %d %s %s %s", d.Outcome, d.Attempt, d.ProviderMessageID, d.FailureClass, d.Reason); got != want || d.Provider != push.FCM {
			t.Errorf("delivery %d is %+v", i, d)
		}
	}
	for _, list := range []string{"deliveries", "events"} {
		s.do("GET", "publish/nothing/"+list, "").fails(t, 404, "not_found", "publish")
	}
	s.do("GET", "publish/p/events", "").is(t, 200, `{"items":[],"next_cursor":null,"has_more":false}`)
}

// A page of deliveries has whole batches.
func TestDeliveryPages(t *testing.T) {
	s := newSite(t)
	targets := make([]string, 1024)
	for i := range targets {
		targets[i] = token(fmt.Sprintf("t%04d", i))
	}
	read[any](t, s.do("POST", "publish", publishBody("p", strings.Join(targets, ","))), 202)
	s.ends("p", "succeeded")
	views, sizes := walk[push.DeliveryView](s, "publish/p/deliveries", 100)
	batches := map[string]int{}
	for _, one := range views {
		batches[one.BatchID]++
	}
	if len(views) != 1024 || len(sizes) != len(batches) || len(batches) < 2 {
		t.Errorf("%d deliveries of %d batches in pages of %v", len(views), len(batches), sizes)
	}
}

// token is a target that needs no device.
func token(text string) string {
	return `{"type":"recipient","recipient":{"transportType":"gcm","registrationToken":"` + text + `"}}`
}

// Checklist: push 61
func TestCancel(t *testing.T) {
	s := newSite(t)
	at := time.Now().Add(time.Hour).UnixMilli()
	read[any](t, s.do("POST", "publish", publishBody("p", rawTarget, fmt.Sprintf(`,"notBeforeMs":%d`, at))), 202)
	if got := read[push.Status](t, s.do("GET", "publish/p/status", ""), 200); got.State != "queued" || got.RetryAfterMS != at || got.Counters.Planned != 1 {
		t.Errorf("%+v", got)
	}
	for range 2 {
		s.do("DELETE", "scheduled/p", "").is(t, 204, "")
	}
	s.ends("p", "cancelled")
	s.do("DELETE", "scheduled/nothing", "").fails(t, 404, "not_found", "publish")
	read[any](t, s.do("POST", "publish", publishBody("q", rawTarget)), 202)
	s.ends("q", "succeeded")
	s.do("DELETE", "scheduled/q", "").fails(t, 409, "conflict", "not waiting")
	if sent := s.fcm.notifications(); len(sent) != 1 || sent[0].PublishID != "q" {
		t.Errorf("sent: %+v", sent)
	}
}

// Checklist: push 59
func TestNotBefore(t *testing.T) {
	s := newSite(t)
	at := time.Now().Add(2 * time.Second)
	read[any](t, s.do("POST", "publish", publishBody("p", rawTarget, fmt.Sprintf(`,"notBeforeMs":%d`, at.UnixMilli()))), 202)
	until(t, "it is sent", func() bool {
		now := time.Now()
		if len(s.fcm.notifications()) == 0 {
			return false
		}
		if now.Before(at.Truncate(time.Millisecond)) {
			t.Errorf("it was sent %v too early", at.Sub(now))
		}
		return true
	})
	s.ends("p", "succeeded")
}

func reportBody(publish, event string) string {
	return `{"appId":"app-1","publishId":"` + publish + `","eventId":"` + event + `","occurredAtMs":1779213600000,` +
		`"result":{"appId":"app-1","publishId":"` + publish + `","provider":"fcm","batchId":"fast-batch-fcm-1","deviceId":"android-1",` +
		`"outcome":"accepted","providerMessageId":"projects/p/messages/1","attempt":1,` +
		`"error":{"class":"quota","failureClass":"provider_quota","reason":"text","retryAfterMs":1779213660000}}}`
}

// Reports are kept and can be read again, and change nothing else.
func TestReports(t *testing.T) {
	s := newSite(t)
	read[any](t, s.do("POST", "publish", publishBody("p", rawTarget)), 202)
	before := s.ends("p", "succeeded")
	for _, event := range []string{"e1", "e2", "e3", "e2"} {
		s.do("POST", "deliveryStatus", strings.ReplaceAll(reportBody("p", event), "app-1", "app-2")).is(t, 202, reportBody("p", event))
	}
	s.do("GET", "publish/p/events", "").is(t, 200, `{"items":[`+reportBody("p", "e1")+","+reportBody("p", "e2")+","+reportBody("p", "e3")+`],"next_cursor":null,"has_more":false}`)
	if all, sizes := walk[deliveryReport](s, "publish/p/events", 2); len(all) != 3 || len(sizes) != 2 || all[2].EventID != "e3" {
		t.Errorf("%v %+v", sizes, all)
	}
	if after := s.ends("p", "succeeded"); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
	// The least that is needed, and a reason that must not be shown.
	s.do("POST", "deliveryStatus", `{"publishId":"p","eventId":"e","occurredAtMs":1,"result":{"provider":"webpush","outcome":"rejected","error":{"reason":"see https://push.example/secret"}}}`).is(t, 202,
		`{"appId":"app-1","publishId":"p","eventId":"e","occurredAtMs":1,"result":{"appId":"app-1","publishId":"p","provider":"webPush","batchId":"","outcome":"rejected","attempt":0,`+
			`"error":{"class":"","reason":"[REDACTED:`+push.Hash("see https://push.example/secret")[:12]+`]"}}}`)
	for field, change := range map[string][2]string{
		"publishId": {`"publishId":"p"`, `"publishId":""`}, "eventId": {`"e1"`, `""`}, "occurredAtMs": {"1779213600000", "0"}, "result.provider": {`"fcm"`, `"x"`},
		"result.outcome": {`"accepted"`, `"fine"`}, "result.attempt": {`"attempt":1`, `"attempt":-1`}, "result.error.failureClass": {"provider_quota", "x"},
		"result.publishId": {`"appId":"app-1","publishId":"p","provider"`, `"publishId":"q","provider"`}, "result.error.retryAfterMs": {"1779213660000", "-1"},
		"result.batchId": {"fast-batch", strings.Repeat("x", 600)},
	} {
		s.do("POST", "deliveryStatus", strings.ReplaceAll(reportBody("p", "e1"), change[0], change[1])).fails(t, 400, "invalid_input", field)
	}
}
