package rest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// Checklist: push 87, 88, 89, 90
func TestDeadLetters(t *testing.T) {
	s := newSite(t)
	unavailable := push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "UNAVAILABLE"}
	s.fcm.decide(func(n push.Notification) push.Result {
		if n.Recipient.RegistrationToken == "refused" {
			return push.Result{Outcome: push.Rejected, Class: push.CallerPayload, Reason: "INVALID"}
		}
		return unavailable
	})
	for i, want := range []string{"dead_lettered", "failed", "dead_lettered"} {
		target := token("down")
		if want == "failed" {
			target = token("refused")
		}
		id := fmt.Sprintf("p%d", i)
		read[any](t, s.do("POST", "publish", publishBody(id, target)), 202)
		s.ends(id, want)
	}
	got := s.do("GET", "deadLetters", "")
	all := read[list[push.DeadLetterView]](t, got, 200).Items
	if len(all) != 3 || all[0].PublishID != "p0" || all[1].PublishID != "p1" || all[2].PublishID != "p2" {
		t.Fatal(got.body)
	}
	first := fmt.Sprintf(`{"deadLetterId":"%s","appId":"app-1","publishId":"p0","provider":"fcm","stage":"RetrySchedule","key":"%s",`+
		`"reason":"retry attempts exhausted: provider_transient","occurredAtMs":%d,"replayable":true}`, all[0].ID, all[0].Key, all[0].OccurredAtMS)
	if !strings.HasPrefix(got.body, `{"items":[`+first+",") || all[1].Replayable || all[1].Provider != "" || strings.Contains(got.body, "down") {
		t.Errorf("%s", got.body)
	}
	for query, want := range map[string]string{
		"provider=fcm": "p0 p2", "provider=webpush": "", "provider=webPush": "", "provider=web_push": "", "provider=apns": "", "provider=hms": "", "provider=wns": "",
		fmt.Sprintf("sinceMs=%d", all[2].OccurredAtMS):                                 "p2",
		fmt.Sprintf("untilMs=%d", all[0].OccurredAtMS):                                 "p0",
		fmt.Sprintf("sinceMs=%d&untilMs=%d", all[1].OccurredAtMS, all[1].OccurredAtMS): "p1",
		fmt.Sprintf("sinceMs=0&untilMs=%d", time.Now().Add(time.Hour).UnixMilli()):     "p0 p1 p2",
		fmt.Sprintf("provider=fcm&sinceMs=%d", all[0].OccurredAtMS+1):                  "p2",
		"untilMs=0": "",
	} {
		var ids []string
		for _, one := range read[list[push.DeadLetterView]](t, s.do("GET", "deadLetters?"+query, ""), 200).Items {
			ids = append(ids, one.PublishID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %s, not %s", query, got, want)
		}
	}
	for _, query := range []string{"provider=pigeon", "provider=realtime", "provider=FCM", "provider=", "sinceMs=2&untilMs=1", "sinceMs=x", "untilMs=-1", "sinceMs=99999999999999999999"} {
		field, _, _ := strings.Cut(query, "=")
		s.do("GET", "deadLetters?"+query, "").fails(t, 400, "invalid_input", field)
	}
	if pages, sizes := walk[push.DeadLetterView](s, "deadLetters", 1); len(pages) != 3 || len(sizes) != 3 {
		t.Errorf("%v", sizes)
	}

	for _, id := range []string{"x", strings.Repeat("a", 64), strings.ToUpper(all[0].ID)} {
		s.do("POST", "deadLetters/"+id+"/replay", "").fails(t, 404, "not_found", "dead letter")
	}
	s.do("POST", "deadLetters/"+all[1].ID+"/replay", "").fails(t, 400, "invalid_input", "dead-letter does not retain an original queue payload")
	s.fcm.decide(nil)
	before := len(s.fcm.notifications())
	message := read[struct{ MessageID string }](t, s.do("POST", "deadLetters/"+all[0].ID+"/replay", ""), 202).MessageID
	s.do("POST", "deadLetters/"+all[0].ID+"/replay", "{}").is(t, 202, `{"deadLetterId":"`+all[0].ID+`","replayed":true,"messageId":"`+strings.TrimSuffix(message, "1")+`2"}`)
	until(t, "both are sent", func() bool { return len(s.fcm.notifications()) == before+2 })
	if status := s.ends("p0", "dead_lettered"); status.Counters.Replayed != 2 {
		t.Errorf("%+v", status)
	}
	if again := read[list[push.DeadLetterView]](t, s.do("GET", "deadLetters", ""), 200).Items[0]; again.Replayed != 2 || message == "" {
		t.Errorf("%+v %s", again, message)
	}
	if !slices.Contains(s.audits(), "deadLetterReplay "+all[0].ID) {
		t.Errorf("the audit log has %q", s.audits())
	}
}
