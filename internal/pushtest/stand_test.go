package pushtest

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// client trusts a stand-in.
func client[M any](t *testing.T, s *stand[M]) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots(), MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// login gets an access token.
func login(t *testing.T, c *http.Client, endpoint string, o *ClientOAuth) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {o.ID}, "client_secret": {o.Secret}}
	if o.Scope != "" {
		form.Set("scope", o.Scope)
	}
	response, err := c.PostForm(endpoint, form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var a struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil || a.AccessToken == "" {
		t.Fatalf("%d: %v", response.StatusCode, err)
	}
	return a.AccessToken
}

// post sends a message, and gives the status and the body.
func post(t *testing.T, c *http.Client, to, body string, header map[string]string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func TestHMSIsStrict(t *testing.T) {
	h := NewHMS(t)
	c := client(t, &h.stand)
	send := h.Endpoint() + "/v1/" + h.AppID + "/messages:send"
	header := map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + login(t, c, h.TokenEndpoint(), &h.OAuth)}
	want := func(to, body, code string) {
		t.Helper()
		if _, text := post(t, c, to, body, header); !strings.Contains(text, `"code":"`+code+`"`) {
			t.Errorf("%.200s: %s, want %s", body, text, code)
		}
	}
	frame := `{"message":{"token":["a"],"android":{"ttl":"1s"},"data":""}}`
	room := 4096 - len(frame) + len(`"token":["a"],`)
	want(send, strings.Replace(frame, `""`, `"`+strings.Repeat("x", room)+`"`, 1), HMSSuccess)
	want(send, strings.Replace(frame, `""`, `"`+strings.Repeat("x", room+1)+`"`, 1), HMSTooLarge)
	want(h.Endpoint()+"/v1/another/messages:send", frame, HMSNoPermission)
	for body, code := range map[string]string{
		`{"message":{"token":["a"],"android":{"ttl":"1s"},"data":{"a":1}}}`:                    "80100001",
		`{"message":{"token":["a"],"android":{"ttl":"1s"},"data":7}}`:                          "80100001",
		`{"message":{"token":["a"],"android":{"ttl":"1s"},"data":null}}`:                       "80100001",
		`{"message":{"token":["a"],"android":{"ttl":"1s"}}}`:                                   "80100001",
		`{"message":{"token":["a"],"data":"x"}}`:                                               "80100001",
		`{"message":{"token":["a"],"android":{"ttl":"1"},"data":"x"}}`:                         "80100001",
		`{"message":{"token":["a"],"android":{"ttl":"1s","notification":{}},"data":"x"}}`:      "80100001",
		`{"message":{"token":["a"],"android":{"ttl":"1s","urgency":"low"},"data":"x"}}`:        "80100001",
		`{"message":{"token":["a"],"android":{"ttl":"1s"},"notification":{"title":"T"}}}`:      "80100001",
		`{"message":{"token":["a"],"android":{"ttl":"1s","collapse_key":"order"},"data":"x"}}`: "80100013",
		`{"message":{"token":["a"],"android":{"ttl":"1s","collapse_key":101},"data":"x"}}`:     "80100013",
		`{"message":{"token":["a","b"],"android":{"ttl":"1s"},"data":"x"}}`:                    "80300010",
		`{"message":{"token":["a"],"topic":"t","android":{"ttl":"1s"},"data":"x"}}`:            "80300010",
		`{"message":{"token":"a","android":{"ttl":"1s"},"data":"x"}}`:                          "80100003",
		`{"message":`: "80100003",
	} {
		want(send, body, code)
	}
	h.OAuth.Revoke()
	want(send, frame, HMSTokenExpired)
	header["Authorization"] = ""
	want(send, frame, HMSTokenExpired)
	if n := len(h.Faults()); n != 17 || len(h.Messages()) != 1 || h.Requests() != 20 {
		t.Errorf("%d faults, %d messages, %d requests", n, len(h.Messages()), h.Requests())
	}
}

// Checklist: push 107
func TestWNSIsStrict(t *testing.T) {
	w := NewWNS(t)
	c := client(t, &w.stand)
	bearer := "Bearer " + login(t, c, w.TokenEndpoint(), &w.OAuth)
	usual := map[string]string{"Authorization": bearer, "Content-Type": "text/xml", "X-WNS-Type": "wns/toast", "X-WNS-TTL": "5"}
	for _, f := range []struct {
		body, name, value string
		status            int
	}{
		{"<toast/>", "", "", 200},
		{strings.Repeat("x", 5000), "raw", "", 200},
		{strings.Repeat("x", 5001), "raw", "", 413},
		{"<toast/>", "Content-Type", "application/json", 400},
		{"<toast/>", "X-WNS-Type", "wns/tile", 400},
		{"<toast/>", "X-WNS-Type", "toast", 400},
		{"<toast/>", "X-WNS-TTL", "", 400},
		{"<toast/>", "X-WNS-TTL", "5s", 400},
		{"<toast/>", "X-WNS-Tag", "a-b", 400},
		{"<toast/>", "X-WNS-Tag", "12345678901234567", 400},
		{"<toast/>", "X-WNS-Else", "1", 400},
		{"<toast/>", "Authorization", "Bearer x", 401},
		{"<toast/>", "Authorization", "", 401},
		{`{"title":"T"}`, "", "", 400},
		{"<toast>", "", "", 400},
		{"<toast/><toast/>", "", "", 400},
		{"<toast>&x;</toast>", "", "", 400},
		{"<!DOCTYPE toast><toast/>", "", "", 400},
		{"", "", "", 400},
	} {
		header := maps.Clone(usual)
		if f.name == "raw" {
			header["Content-Type"], header["X-WNS-Type"] = "application/octet-stream", "wns/raw"
		} else if f.name != "" {
			header[f.name] = f.value
		}
		if status, _ := post(t, c, w.Channel("a"), f.body, header); status != f.status {
			t.Errorf("%.40q with %s %q is answered with %d, want %d", f.body, f.name, f.value, status, f.status)
		}
	}
	if len(w.Messages()) != 2 {
		t.Errorf("%d messages", len(w.Messages()))
	}
}
