// Package pushtest has stand-ins for push services: servers for tests that take what
// the services take, refuse what they refuse, and answer as they are told.
package pushtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
)

// The codes of HMS that tests script.
const (
	HMSSuccess      = "80000000"
	HMSPartial      = "80100000"
	HMSAuthError    = "80200001"
	HMSTokenExpired = "80200003"
	HMSNoPermission = "80300002"
	HMSTokenInvalid = "80300007"
	HMSTooLarge     = "80300008"
	HMSInternal     = "81000001"
)

// HMS is a stand-in for Huawei's Push Kit and its token endpoint. It takes what the
// service takes, and nothing else: a bearer token of its own that is not revoked, the
// path of its app, exactly one registration token, texts as data, whole numbers as
// collapse keys, and at most 4096 bytes besides the token.
//
//	h := pushtest.NewHMS(t)
//	o := push.ConnectOptions{Endpoint: h.Endpoint(), TokenEndpoint: h.TokenEndpoint(), Roots: h.Roots(), AllowPrivate: true}
//	h.Script("token-a", pushtest.HMSReply(pushtest.HMSTokenInvalid))
//
// Replies are scripted by registration token.
type HMS struct {
	stand[HMSMessage]
	OAuth ClientOAuth
	// AppID is that of the path. Its credentials are OAuth.ID and OAuth.Secret.
	AppID string
}

// HMSMessage is a message that the stand-in has accepted.
type HMSMessage struct {
	// Token is the registration token.
	Token string
	// Message is the member of that name.
	Message json.RawMessage
	// Title and Body are those of the notification.
	Title, Body string
	// Data is the text.
	Data string
	// TTL and CollapseKey are those of android. CollapseKey is nil if there is none.
	TTL         string
	CollapseKey *int
}

// NewHMS starts a stand-in for an app, which ends with the test.
func NewHMS(t testing.TB) *HMS {
	t.Helper()
	h := &HMS{AppID: "104729", OAuth: ClientOAuth{ID: "104729", Secret: "hms-secret-" + standID()}}
	mux := http.NewServeMux()
	mux.Handle("/oauth2/v3/token", &h.OAuth)
	mux.HandleFunc("POST /v1/{app}/{call}", h.serve)
	h.start(t, mux)
	return h
}

// TokenEndpoint is the URL of the token endpoint.
func (h *HMS) TokenEndpoint() string { return h.Endpoint() + "/oauth2/v3/token" }

// Material are the credentials of the app, as they are uploaded.
func (h *HMS) Material() json.RawMessage {
	return standJSON(map[string]string{"hmsAppId": h.AppID, "clientId": h.OAuth.ID, "clientSecret": h.OAuth.Secret})
}

// HMSReply is a reply with a code, with the HTTP status that goes with it.
func HMSReply(code string) Scripted {
	status := http.StatusBadRequest
	switch code {
	case HMSSuccess, HMSPartial:
		status = http.StatusOK
	case HMSAuthError, HMSTokenExpired:
		status = http.StatusUnauthorized
	case HMSInternal:
		status = http.StatusInternalServerError
	}
	return Scripted{Status: status, Body: hmsBody(code, "see the code")}
}

// HMSIllegal is a reply which says that some tokens of a message are no good.
func HMSIllegal(tokens ...string) Scripted {
	msg := standJSON(map[string]any{"success": 0, "failure": len(tokens), "illegal_tokens": tokens})
	return Scripted{Status: http.StatusOK, Body: hmsBody(HMSPartial, string(msg))}
}

func hmsBody(code, msg string) string {
	return string(standJSON(map[string]string{"code": code, "msg": msg, "requestId": standID()}))
}

func (h *HMS) serve(w http.ResponseWriter, r *http.Request) {
	if !h.begin(r) {
		return
	}
	if r.PathValue("app") != h.AppID || r.PathValue("call") != "messages:send" {
		h.refuse(w, HMSNoPermission, "the path is "+r.URL.Path)
		return
	}
	if !h.OAuth.Accepts(r) {
		reply := HMSReply(HMSTokenExpired)
		reply.write(w, r)
		return
	}
	m, code, err := h.read(r)
	if err != nil {
		h.refuse(w, code, err.Error())
		return
	}
	if reply, ok := h.reply(m.Token); ok {
		reply.write(w, r)
		return
	}
	h.accept(m)
	standAnswer(w, http.StatusOK, nil, hmsBody(HMSSuccess, "Success"))
}

func (h *HMS) refuse(w http.ResponseWriter, code, fault string) {
	h.fault(fault)
	standAnswer(w, http.StatusBadRequest, nil, hmsBody(code, fault))
}

// hmsRequest is what is checked of a request.
type hmsRequest struct {
	Message struct {
		Token        []string        `json:"token"`
		Topic        json.RawMessage `json:"topic"`
		Condition    json.RawMessage `json:"condition"`
		Data         json.RawMessage `json:"data"`
		Notification *struct {
			Title *string `json:"title"`
			Body  *string `json:"body"`
			Image string  `json:"image"`
		} `json:"notification"`
		Android struct {
			CollapseKey  json.RawMessage `json:"collapse_key"`
			TTL          *string         `json:"ttl"`
			Urgency      string          `json:"urgency"`
			Notification *struct {
				ClickAction *struct {
					Type int `json:"type"`
				} `json:"click_action"`
				Sound string `json:"sound"`
			} `json:"notification"`
		} `json:"android"`
	} `json:"message"`
}

var hmsTTL = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?s$`)

// read reads and checks a message. A fault has a code.
func (h *HMS) read(r *http.Request) (m HMSMessage, code string, err error) {
	const parameters = "80100001"
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return m, parameters, err
	}
	var q hmsRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return m, "80100003", fmt.Errorf("the structure: %w", err)
	}
	a := &q.Message.Android
	switch {
	case r.Header.Get("Content-Type") != "application/json" && r.Header.Get("Content-Type") != "application/json; charset=utf-8":
		return m, parameters, fmt.Errorf("the type of the content is %q", r.Header.Get("Content-Type"))
	case len(q.Message.Token) != 1 || q.Message.Token[0] == "" || q.Message.Topic != nil || q.Message.Condition != nil:
		return m, "80300010", fmt.Errorf("there are %d tokens, or another address", len(q.Message.Token))
	case len(body)-len(standJSON(q.Message.Token)) > 4096+len(`"token":,`):
		return m, HMSTooLarge, fmt.Errorf("the message has %d bytes", len(body))
	case a.TTL == nil || !hmsTTL.MatchString(*a.TTL):
		return m, parameters, fmt.Errorf("android.ttl is missing or no time")
	case a.Notification != nil && a.Notification.ClickAction == nil:
		return m, parameters, fmt.Errorf("android.notification.click_action is missing")
	case a.Urgency != "" && a.Urgency != "HIGH" && a.Urgency != "NORMAL":
		return m, parameters, fmt.Errorf("android.urgency is %q", a.Urgency)
	case q.Message.Notification == nil && q.Message.Data == nil && a.Notification == nil:
		return m, parameters, fmt.Errorf("the message has no content")
	}
	m.Token, m.TTL = q.Message.Token[0], *a.TTL
	if n := q.Message.Notification; n != nil {
		if n.Title == nil || n.Body == nil {
			return m, parameters, fmt.Errorf("the notification has no title or no body")
		}
		m.Title, m.Body = *n.Title, *n.Body
	}
	if q.Message.Data != nil && json.Unmarshal(q.Message.Data, &m.Data) != nil || bytes.Equal(q.Message.Data, []byte("null")) {
		return m, parameters, fmt.Errorf("data is no text")
	}
	if a.CollapseKey != nil {
		key, err := strconv.Atoi(string(a.CollapseKey))
		if err != nil || key < -1 || key > 100 {
			return m, "80100013", fmt.Errorf("android.collapse_key is %s", a.CollapseKey)
		}
		m.CollapseKey = &key
	}
	var whole struct {
		Message json.RawMessage `json:"message"`
	}
	if err := json.Unmarshal(body, &whole); err != nil {
		return m, parameters, err
	}
	m.Message = whole.Message
	return m, "", nil
}
