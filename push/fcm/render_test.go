package fcm

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/push"
)

func render(t *testing.T, c *push.Content) string {
	t.Helper()
	payload, err := Provider{}.Render(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Provider{}).CheckPayload(payload, false); err != nil {
		t.Errorf("what is rendered is refused: %v", err)
	}
	return string(payload)
}

func TestRenderEverything(t *testing.T) {
	got := render(t, &push.Content{
		Title: "T <&>", Body: "B", Icon: "https://cdn.example.com/i.png", Sound: "default", CollapseKey: "order",
		Data: json.RawMessage(`{"order": {"id": "ord_123", "n": 1.50}, "text": "a<b", "number": 12345678901234567890, "yes": true, "none": null, "list": [1, 2]}`),
	})
	const want = `{"message":{"notification":{"title":"T <&>","body":"B","image":"https://cdn.example.com/i.png"},` +
		`"data":{"list":"[1,2]","number":"12345678901234567890","order":"{\"id\":\"ord_123\",\"n\":1.50}","text":"a<b","yes":"true"},` +
		`"android":{"collapse_key":"order","priority":"HIGH","notification":{"sound":"default"}},` +
		`"apns":{"headers":{"apns-collapse-id":"order"},"payload":{"aps":{"sound":"default"}}},` +
		`"webpush":{"headers":{"Urgency":"high","Topic":"order"}}}}`
	if got != want {
		t.Errorf("rendered\n%s\nwant\n%s", got, want)
	}
}

func TestRenderLeavesOutWhatIsNotThere(t *testing.T) {
	got := render(t, &push.Content{Title: "T", Body: "B"})
	const want = `{"message":{"notification":{"title":"T","body":"B"},"android":{"priority":"HIGH"},"webpush":{"headers":{"Urgency":"high"}}}}`
	if got != want {
		t.Errorf("rendered %s, want %s", got, want)
	}
	for _, data := range []string{"", "null", "{}", `{"a":null}`} {
		if got := render(t, &push.Content{Title: "T", Body: "B", Data: json.RawMessage(data)}); got != want {
			t.Errorf("data %s is rendered %s", data, got)
		}
	}
}

func TestRenderLongCollapseKeys(t *testing.T) {
	key := strings.Repeat("k", 65)
	var m struct {
		Message struct {
			Android struct {
				CollapseKey string `json:"collapse_key"`
			}
			APNs struct{ Headers map[string]string }
			Web  struct{ Headers map[string]string } `json:"webpush"`
		}
	}
	if err := json.Unmarshal([]byte(render(t, &push.Content{Title: "T", CollapseKey: key})), &m); err != nil {
		t.Fatal(err)
	}
	if m.Message.Android.CollapseKey != key || m.Message.APNs.Headers["apns-collapse-id"] != push.Hash(key) {
		t.Errorf("rendered %+v", m)
	}
	if topic := m.Message.Web.Headers["Topic"]; len(topic) != 32 || !webTopic.MatchString(topic) || topic != topicOf(key) {
		t.Errorf("the topic is %q", topic)
	}
	if topicOf("order 7") == topicOf("order 8") || topicOf("order-7") != "order-7" {
		t.Error("topics do not stand for their keys")
	}
}

func TestRenderRefusesData(t *testing.T) {
	for _, data := range []string{
		`{"from":"x"}`, `{"message_type":"x"}`, `{"google.x":"x"}`, `{"googled":"x"}`, `{"gcm.n":1}`, `[]`, `"text"`, `{`,
	} {
		_, err := Provider{}.Render(&push.Content{Title: "T", Data: json.RawMessage(data)})
		wantField(t, err, "templateData")
	}
	render(t, &push.Content{Title: "T", Data: json.RawMessage(`{"From":"x","fromage":"x","goo":"x"}`)})
}
