package conformance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/push/webpush"
)

// webPushAsk is what clients/web-push.mjs is to do, and webPushAnswer what came of it.
type webPushAsk struct {
	Sends    []webPushSend    `json:"sends"`
	Messages []webPushMessage `json:"messages"`
}

type webPushSend struct {
	Subscription struct {
		Endpoint string            `json:"endpoint"`
		Keys     map[string]string `json:"keys"`
	} `json:"subscription"`
	VAPID   map[string]string `json:"vapid"` // without keys: those that it makes
	Payload string            `json:"payload"`
	Options map[string]any    `json:"options"`
}

type webPushMessage struct {
	Body      []byte `json:"body"`
	Key       string `json:"key"`
	Auth      string `json:"auth"`
	Token     string `json:"token"`
	PublicKey string `json:"publicKey"`
}

type webPushAnswer struct {
	Generated struct{ PublicKey, PrivateKey string }
	Sent      []struct {
		StatusCode int
		Location   string
	}
	Read []struct {
		Plaintext string
		Signed    bool
	}
}

func askWebPush(t *testing.T, service *pushtest.WebPush, ask webPushAsk) (answer webPushAnswer) {
	t.Helper()
	text, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join("clients", "web-push.mjs"))
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+service.CAFile, "NODE_NO_WARNINGS=1")
	cmd.Stdin = strings.NewReader(string(text))
	stderr := new(output)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("web-push: %v\n%s\nthe service refused %q", err, stderr.since(0, 4<<10), service.Refusals())
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("web-push said %s: %v", out, err)
	}
	return answer
}

// sendWebPush sends what our provider makes of a notification.
func sendWebPush(t *testing.T, service *pushtest.WebPush, s pushtest.WebPushSubscription, public, private string, c push.Content) pushtest.WebPushMessage {
	t.Helper()
	provider := webpush.Provider{}
	material := fmt.Sprintf(`{"publicKey":%q,"privateKey":%q,"subject":"mailto:ops@example.com"}`, public, private)
	sender, err := provider.Connect(json.RawMessage(material), push.ConnectOptions{Roots: service.Roots, AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	payload, err := provider.Render(&c)
	if err != nil {
		t.Fatal(err)
	}
	r := sender.Send(t.Context(), &push.Notification{
		Recipient: push.Recipient{TransportType: "web", Endpoint: s.Endpoint, P256dh: s.P256dh, Auth: s.Auth},
		Payload:   payload, TTL: time.Minute, Expires: time.Now().Add(time.Minute),
	})
	if r.Outcome != push.Accepted {
		t.Fatalf("%+v, refused %q", r, service.Refusals())
	}
	all := service.Received(s.Endpoint)
	return all[len(all)-1]
}

// The library that most applications for Node push with and our provider agree: the
// push service of the tests takes what both send, http_ece reads what ours has
// encrypted, and a pair of keys that one has made serves the other.
//
// Checklist: push 102
func TestWebPushLibrary(t *testing.T) {
	if testing.Short() {
		t.Skip("outside clients are not part of a short run")
	}
	needNode(t)
	service := pushtest.NewWebPush(t)
	public, private, err := webpush.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	content := push.Content{Title: `Ordre "1" <é>`, Body: strings.Repeat("ü", 900), Data: json.RawMessage(`{"order":{"id":1}}`)}
	ours, theirs, open := service.Subscribe(t, public), service.Subscribe(t, public), service.Subscribe(t)
	message := sendWebPush(t, service, ours, public, private, content)
	key, _ := service.Browser(ours.Endpoint)
	var ask webPushAsk
	ask.Messages = []webPushMessage{{message.Body, base64.RawURLEncoding.EncodeToString(key.Bytes()), ours.Auth, message.Token, message.PublicKey}}
	for _, s := range []struct {
		to    pushtest.WebPushSubscription
		vapid map[string]string
	}{
		{theirs, map[string]string{"subject": "mailto:ops@example.com", "publicKey": public, "privateKey": private}},
		{open, map[string]string{"subject": "https://example.com/contact"}},
	} {
		one := webPushSend{VAPID: s.vapid, Payload: `{"title":"é"}`, Options: map[string]any{"TTL": 30, "urgency": "high", "topic": "t-1", "contentEncoding": "aes128gcm"}}
		one.Subscription.Endpoint, one.Subscription.Keys = s.to.Endpoint, map[string]string{"p256dh": s.to.P256dh, "auth": s.to.Auth}
		ask.Sends = append(ask.Sends, one)
	}
	answer := askWebPush(t, service, ask)
	if len(answer.Read) != 1 || answer.Read[0].Plaintext != string(message.Plaintext) || !strings.Contains(answer.Read[0].Plaintext, content.Body) {
		t.Errorf("http_ece reads %+v, and not %s", answer.Read, message.Plaintext)
	} else if !answer.Read[0].Signed {
		t.Error("Node does not accept the token's signature")
	}
	for i, to := range []pushtest.WebPushSubscription{theirs, open} {
		got := service.Received(to.Endpoint)
		if len(got) != 1 || i >= len(answer.Sent) || answer.Sent[i].StatusCode != 201 || answer.Sent[i].Location != got[0].Location {
			t.Fatalf("%+v of %+v, refused %q", got, answer.Sent, service.Refusals())
		}
		if m := got[0]; string(m.Plaintext) != `{"title":"é"}` || m.TTL != 30*time.Second || m.Urgency != "high" || m.Topic != "t-1" || m.Subject != ask.Sends[i].VAPID["subject"] {
			t.Errorf("web-push sent %+v", m)
		}
	}
	made := answer.Generated
	bound := service.Subscribe(t, made.PublicKey)
	if m := sendWebPush(t, service, bound, made.PublicKey, made.PrivateKey, content); m.PublicKey != made.PublicKey {
		t.Errorf("sent with %s, and not %s", m.PublicKey, made.PublicKey)
	}
}
