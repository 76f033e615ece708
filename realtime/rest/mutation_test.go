package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sockudo/caddy-sockudo/realtime/history"
)

// mutating is a node that answers with what it has read of a mutation, or of a query
// for versions.
func mutating(t testing.TB) *node {
	t.Helper()
	n := newNode(t, testApp())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveMutations(n.handler, w, r) }))
	t.Cleanup(server.Close)
	n.server = server
	return n
}

func serveMutations(handler *Handler, w http.ResponseWriter, r *http.Request) {
	action := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	rt := &route{r.Method, r.Method, func(c *call) ([]byte, *failure) {
		if action == "versions" {
			q, f := c.versionQuery("m", 100)
			return fmt.Appendf(nil, "%+v", q), f
		}
		m, f := c.mutation(action)
		if f != nil {
			return nil, f
		}
		return fmt.Appendf(nil, "%s name=%s data=%s extras=%s clears=%v,%v,%v client=%s description=%s metadata=%s op=%v socket=%v", m.Action, shownText(m.Name),
			m.Data, m.Extras, m.ClearName, m.ClearData, m.ClearExtras, shownText(m.ClientID), shownText(m.Description), m.Metadata, m.opID, m.socketID), nil
	}}
	live, err := handler.hub.Live()
	if err != nil {
		errNoSettings.write(w)
		return
	}
	defer live.Release()
	c := newCall(handler, live, w, r)
	c.serve(rt, appID, "")
	c.free()
}

func shownText(text *string) string {
	if text == nil {
		return "-"
	}
	return fmt.Sprintf("%q", *text)
}

func TestMutationBodies(t *testing.T) {
	n := mutating(t)
	for _, c := range []struct{ action, body, want string }{
		{
			"update", `{"name":"n","data":{"a": [1, 2.50]},"extras":{"headers":{"a":1}, "x":{}},"client_id":"u","socket_id":"1.2","description":"d","metadata":{"ip": "x"},"op_id":"o","more":1}`,
			`update name="n" data={"a":[1,2.50]} extras={"headers":{"a":1},"x":{}} clears=false,false,false client="u" description="d" metadata={"ip":"x"} op={o true} socket={1.2 true}`,
		},
		{
			"update", `{"name":null,"data":null,"extras":null,"clear_fields":["extras","name","data"],"client_id":null,"description":null,"metadata":null,"op_id":null,"socket_id":null}`,
			`update name=- data= extras= clears=true,true,true client=- description=- metadata= op={ false} socket={ false}`,
		},
		{"update", `{"name":"","data":""}`, `update name="" data="" extras= clears=false,false,false client=- description=- metadata= op={ false} socket={ false}`},
		{"update", `{"data":"a\u00fc\n"}`, `update name=- data="a\u00fc\n" extras= clears=false,false,false client=- description=- metadata= op={ false} socket={ false}`},
		{"update", `{"metadata":false,"clear_fields":null}`, `update name=- data= extras= clears=false,false,false client=- description=- metadata=false op={ false} socket={ false}`},
		// Extras that say nothing replace those that do, and a change is never ephemeral.
		{"update", `{"extras":{"ephemeral":true,"idempotencyKey":"k"}}`, `update name=- data= extras={} clears=false,false,false client=- description=- metadata= op={ false} socket={ false}`},
		{"delete", `{}`, `delete name=- data= extras= clears=false,false,false client=- description=- metadata= op={ false} socket={ false}`},
		{
			"delete", `{"name":7,"data":[],"clear_fields":["name"]}`,
			`delete name=- data=[] extras= clears=true,false,false client=- description=- metadata= op={ false} socket={ false}`,
		},
		{
			"append", `{"data":"lo","name":7,"clear_fields":7,"extras":{"ai":{"transport":{"status":"streaming"}}},"op_id":"` + strings.Repeat("o", 64) + `"}`,
			`append name=- data="lo" extras={"ai":{"transport":{"status":"streaming"}}} clears=false,false,false client=- description=- metadata= op={` + strings.Repeat("o", 64) + ` true} socket={ false}`,
		},
		{"append", `{"data":1,"data":"\u0000"}`, `append name=- data="\u0000" extras= clears=false,false,false client=- description=- metadata= op={ false} socket={ false}`},
		{"append", `{"data":"","extras":{"ai":{"codec":{"status":"complete"}}}}`, `append name=- data="" extras={"ai":{"codec":{"status":"complete"}}} clears=false,false,false client=- description=- metadata= op={ false} socket={ false}`},
		{"append", `{"data":"","extras":{"ai":{"transport":{"status":"cancelled"}}}}`, `append name=- data="" extras={"ai":{"transport":{"status":"cancelled"}}} clears=false,false,false client=- description=- metadata= op={ false} socket={ false}`},
	} {
		n.post(c.action, c.body).is(t, 200, c.want)
	}
}

// Checklist: http-api 129
func TestHTTP129UpdatesThatAreRefused(t *testing.T) {
	n := mutating(t)
	const empty = "update request must include at least one patch field or operation metadata"
	for text, says := range map[string]string{
		`{}`: empty, `{"socket_id":"1.2"}`: empty, `{"op_id":"o"}`: empty, `{"clear_fields":[]}`: empty, `{"name":null,"data":null,"extras":null,"metadata":null}`: empty,
		`{"clear_fields":["data","data"]}`:                         "clear_fields must not contain duplicates",
		`{"clear_fields":["name","data","extras","data","data"]}`:  "clear_fields must not contain duplicates",
		`{"name":"n","clear_fields":["name"]}`:                     "update request cannot both replace and clear the same field",
		`{"data":0,"clear_fields":["name","data"]}`:                "update request cannot both replace and clear the same field",
		`{"extras":{},"clear_fields":["extras"]}`:                  "update request cannot both replace and clear the same field",
		`{"extras":{"headers":{"sockudo_action":"x"}}}`:            "sockudo_action",
		`{"data":1,"extras":{"ai":{"transport":{"status":true}}}}`: "extras.ai.transport",
		`{"data":1`: "not valid JSON",
	} {
		n.post("update", text).fails(t, 400, "invalid_input", says)
	}
	n.post("delete", `{"data":"","clear_fields":["data"]}`).fails(t, 400, "invalid_input", "delete request cannot both replace and clear the same field")
	n.post("delete", `{"clear_fields":["name","name"]}`).fails(t, 400, "invalid_input", "clear_fields must not contain duplicates")
}

func TestEmptyAppends(t *testing.T) {
	n := mutating(t)
	for _, extras := range []string{``, `,"extras":{}`, `,"extras":{"ai":{"transport":{"status":"streaming"}}}`, `,"extras":{"ai":{"codec":{"state":"complete"}}}`, `,"extras":{"status":"complete"}`} {
		n.post("append", `{"data":""`+extras+`}`).fails(t, 400, "invalid_input", "append request data must not be empty")
	}
}

// Checklist: http-api 135
func TestHTTP135LongOpID(t *testing.T) {
	n := mutating(t)
	for _, action := range []string{"update", "delete", "append"} {
		for _, id := range []string{"", strings.Repeat("o", 65), strings.Repeat("ü", 33)} {
			n.post(action, body("data", "d", "op_id", id)).fails(t, 400, "invalid_input", "op_id must be 1..=64 bytes")
		}
		if got := n.post(action, body("data", "d", "op_id", strings.Repeat("ü", 32))); got.status != 200 {
			t.Error(action, got.status, got.body)
		}
	}
}

func TestMutationsOfAnotherShape(t *testing.T) {
	n := mutating(t)
	for _, c := range []struct{ action, body, says string }{
		{"update", `[]`, "must be a JSON object"},
		{"update", `{"name":1}`, "name must be a string"},
		{"update", `{"extras":[]}`, "extras must be an object"},
		{"update", `{"extras":{"headers":{"a":{}}}}`, "extras.headers must be an object of strings, numbers or booleans"},
		{"update", `{"clear_fields":"name"}`, "clear_fields must be a list of name, data and extras"},
		{"update", `{"clear_fields":["Name"]}`, "clear_fields must be a list"},
		{"update", `{"clear_fields":[null]}`, "clear_fields must be a list"},
		{"update", `{"client_id":1}`, "client_id must be a string"},
		{"update", `{"description":{}}`, "description must be a string"},
		{"update", `{"socket_id":1.2}`, "socket_id must be a string"},
		{"delete", `{"op_id":1}`, "op_id must be a string"},
		{"append", `{}`, "data must be a string"},
		{"append", `{"data":null}`, "data must be a string"},
		{"append", `{"data":{"a":1}}`, "data must be a string"},
		{"append", `{"data":"x","data":1}`, "data must be a string"},
	} {
		n.post(c.action, c.body).fails(t, 422, "invalid_input", c.says)
	}
}

// Checklist: http-api 140
func TestHTTP140QueriesForVersions(t *testing.T) {
	n := mutating(t)
	for _, c := range []struct {
		params []string
		want   string
	}{
		{nil, "{Message:m OldestFirst:false Cursor: Limit:100}"},
		{[]string{"direction", "newest_first", "limit", "7", "cursor", "v:2"}, "{Message:m OldestFirst:false Cursor:v:2 Limit:7}"},
		{[]string{"direction", "oldest_first", "limit", "18446744073709551615"}, "{Message:m OldestFirst:true Cursor: Limit:100}"},
	} {
		n.get("versions", c.params...).is(t, 200, c.want)
	}
	for _, direction := range []string{"", "backwards", "forwards", "reverse", "forward", "Newest_First"} {
		n.get("versions", "direction", direction).fails(t, 400, "invalid_input", "Invalid direction '"+direction+"'")
	}
	n.get("versions", "limit", "0").fails(t, 400, "invalid_input", "versions limit must be greater than 0")
	n.get("versions", "limit", "abc").fails(t, 400, "invalid_input", "limit must be a whole number: 'abc'")
	n.get("versions", "cursor", "a b").fails(t, 400, "invalid_input", "version_serial must not contain whitespace")
	n.get("versions", "cursor", strings.Repeat("x", 129)).fails(t, 400, "invalid_input", "version_serial must be at most 128 bytes")
}

// FuzzMutation reads bodies of all kinds. What comes out is JSON and can be applied.
func FuzzMutation(f *testing.F) {
	for _, text := range []string{
		`{"name":"n","data":{"a":1},"extras":{"headers":{"a":1},"ai":{"codec":{"status":"complete"}}},"clear_fields":["name"],"client_id":"u","op_id":"o","metadata":[ 1 ]}`,
		`{"data":"x","extras":{"headers":null,"x":"\ud800"},"description":""}`, `{"clear_fields":["data","extras","name"],"metadata":0}`, `{"data":"\ud83d"}`,
	} {
		for action := range 3 {
			f.Add(uint8(action), text)
		}
	}
	f.Fuzz(func(t *testing.T, action uint8, text string) {
		actions := []string{history.MutationUpdate, history.MutationDelete, history.MutationAppend}
		if !utf8.ValidString(text) || !validJSON([]byte(text)) || text[0] != '{' {
			return
		}
		m := &mutation{}
		if m.parse(actions[int(action)%len(actions)], []byte(text)) != nil || m.check(true) != nil {
			return
		}
		m.Fingerprint(nil)
		name := "before"
		after, err := m.Apply(history.Content{Name: &name, Data: json.RawMessage(`"be\\"`), Extras: json.RawMessage(`{"headers":{"sockudo_action":1,"a":2}}`)})
		if err != nil {
			t.Fatalf("%s of %s: %v", m.Action, text, err)
		}
		for _, value := range []json.RawMessage{after.Data, after.Extras, m.Metadata} {
			if value != nil && !json.Valid(value) || strings.Contains(string(after.Extras), `"sockudo_action":1,"a"`) {
				t.Fatalf("%s makes %s of it", text, value)
			}
		}
	})
}
