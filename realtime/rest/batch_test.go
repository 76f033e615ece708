package rest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: http-api 56, 59
func TestHTTP056BatchSize(t *testing.T) {
	batch := func(n int) string {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprintf(`{"channel":"c","name":"e","data":"%d"}`, i)
		}
		return `{"batch":[` + strings.Join(items, ",") + `]}`
	}
	hub := newNode(t, testApp())
	s := hub.connect().subscribe("c")
	hub.post("batch_events", batch(11)).fails(t, 400, "limit_exceeded", "Batch size (11) exceeds limit (10)")
	hub.post("batch_events", batch(10)).is(t, 200, `{}`)
	hub.post("batch_events", batch(0)).is(t, 200, `{}`)
	var order []string
	for _, f := range s.settle("c").events("e") {
		order = append(order, string(f.Data))
	}
	if got := strings.Join(order, ""); got != `"0""1""2""3""4""5""6""7""8""9"` {
		t.Errorf("delivered %s", got)
	}
	own := newNode(t, testApp(func(a *storage.App) { a.Limits.MaxEventBatchSize = 200 }))
	own.post("batch_events", batch(200)).is(t, 200, `{}`)
	own.post("batch_events", batch(201)).fails(t, 400, "limit_exceeded", "Batch size (201) exceeds limit (200)")
}

// Checklist: http-api 57
func TestHTTP057BatchInfo(t *testing.T) {
	n := newNode(t, testApp())
	n.connect().subscribe("presence-p", "u1")
	got := n.post("batch_events", `{"batch":[{"channel":"a","name":"e"},{"channels":["presence-p","b"],"name":"e","info":"user_count,subscription_count"},{"channel":"c","name":"e","message_id":"m"}]}`)
	var m struct{ Batch []map[string]any }
	if err := json.Unmarshal([]byte(got.body), &m); err != nil {
		t.Fatalf("%v: %s", err, got.body)
	}
	if id, _ := m.Batch[1]["acknowledgement_id"].(string); !uuid.MatchString(id) {
		t.Errorf("acknowledgement %v", m.Batch[1])
	}
	m.Batch[1]["acknowledgement_id"] = "ID"
	if text := fmt.Sprint(m.Batch); text != `[map[] map[acknowledgement_id:ID subscription_count:1 user_count:1] map[acknowledgement_id:m]]` {
		t.Error(text)
	}
}

// Checklist: http-api 58
func TestHTTP058BatchFailure(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("c")
	n.post("batch_events", `{"batch":[{"channel":"c","name":"first"},{"channel":"c"},{"channel":"c","name":"last"}]}`).fails(t, 400, "invalid_input", "Event name is required")
	s.settle("c")
	if len(s.events("first")) != 1 || len(s.events("last")) != 0 {
		t.Errorf("delivered %v", s.texts())
	}
	// What is not of the right form is refused before anything is published.
	n.post("batch_events", `{"batch":[{"channel":"c","name":"early"},{"channel":"c","name":7}]}`).fails(t, 422, "invalid_input", "name must be a string")
	if len(s.settle("c").events("early")) != 0 {
		t.Error("published a batch that cannot be read")
	}
}
