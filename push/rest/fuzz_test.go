package rest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// posts are the endpoints that read a body.
var posts = []string{
	"credentials/fcm", "credentials/webpush", "templates", "deviceRegistrations", "channelSubscriptions", "publish",
	"batch/publish", "batch/publish?mode=itemized", "deliveryStatus", "deadLetters/" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" + "/replay",
}

// endless lets a site take any number of publishes, and forget them soon.
func endless(one *setup) {
	one.pipeline.Quotas.AcceptanceRPS, one.pipeline.Lag.Age, one.pipeline.Lag.Publishes = -1, -1, 1<<30
	one.pipeline.StatusTTL, one.pipeline.CleanEvery = time.Second, time.Second
}

// FuzzPublish sends publishes, alone and in a batch. Whatever they are, the answer is no
// fault of the server, and each one that is accepted has a status.
func FuzzPublish(f *testing.F) {
	for _, body := range []string{
		publishBody("p", rawTarget), publishBody("", `{"type":"client","client_id":"user-42"},{"type":"channel","channel":"c"}`, `,"ttlSeconds":5,"sync":true`),
		publishBody("", `{"type":"providerTopic","provider":"fcm","topic":"news"}`, `,"suppressIfPresent":{"channel":"presence-x","delaySeconds":3}`),
		publishBody("", `{"type":"providerCondition","provider":"fcm","condition":"'a' in topics"}`, `,"notBeforeMs":1,"expiresAtMs":9999999999999`),
		publishBody("\x00", rawTarget, `,"providerOverrides":[{"provider":"fcm","payload":{"a":[{}]}},{"provider":"webPush","payload":null}]`),
		`{"recipients":[{"type":"device","deviceId":"d"}],"payload":{"templateId":"t","templateData":{"locale":"de_AT","order":{"id":"\ud800"}},"title":"{{ data.order.id }}{{"}}`,
		`{"recipients":[{"type":"recipient","recipient":{"transportType":"realtime","channel":"c"}}],"payload":{}}`, `[]`, `null`, `{"idempotencyKey":"` + strings.Repeat("x", 300) + `"}`,
	} {
		f.Add(body)
	}
	s := newSite(f, endless)
	s.device("d")
	s.do("POST", "templates", templateBody("t"))
	f.Fuzz(func(t *testing.T, body string) {
		one := s.serveLocally(t, "publish", body)
		if one.status == 202 {
			id := read[published](t, one, 202).PublishID
			if _, err := s.pipeline.Status(t.Context(), appID, id); err != nil {
				t.Fatalf("%q: %v", id, err)
			}
		}
		for _, path := range []string{"batch/publish", "batch/publish?mode=itemized"} {
			s.serveLocally(t, path, body)
			s.serveLocally(t, path, "["+body+","+body+"]")
		}
	})
}

// FuzzPosts sends bodies to all endpoints that read one.
func FuzzPosts(f *testing.F) {
	bodies := []string{
		`{"serviceAccountJson":{"a":1},"version":2,"credentialId":"x"}`, `{"bad":1}`, templateBody("t"), deviceBody("d", "t", `,"pushRatePolicy":{"capacity":1,"refillPerSecond":2}`),
		`{"channel":"c","deviceId":"d"}`, `{"channel":"c","clientId":"user-42"}`, publishBody("p", rawTarget), "[" + publishBody("p", rawTarget) + "]", reportBody("p", "e"),
		"{}", "[]", "null", `"x"`, "1e999", "\xff", strings.Repeat("[", 100), `{"a":1,"A":2}`,
		`{"id":"a` + "\\u0000" + `","formFactor":"tv","platform":"other","timezone":"x","locale":"y","push":{"recipient":{"transportType":"web","endpoint":"https://[::1]:x","p256dh":"","auth":""}}}`,
	}
	for i := range posts {
		for _, body := range bodies {
			f.Add(i, "", body)
		}
		f.Add(i, capabilitySubscribe, deviceBody("d", "t"))
	}
	s := newSite(f, endless)
	token := s.device("d")
	f.Fuzz(func(t *testing.T, i int, capability, body string) {
		if i < 0 || i >= len(posts) || strings.ContainsAny(capability, "\r\n\x00") {
			return
		}
		headers := []string{headerToken, token}
		if capability != "" {
			headers = append(headers, headerCapability, capability)
		}
		s.serveLocally(t, posts[i], body, headers...)
	})
}

// serveLocally answers a signed call without a connection, and checks what every answer is.
func (s *site) serveLocally(t *testing.T, path, body string, headers ...string) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, target(appID, http.MethodPost, path, body, appKey, appSecret), strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r, "127.0.0.1")
	switch w.Code {
	case 201, 202, 400, 401, 403, 404, 413, 503:
	default:
		t.Fatalf("%s: %d %s for %q", path, w.Code, w.Body, body)
	}
	if !json.Valid(w.Body.Bytes()) || !utf8.Valid(w.Body.Bytes()) || strings.Contains(w.Body.String(), "Internal server error") {
		t.Fatalf("%s: answered %q to %q", path, w.Body, body)
	}
	return answer{w.Code, w.Header(), w.Body.String()}
}
