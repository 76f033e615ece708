package surrealdb

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
)

// errDrop makes a fake server close the connection in place of an answer, and
// errSilent answer nothing.
var (
	errDrop   = errors.New("drop")
	errSilent = errors.New("silent")
)

// fake answers as a server that does what servers should not.
type fake struct {
	url     string
	dials   atomic.Int32
	answers func(method string, params []any) (any, error)

	mu    sync.Mutex
	asked []string
}

func newFake(t *testing.T, answers func(method string, params []any) (any, error)) *fake {
	t.Helper()
	f := &fake{answers: answers}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = "ws" + strings.TrimPrefix(server.URL, "http")
	return f
}

// times is how often something was asked for that begins so.
func (f *fake) times(prefix string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, text := range f.asked {
		if strings.HasPrefix(text, prefix) {
			n++
		}
	}
	return n
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.dials.Add(1)
	ws, err := (&websocket.Upgrader{Subprotocols: []string{"cbor"}}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = ws.Close() }()
	var writing sync.Mutex
	for {
		_, data, err := ws.ReadMessage()
		if err != nil {
			return
		}
		var q request
		if err := codec.Unmarshal(data, &q); err != nil {
			return
		}
		go func() { // as a server does, which answers in any order
			text, err := f.answer(q)
			switch {
			case errors.Is(err, errSilent):
			case err != nil:
				_ = ws.Close()
			default:
				writing.Lock()
				defer writing.Unlock()
				_ = ws.WriteMessage(websocket.BinaryMessage, text)
			}
		}()
	}
}

// answer is the message that answers a request.
func (f *fake) answer(q request) ([]byte, error) {
	said := q.Method
	if text, ok := slices.Concat(q.Params, []any{nil})[0].(string); ok && q.Method == "query" {
		said = text
	}
	f.mu.Lock()
	f.asked = append(f.asked, said)
	f.mu.Unlock()
	answer := map[string]any{"id": q.ID}
	result, err := f.answers(said, q.Params)
	switch {
	case errors.Is(err, errDrop), errors.Is(err, errSilent):
		return nil, err
	case err != nil:
		answer["error"] = map[string]any{"code": -32000, "message": err.Error()}
	default:
		answer["result"] = result
	}
	if whole, ok := result.(raw); ok {
		return whole, nil
	}
	return codec.Marshal(answer)
}

// fine is the answer of a server with an index and no apps.
func fine(said string) any {
	switch {
	case said == "signin", said == "use":
		return "token"
	case strings.HasPrefix(said, "INFO"):
		return ok(map[string]any{"indexes": map[string]any{"applications_key_idx": "DEFINE INDEX applications_key_idx ON applications FIELDS key UNIQUE"}})
	}
	return ok([]any{})
}

// ok is the result of a query of one statement.
func ok(result any) any { return []any{map[string]any{"status": "OK", "result": result}} }
