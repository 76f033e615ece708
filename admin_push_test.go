package sockudo

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
)

// What has failed for good shows in the admin API and by the command, and can be sent again
// from there.
func TestDeadPush(t *testing.T) {
	s, f := newServer(t), pushtest.NewFCM(t)
	p := pushPort{t, freePort(t)}
	s.mustLoad("", site(p.port, "sockudo {\n"+appBlock+fcmBlock(f, "credentials_path "+f.ServiceAccountFile(t), "retry {\nmax_attempts 1\n}")+"}"))
	p.fcmDevice("phone-canary", "user")
	f.Script("phone-canary", pushtest.FCMError(http.StatusServiceUnavailable, "UNAVAILABLE", "UNAVAILABLE", "away"))
	p.must("push/publish", `{"publishId":"pub","recipients":[{"type":"device","deviceId":"phone-canary"}],"payload":{"title":"title-canary"}}`)
	var page PushLetters
	eventually(t, "the dead letter", func() bool {
		return s.call("GET", "/sockudo/hubs/default/push/dead?app=demo", &page) == http.StatusOK && len(page.Letters) == 1
	})
	letter := page.Letters[0]
	if letter.PublishID != "pub" || letter.Provider != "fcm" || !letter.Replayable || page.Next != "" {
		t.Errorf("the letter is %+v", letter)
	}
	command := func(args ...string) string {
		t.Helper()
		cmd := pushCommand()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs(append(args, "--address", s.admin))
		if err := cmd.Execute(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out.String()
	}
	contains(t, command(), "STAGE", "publish_log", "delivery_jobs_fcm")
	contains(t, command("dead", "--app", "demo", "--provider", "fcm"), letter.ID, "pub", "true")
	contains(t, command("dead", "--app", "demo", "--provider", "apns"), "There are no dead letters.")
	contains(t, command("dead", "--app", "other"), "There are no dead letters.")
	contains(t, command("dead", "--app", "demo", "--json"), `"deadLetterId":"`+letter.ID+`"`)
	contains(t, command("status", "pub", "--app", "demo"), "pub of app demo", "1 dead")
	contains(t, command("replay", letter.ID, "--app", "demo"), "It is sent again")
	f.Wait(t, 1)
	contains(t, command("status", "pub", "--app", "demo"), "1 dead letters sent again")
	contains(t, command("replay", "--all", "--app", "demo"), "dead letters queued again.")
	for path, want := range map[string]int{
		"GET /push/dead": 400, "GET /push/dead?app=demo&limit=x": 400, "GET /push/dead?app=demo&provider=realtime": 400,
		"GET /push/publishes/none?app=demo": 404, "GET /push/publishes/pub?app=other": 404, "POST /push/dead/none/replay?app=demo": 404, "POST /push/dead/none/replay": 400,
	} {
		method, path, _ := strings.Cut(path, " ")
		if got := s.call(method, "/sockudo/hubs/default"+path, nil); got != want {
			t.Errorf("%s %s answers %d, want %d", method, path, got, want)
		}
	}
	if err := runCommand(pushCommand(), "dead", "--address", s.admin); err == nil {
		t.Error("dead letters of no app are no error")
	}
	_, ready := request(t, "GET", "http://"+s.admin+"/sockudo/hubs/default/health/ready", nil)
	contains(t, ready, `"push"`)
	if logged := s.logged(); strings.Contains(logged, "title-canary") || strings.Contains(logged, "phone-canary") {
		t.Error("the log shows a title, or an address")
	}
	s.mustLoad("", site(p.port, "sockudo {\n"+appBlock+"}"))
	if status := s.call("GET", "/sockudo/hubs/default/push", nil); status != http.StatusNotFound {
		t.Errorf("push that is off answers %d", status)
	}
}
