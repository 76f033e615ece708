package rest

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// FuzzAnnotations sends signed bodies: whatever they are, the answer is JSON and no
// fault of the server, and so is the list of what was kept.
func FuzzAnnotations(f *testing.F) {
	for _, text := range []string{
		`{"type":"reactions:distinct.v1","name":"like","clientId":"u1","socketId":"123.456","count":1,"data":{"any": "json"},"encoding":"json"}`,
		`{"type":"r:multiple.v1","name":"\ud800\u0000","client_id":"u","count":9007199254740991,"data":[1, "\u2028"]}`, `{"type":"r:total.v1","data":null}`,
		`{"type":"r:flag.v1","clientId":"\"\\","count":0}`, `{"type":"ü:unique.v1","name":"n","clientId":"c","data":1e400}`,
	} {
		f.Add(text)
	}
	n, h := annotating(f)
	send := func(t *testing.T, method, text string) *httptest.ResponseRecorder {
		path := "/apps/app-id/" + annotationsPath
		r := httptest.NewRequest(method, path+"?"+signed(method, path, nil, text, appKey, appSecret, time.Now()), strings.NewReader(text))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		serveAnnotations(n.handler, h, w, r)
		if !json.Valid(w.Body.Bytes()) || !utf8.Valid(w.Body.Bytes()) {
			t.Fatalf("answered %q", w.Body)
		}
		return w
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := send(t, "POST", text)
		switch w.Code {
		case 400, 401, 413, 422:
			return
		case 200:
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w := send(t, "GET", ""); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if told := h.told[len(h.told)-1]; !utf8.ValidString(told) {
			t.Fatalf("told %q", told)
		}
		h.told = h.told[:0]
		// Every run begins with an empty log.
		a := h.AnnotationPolicy(testApp(), "chat-1").Annotations
		if err := a.Store.Reset(t.Context(), a.Key(), protocol.NewMessageID()); err != nil {
			t.Fatal(err)
		}
	})
}
