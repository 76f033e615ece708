package protocol

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

const (
	testKey, testSecret, testSocket = "app-key", "app-secret", "1234567890.9876543210"
)

// Checklist: protocol 63, 64, 65
func TestChannelSignatures(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{SignChannel(testKey, testSecret, testSocket, "private-orders", ""), "app-key:7bec11937e0b3d95d425ed370a47c5b19104d89f03332b04d7572e8985d60f71"},
		{SignChannel(testKey, testSecret, testSocket, "presence-lobby", `{"user_id":"u1","user_info":{"name":"Ada"}}`), "app-key:a089d86c2ddcc8e2a81b22c6aeaf870f4fa2ea7a55192851de12f8a53d11f683"},
		{SignUser(testKey, testSecret, testSocket, `{"id":"u1","user_info":{"name":"Ada"},"watchlist":["u2"]}`), "app-key:699b47236adcb98d7c530960059a4ce4ce06879fdcf0400d37d7cb75dd14b635"},
	} {
		if !Equal(test.got, test.want) {
			t.Errorf("got %s, want %s", test.got, test.want)
		}
	}
	if SignChannel(testKey, testSecret, "1.2", "private-orders", "") == SignChannel(testKey, testSecret, "1.3", "private-orders", "") {
		t.Error("the signature does not cover the socket id")
	}
}

type signedRequest struct {
	method, path, query, body string
}

var vectors = []signedRequest{
	{"POST", "/apps/app-id/events", "auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0&body_md5=02875efcc8fe5dff4e17f909dfbea1ad&auth_signature=41bbfc43e8eb4e30f4162824e65b5920d39ea624bd022b3af5f60a26f806708c", `{"name":"order.created","channels":["orders"],"data":"{\"id\":\"ord_1\"}"}`},
	{"GET", "/apps/app-id/channels", "info=user_count&auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0&filter_by_prefix=presence-&auth_signature=fd5a1b38d92aee2b7913a8cf43136cffab888ee5a097536910d6239f08eb68a2", ""},
	{"GET", "/apps/app-id/channels/presence-lobby", "Zkey=MixedCase%20Value&info=subscription_count%2Cuser_count&auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0&auth_signature=73fbc40ed42fb3210442e22cfb1f3592bffd2d80a9c3106e51ad610276676cd6", ""},
	{"GET", "/apps/app-id/channels/room%20one", "auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0&info=subscription_count&auth_signature=f2047bfa1952411ebdd2168b9360117d5539025deace6fa492a00cd5ad38d5d9", ""},
	{"POST", "/apps/app-id/users/u1/terminate_connections", "auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0&body_md5=99914b932bd37a50b983c5e7c90ae93b&auth_signature=05a27cccae0fd91a5549cf8c5c72bcb2f1bed4287b2b09e6324b0bc92cb11077", "{}"},
	{"DELETE", "/apps/app-id/channels/chat/messages/m1/annotations/ann1", "auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0&auth_signature=9d33fdfdee9fdf24e9bc1df33d8132723b031cea2504bebf2c2877ef03289239", ""},
}

func (r signedRequest) verify(at int64) error {
	q, err := ParseSignedQuery(r.query, true)
	if err != nil {
		return err
	}
	return q.Verify(testSecret, r.method, r.path, []byte(r.body), time.Unix(at, 0))
}

// Checklist: http-api 15, 19, 24, 25, 30
// Checklist: configuration 137
func TestRequestVectors(t *testing.T) {
	for _, r := range vectors {
		for _, at := range []int64{1700000000, 1700000600, 1699999400} {
			if err := r.verify(at); err != nil {
				t.Errorf("%s %s at %d: %v", r.method, r.path, at, err)
			}
		}
		for _, at := range []int64{1700000601, 1699999399} {
			if err := r.verify(at); err != ErrTimestampWindow { //nolint:errorlint // identity is what is meant
				t.Errorf("%s %s at %d: %v", r.method, r.path, at, err)
			}
		}
	}
	if err := vectors[1].verify(1700000000); err != nil {
		t.Error("the same request is refused the second time:", err)
	}
}

// Checklist: http-api 23, 27, 28
func TestRequestForgeries(t *testing.T) {
	base := vectors[0]
	for name, change := range map[string]func(*signedRequest){
		"method":         func(r *signedRequest) { r.method = "PUT" },
		"path":           func(r *signedRequest) { r.path += "x" },
		"body":           func(r *signedRequest) { r.body += " " },
		"parameter":      func(r *signedRequest) { r.query += "&x=1" },
		"upper-case hex": func(r *signedRequest) { r.query = strings.Replace(r.query, "41bbfc", "41BBFC", 1) },
		"no signature":   func(r *signedRequest) { r.query, _, _ = strings.Cut(r.query, "&auth_signature") },
		"other version":  func(r *signedRequest) { r.query = strings.Replace(r.query, "1.0", "2.0", 1) },
	} {
		r := base
		change(&r)
		if r.verify(1700000000) == nil {
			t.Errorf("a changed %s is accepted", name)
		}
	}
	for _, version := range []string{"", "&auth_version=2.0"} {
		text := "GET\n/p\nauth_key=k&auth_timestamp=1700000000" + version
		r := signedRequest{"GET", "/p", "auth_key=k&auth_timestamp=1700000000" + version + "&auth_signature=" + Sign(testSecret, text), ""}
		if err := r.verify(1700000000); err != nil {
			t.Errorf("version %q: %v", version, err)
		}
	}
}

// Checklist: http-api 16, 20, 21, 22, 26
func TestSignedQueryRules(t *testing.T) {
	if _, err := ParseSignedQuery("", false); err != ErrQueryMissing { //nolint:errorlint // identity
		t.Error(err)
	}
	for _, empty := range []string{"", "&", "&&"} {
		if _, err := ParseSignedQuery(empty, true); err != ErrQueryEmpty { //nolint:errorlint // identity
			t.Error(empty, err)
		}
	}
	if _, err := ParseSignedQuery("auth_key=a&auth_key=b", true); err == nil || !strings.HasPrefix(err.Error(), "Invalid authentication query parameters") {
		t.Error("a repeated auth key:", err)
	}
	if _, err := ParseSignedQuery("a=%zz", true); err == nil {
		t.Error("an undecodable query is accepted")
	}
	q, err := ParseSignedQuery("b=1&A=2&a=3&b=4&auth_key=k", true)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(q.appendText(nil, "get", "/")); got != "GET\n/\na=3&auth_key=k&b=4" {
		t.Errorf("%q", got)
	}
	sign := func(query string) string {
		q, err := ParseSignedQuery(query, true)
		if err != nil {
			t.Fatal(err)
		}
		return query + "&auth_signature=" + Sign(testSecret, string(q.appendText(nil, "POST", "/p")))
	}
	base := "auth_key=k&auth_timestamp=1700000000"
	md5 := "99914b932bd37a50b983c5e7c90ae93b"
	for _, test := range []struct {
		query, body string
		want        error
	}{
		{base, "", nil},
		{base + "&body_md5=", "", ErrBodyMD5Missing},
		{base, "{}", ErrBodyMD5Missing},
		{base + "&body_md5=" + md5, "{}", nil},
		{base + "&body_md5=" + md5, "{ }", ErrBodyMD5},
		{base + "&body_md5=" + strings.ToUpper(md5), "{}", ErrBodyMD5},
		{"auth_key=k", "", ErrTimestampMissing},
		{"auth_key=k&auth_timestamp=x", "", ErrTimestampFormat},
	} {
		r := signedRequest{"POST", "/p", sign(test.query), test.body}
		if err := r.verify(1700000000); err != test.want { //nolint:errorlint // identity
			t.Errorf("%s with %q: %v, want %v", test.query, test.body, err, test.want)
		}
	}
	r := signedRequest{"GET", "/p", sign(base + "&body_md5=" + md5), ""}
	if err := r.verify(1700000000); err == nil || !strings.Contains(err.Error(), "GET") {
		t.Error("a GET with body_md5:", err)
	}
}

func FuzzSignedQuery(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.query, v.path, v.body)
	}
	f.Add("auth_key=a&A=1&a=2&%41=3", "/", "")
	f.Fuzz(func(t *testing.T, query, path, body string) {
		q, err := ParseSignedQuery(query, true)
		if err != nil {
			return
		}
		if _, err := url.ParseQuery(strings.ReplaceAll(query, ";", "%3b")); err != nil {
			t.Errorf("%q is accepted but cannot be decoded: %v", query, err)
		}
		if q.Verify("a secret nobody signed with", "GET", path, []byte(body), time.Unix(1700000000, 0)) == nil {
			t.Errorf("%q verifies", query)
		}
	})
}
