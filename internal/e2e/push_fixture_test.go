//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
)

// pushStatus is that of a publish, as the API shows it.
type pushStatus struct {
	State    string
	Counters struct {
		Planned, Dispatched, Succeeded, Failed, Expired, DeadLettered int
	}
	ErrorReason string
}

// pushBlock is a push block that sends to a stand-in for FCM.
func pushBlock(t *testing.T, f *pushtest.FCM, more string) string {
	return `push {
			testing {
				allow_private_endpoints on
			}
			provider fcm {
				credentials_path ` + f.ServiceAccountFile(t) + `
				endpoint ` + f.URL + `
				ca_file ` + f.CAFile + `
			}
			scheduler_interval 200ms
			repair_interval 500ms
			repair_min_age 1s
			default_quotas {
				acceptance_rps none
			}
			` + more + `
		}`
}

// pushCall makes a signed call of the push API.
func (c *caddy) pushCall(method, path, further string, body any) (status int, answer []byte, err error) {
	path = "/apps/app-id/push" + path
	text, url := []byte(nil), signedQuery(method, path, further)
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
		url = signed(method, path, text)
	}
	req, err := http.NewRequest(method, "http://127.0.0.1:"+c.port+url, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := publishClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// must makes a call that succeeds.
func (c *caddy) must(method, path string, body any) []byte {
	c.t.Helper()
	status, answer, err := c.pushCall(method, path, "", body)
	if err != nil || status >= 300 {
		c.t.Fatalf("%s %s: %d %s %v", method, path, status, answer, err)
	}
	return answer
}

// devices registers devices with their ids as tokens and subscribes them to a channel.
func (c *caddy) devices(channel string, ids ...string) {
	c.t.Helper()
	var all sync.WaitGroup
	some := make(chan struct{}, 16)
	for _, id := range ids {
		some <- struct{}{}
		all.Go(func() {
			defer func() { <-some }()
			status, answer, err := c.pushCall("POST", "/deviceRegistrations", "", map[string]any{
				"id": id, "formFactor": "phone", "platform": "android", "timezone": "UTC", "locale": "en",
				"push": map[string]any{"recipient": map[string]string{"transportType": "gcm", "registrationToken": id}},
			})
			if err == nil && status == http.StatusCreated {
				status, answer, err = c.pushCall("POST", "/channelSubscriptions", "", map[string]string{"channel": channel, "deviceId": id})
			}
			if err != nil || status != http.StatusCreated {
				c.t.Errorf("registering %s: %d %s %v", id, status, answer, err)
			}
		})
	}
	all.Wait()
}

// notify publishes to a channel and reports whether it was accepted.
func (c *caddy) notify(channel, id string) (accepted bool, err error) {
	status, answer, err := c.pushCall("POST", "/publish", "", map[string]any{
		"publishId": id, "recipients": []map[string]string{{"type": "channel", "channel": channel}}, "payload": map[string]string{"title": id, "body": "B"},
	})
	if err != nil {
		return false, err
	}
	if status != http.StatusAccepted {
		return false, fmt.Errorf("%d %s", status, answer)
	}
	return true, nil
}

// ended waits until a publish has come to an end.
func (c *caddy) ended(id string) (s pushStatus) {
	c.t.Helper()
	end := waiting(c.t)
	for end(id) {
		status, answer, err := c.pushCall("GET", "/publish/"+id+"/status", "", nil)
		if err != nil || status != http.StatusOK || json.Unmarshal(answer, &s) != nil {
			continue
		}
		switch s.State {
		case "queued", "planning", "dispatching":
		default:
			return s
		}
	}
	return s
}

// deliveries are how often each address got each title.
func deliveries(f *pushtest.FCM) map[string]int {
	got := map[string]int{}
	for _, m := range f.Sent() {
		title, _ := m.At("notification", "title").(string)
		got[strings.Join([]string{m.Address, title}, " ")]++
	}
	return got
}
