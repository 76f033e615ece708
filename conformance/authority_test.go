package conformance

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// masterKey is that of encrypted channels; no server ever sees it.
var masterKey = []byte("conformance-master-key-32-bytes!")

// authority is the application's backend: it signs for channels and users the way
// Pusher's documents say, with nothing but the standard library.
//
// It takes the form fields id, info and watchlist for the user that asks, and
// ?sign= wrong, foreign or forbid to do its job badly.
type authority struct {
	app app
}

func newAuthority(t *testing.T, a app) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /channels", authority{a}.channels)
	mux.HandleFunc("POST /users", authority{a}.users)
	srv := httptest.NewServer(crossOrigin(mux))
	t.Cleanup(srv.Close)
	return srv.URL
}

// crossOrigin lets pages of any origin ask.
func crossOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "*")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a authority) channels(w http.ResponseWriter, r *http.Request) {
	socket, channel := r.FormValue("socket_id"), r.FormValue("channel_name")
	signed, answer := socket+":"+channel, map[string]string{}
	if strings.HasPrefix(channel, "presence-") {
		data := object("user_id", jsonField(r, "id"), "user_info", jsonField(r, "info"))
		signed, answer["channel_data"] = signed+":"+data, data
	}
	if strings.HasPrefix(channel, "private-encrypted-") {
		secret := sha256.Sum256(append([]byte(channel), masterKey...))
		answer["shared_secret"] = base64.StdEncoding.EncodeToString(secret[:])
	}
	a.answer(w, r, signed, answer)
}

func (a authority) users(w http.ResponseWriter, r *http.Request) {
	data := object("id", jsonField(r, "id"), "user_info", jsonField(r, "info"), "watchlist", jsonField(r, "watchlist"))
	a.answer(w, r, r.FormValue("socket_id")+"::user::"+data, map[string]string{"user_data": data})
}

func (a authority) answer(w http.ResponseWriter, r *http.Request, signed string, answer map[string]string) {
	key, secret := a.app.Key, a.app.Secret
	switch r.FormValue("sign") {
	case "wrong":
		secret = "not-" + secret
	case "foreign":
		key = "not-" + key
	case "forbid":
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	answer["auth"] = key + ":" + sign(secret, signed)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that went away is its own affair
}

func sign(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// jsonField is a form field as JSON: what is not JSON already is text. An id of
// digits is a number, as Laravel's are.
func jsonField(r *http.Request, field string) string {
	value := r.FormValue(field)
	if value == "" || json.Valid([]byte(value)) {
		return value
	}
	text, _ := json.Marshal(value) // a string is always JSON
	return string(text)
}

// object writes the members that have a value, in the order given.
func object(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + pairs[i] + `":` + pairs[i+1])
	}
	return "{" + b.String() + "}"
}

// The vectors were computed elsewhere; a wrong authority would prove nothing.
func TestAuthority(t *testing.T) {
	for text, want := range map[string]string{
		"1234567890.9876543210:private-orders":                                                   "7bec11937e0b3d95d425ed370a47c5b19104d89f03332b04d7572e8985d60f71",
		`1234567890.9876543210:presence-lobby:{"user_id":"u1","user_info":{"name":"Ada"}}`:       "a089d86c2ddcc8e2a81b22c6aeaf870f4fa2ea7a55192851de12f8a53d11f683",
		`1234567890.9876543210::user::{"id":"u1","user_info":{"name":"Ada"},"watchlist":["u2"]}`: "699b47236adcb98d7c530960059a4ce4ce06879fdcf0400d37d7cb75dd14b635",
	} {
		if got := sign(openApp.Secret, text); got != want {
			t.Errorf("sign(%s) = %s, want %s", text, got, want)
		}
	}
}
