package sockudo

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push/webpush"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// pushPort is a site with the app of appBlock, whose HTTP API is called.
type pushPort struct {
	t    *testing.T
	port string
}

// post makes a signed call of the API of the app, and reads the answer.
func (p pushPort) post(path, body string) (status int, text string) {
	status, text, err := p.try(path, body)
	if err != nil {
		p.t.Error(err)
	}
	return status, text
}

// try is post from any goroutine. What ends without an answer is tried again; the call has
// to be one that may come twice.
func (p pushPort) try(path, body string) (status int, text string, err error) {
	path = "/apps/demo/" + path
	sum := md5.Sum([]byte(body))
	query := fmt.Sprintf("auth_key=demo-key&auth_timestamp=%d&auth_version=1.0&body_md5=%x", time.Now().Unix(), sum)
	url := "http://127.0.0.1:" + p.port + path + "?" + query + "&auth_signature=" + protocol.Sign("s3cr3t-canary", "POST\n"+path+"\n"+query)
	resp, err := persist(func() (*http.Response, error) {
		return client.Post(url, "application/json", bytes.NewReader([]byte(body)))
	})
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// must is post for what has to succeed.
func (p pushPort) must(path, body string) string {
	p.t.Helper()
	status, text := p.post(path, body)
	if status/100 != 2 {
		p.t.Fatalf("%s answers %d %s", path, status, text)
	}
	return text
}

// fcmDevice registers a device whose token is its id.
func (p pushPort) fcmDevice(id, clientID string) {
	p.t.Helper()
	p.must("push/deviceRegistrations", fmt.Sprintf(`{"id":%q,"clientId":%q,"formFactor":"phone","platform":"android","timezone":"UTC","locale":"en","push":{"recipient":{"transportType":"gcm","registrationToken":%q}}}`, id, clientID, id))
}

// fcmBlock is push by way of a stand-in.
func fcmBlock(f *pushtest.FCM, provider, more string) string {
	return "push {\nprovider fcm {\nendpoint " + f.URL + "\nca_file " + f.CAFile + "\n" + provider + "\n}\ntesting {\nallow_private_endpoints on\n}\n" + more + "\n}\n"
}

// titles are those of the messages for a device, in their order.
func titles(messages []pushtest.FCMMessage, device string) (list []string) {
	for _, m := range messages {
		notification, _ := m.Message["notification"].(map[string]any)
		if title, _ := notification["title"].(string); m.Address == device {
			list = append(list, title)
		}
	}
	return list
}

// Without push there are no paths, no workers and no files, and events that ask for a
// notification go out.
//
// Checklist: push 12
func TestPushOff(t *testing.T) {
	s := newServer(t)
	p := pushPort{t, freePort(t)}
	for _, block := range []string{"", "push off\n", "push {\nenabled off\nprovider fcm {\ncredentials_path /no/such/file\n}\n}\n"} {
		s.mustLoad("", site(p.port, "sockudo {\n"+appBlock+block+"push_rule a {\nevent_filter x\n}\n}"))
		for _, path := range []string{"push/publish", "push/deviceRegistrations", "push/none"} {
			if status, text := p.post(path, `{}`); status != http.StatusNotFound {
				t.Errorf("%s answers %d %s", path, status, text)
			}
		}
		p.must("events", `{"name":"x","channel":"a","data":"{}","extras":{"push":{"title":"T"}}}`)
		live, err := findHub(defaultHub).Live()
		if err != nil {
			t.Fatal(err)
		}
		if live.Settings.Push != nil || live.Settings.PushAPI != nil || live.Settings.Drivers.Queue != nil {
			t.Error("push that is off has something")
		}
		live.Release()
		buffer := make([]byte, 1<<20)
		if stacks := string(buffer[:runtime.Stack(buffer, true)]); strings.Contains(stacks, "caddy-sockudo/push.") {
			t.Errorf("push that is off works:\n%s", stacks)
		}
		files, err := filepath.Glob(filepath.Join(os.Getenv("XDG_DATA_HOME"), "caddy", "sockudo", "*"))
		if err != nil || len(files) > 0 {
			t.Errorf("push that is off has made %q, %v", files, err)
		}
	}
	_, metrics := request(t, "GET", "http://"+s.admin+"/metrics", nil)
	contains(t, metrics, "sockudo_push_extras_ignored_total")
}

// Two variables are all that FCM needs. Its project and a token can be said so too, and a
// token needs a project.
//
// Checklist: push 114
// Checklist: configuration 26, 27
func TestPushByVariables(t *testing.T) {
	s, f := newServer(t), pushtest.NewFCM(t)
	p := pushPort{t, freePort(t)}
	block := site(p.port, "sockudo {\n"+appBlock+fcmBlock(f, "enabled off", "")+"}")
	t.Setenv("PUSH_FCM_ENABLED", "true")
	t.Setenv("PUSH_FCM_SERVICE_ACCOUNT_JSON_PATH", f.ServiceAccountFile(t))
	s.mustLoad("", block)
	p.fcmDevice("phone", "user")
	send := func() pushtest.FCMMessage {
		t.Helper()
		n := len(f.Sent())
		p.must("push/publish", `{"recipients":[{"type":"device","deviceId":"phone"}],"payload":{"title":"T"}}`)
		return f.Wait(t, n+1)[n]
	}
	if m := send(); m.Project != pushtest.FCMProject {
		t.Errorf("the project is %s", m.Project)
	}
	f.AddProject("other")
	t.Setenv("PUSH_FCM_PROJECT_ID", "other")
	s.mustLoad("", block)
	if m := send(); m.Project != "other" {
		t.Errorf("the project is %s", m.Project)
	}
	f.AcceptToken("canary-token")
	t.Setenv("PUSH_FCM_PROVIDER_TOKEN", "canary-token")
	if err := os.Unsetenv("PUSH_FCM_SERVICE_ACCOUNT_JSON_PATH"); err != nil {
		t.Fatal(err)
	}
	s.mustLoad("", block)
	if m := send(); m.Bearer != "canary-token" {
		t.Error("the token is not the one of the variable")
	}
	if err := os.Unsetenv("PUSH_FCM_PROJECT_ID"); err != nil {
		t.Fatal(err)
	}
	if err := s.load("", block); err == nil {
		t.Error("a token without a project loads")
	} else {
		contains(t, err.Error(), "providers.fcm", "project_id")
	}
	if m := send(); m.Project != "other" { // the configuration before goes on
		t.Errorf("the project is %s", m.Project)
	}
	for _, fault := range f.Refusals() {
		t.Error(fault)
	}
	if logged := s.logged(); strings.Contains(logged, "canary-token") || !strings.Contains(logged, "PUSH_FCM_PROVIDER_TOKEN") {
		t.Error("the log shows the token, or not the variable")
	}
}

// Ten reloads while publishes come: each that was accepted reaches each device once, and
// nothing is left running.
//
// Checklist: push 116
func TestReloadsLoseNoPublish(t *testing.T) {
	s, f := newServer(t), pushtest.NewFCM(t)
	p := pushPort{t, freePort(t)}
	account := f.ServiceAccountFile(t)
	load := func(i int) {
		t.Helper()
		more := fmt.Sprintf("planner_worker_count %d\ndefault_quotas {\nacceptance_rps none\n}", i%3+1)
		s.mustLoad("", site(p.port, "sockudo {\n"+appBlock+fcmBlock(f, "credentials_path "+account, more)+"}"))
	}
	load(0)
	devices := []string{"one", "two", "three"}
	for _, d := range devices {
		p.fcmDevice(d, "user")
	}
	p.must("push/publish", `{"publishId":"p-first","recipients":[{"type":"client","clientId":"user"}],"payload":{"title":"p-first"}}`)
	f.Wait(t, len(devices))
	before := runtime.NumGoroutine()
	accepted := []string{"p-first"}
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			id := fmt.Sprint("p-", n)
			body := `{"publishId":"` + id + `","recipients":[{"type":"client","clientId":"user"}],"payload":{"title":"` + id + `"}}`
			status, text, err := p.try("push/publish", body)
			switch {
			case err != nil:
				continue // what it was is not known, and nobody counts on it
			case status != http.StatusAccepted:
				done <- errors.New(text)
				return
			}
			accepted = append(accepted, id)
		}
	}()
	for i := 1; i <= 10; i++ {
		load(i)
		sent := len(f.Sent())
		eventually(t, "another notification", func() bool { return len(f.Sent()) > sent })
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	missing := func() (n int) {
		sent := f.Sent()
		for _, d := range devices {
			got := map[string]bool{}
			for _, title := range titles(sent, d) {
				got[title] = true
			}
			for _, id := range accepted {
				if !got[id] {
					n++
				}
			}
		}
		return n
	}
	eventually(t, "every notification", func() bool { return missing() == 0 })
	for _, d := range devices {
		list := titles(f.Sent(), d)
		slices.Sort(list)
		if n := len(list) - len(slices.Compact(list)); n > 0 {
			t.Errorf("%d notifications came twice", n)
		}
	}
	eventually(t, "the end of what has been replaced", func() bool {
		client.CloseIdleConnections()
		return runtime.NumGoroutine() <= before+10
	})
	t.Logf("FIGURE push over 10 reloads: %d publishes accepted, %d notifications, none lost, none twice", len(accepted), len(f.Sent()))
}

// A reload changes credentials, and what was registered before stays.
func TestPushCredentialsChange(t *testing.T) {
	s, w := newServer(t), pushtest.NewWebPush(t)
	p := pushPort{t, freePort(t)}
	browser := w.Subscribe(t)
	var keys []string
	for i := range 2 {
		public, private, err := webpush.GenerateKeys()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, public)
		s.mustLoad("", site(p.port, "sockudo {\n"+appBlock+"push {\nprovider webpush {\nvapid_subject mailto:ops@example.com\nvapid_private_key "+private+"\nca_file "+w.CAFile+"\n}\nendpoints {\nallow_local on\n}\n}\n}"))
		if i == 0 {
			p.must("push/deviceRegistrations", fmt.Sprintf(`{"id":"browser","formFactor":"desktop","platform":"browser","timezone":"UTC","locale":"en","push":{"recipient":{"transportType":"web","endpoint":%q,"p256dh":%q,"auth":%q}}}`, browser.Endpoint, browser.P256dh, browser.Auth))
			p.must("push/channelSubscriptions", `{"channel":"news","deviceId":"browser"}`)
		}
		p.must("push/publish", `{"recipients":[{"type":"channel","channel":"news"}],"payload":{"title":"T"}}`)
		w.Wait(t, browser.Endpoint, i+1)
	}
	for i, m := range w.Received(browser.Endpoint) {
		if m.PublicKey != keys[i] || m.Subject != "mailto:ops@example.com" {
			t.Errorf("message %d is signed by another key, for %s", i, m.Subject)
		}
	}
	if faults := w.Refusals(); len(faults) > 0 {
		t.Error(faults)
	}
}

// An event notifies as its rule says, and as it asks for itself, but not those who are
// there.
//
// Checklist: push 94
func TestEventsNotify(t *testing.T) {
	s, f := newServer(t), pushtest.NewFCM(t)
	p := pushPort{t, freePort(t)}
	s.mustLoad("", site(p.port, "sockudo {\n"+appBlock+fcmBlock(f, "credentials_path "+f.ServiceAccountFile(t), "")+
		"push_rule presence-ro* {\nevent_filter said\nsuppress_if_present\npayload_mapping {\ntitle_field text\n}\n}\n}"))
	for _, name := range []string{"ann", "bob"} {
		p.fcmDevice(name, name)
		p.must("push/channelSubscriptions", `{"channel":"presence-room","deviceId":"`+name+`"}`)
	}
	ann := dial(t, "127.0.0.1:"+p.port, "/app/demo-key?protocol=7")
	data := `{"user_id":"ann"}`
	auth := protocol.SignChannel("demo-key", "s3cr3t-canary", ann.id, "presence-room", data)
	ann.send(`{"event":"pusher:subscribe","data":{"channel":"presence-room","auth":"` + auth + `","channel_data":` + quote(data) + `}}`)
	ann.expect("subscription_succeeded")

	p.must("events", `{"name":"said","channel":"presence-room","data":`+quote(`{"text":"first","body":"B","more":1}`)+`}`)
	ann.expect("first")
	p.must("events", `{"name":"other","channel":"presence-room","data":`+quote(`{"text":"not this"}`)+`}`)
	f.Wait(t, 1)
	p.must("events", `{"name":"hello","channel":"presence-room","data":"{}","extras":{"push":{"title":"second","body":"B"}}}`)
	if text := ann.expect("hello"); strings.Contains(text, "second") {
		t.Errorf("who listens gets to see what is for devices: %s", text)
	}
	f.Wait(t, 3)
	_ = ann.Close()
	eventually(t, "an empty channel", func() bool { return len(usersOf(t, "presence-room")) == 0 })
	p.must("events", `{"name":"said","channel":"presence-room","data":`+quote(`{"text":"third","body":"B"}`)+`}`)
	sent := f.Wait(t, 5)
	if got := titles(sent, "ann"); !slices.Equal(got, []string{"second", "third"}) {
		t.Errorf("ann was notified of %q", got)
	}
	if got := titles(sent, "bob"); !slices.Equal(got, []string{"first", "second", "third"}) {
		t.Errorf("bob was notified of %q", got)
	}
	body := new(struct {
		Message struct{ Data map[string]string }
	})
	if err := json.Unmarshal(sent[0].Body, body); err != nil || body.Message.Data["data"] != `{"more":1}` {
		t.Errorf("%v: the rest of the data is %v", err, body.Message.Data)
	}
}

func usersOf(t *testing.T, channel string) map[string]bool {
	t.Helper()
	users, _, err := findHub(defaultHub).PresentUsers("demo", channel)
	if err != nil {
		t.Fatal(err)
	}
	return users
}
