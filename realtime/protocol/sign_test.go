package protocol

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// What SignRequest signs is what Verify checks, whatever the parameters are called and
// hold, and no signature is good for another method, path or body.
func TestSignRequest(t *testing.T) {
	now := time.Unix(1700000000, 0)
	query := url.Values{"info": {"user_count,subscription_count"}, "Filter_By_Prefix": {"presence-ä &=%"}, "auth_key": {"forged"}, "body_md5": {"forged"}}
	for _, r := range []struct{ method, path, body string }{
		{"GET", "/apps/app-id/channels", ""},
		{"POST", "/apps/app-id/events", `{"name":"e"}`},
		{"POST", "/apps/app-id/channels/room%20one/history/reset/", "{}"},
		{"POST", "/apps/app-id/empty", ""},
		{"DELETE", "/apps/app-id/channels/c/messages/m", ""},
	} {
		raw := SignRequest("app-key", testSecret, r.method, r.path, query, []byte(r.body), now)
		q, err := ParseSignedQuery(raw, true)
		if err != nil {
			t.Fatal(raw, err)
		}
		path := strings.TrimSuffix(r.path, "/")
		if err := q.Verify(testSecret, r.method, path, []byte(r.body), now); err != nil {
			t.Errorf("%s %s: %v in %s", r.method, r.path, err, raw)
		}
		if prefix, _ := q.Get("filter_by_prefix"); q.Key != "app-key" || prefix != "presence-ä &=%" {
			t.Errorf("%s has become %s", raw, prefix)
		}
		if q.Verify("other", r.method, path, []byte(r.body), now) == nil || q.Verify(testSecret, r.method, path+"x", []byte(r.body), now) == nil {
			t.Errorf("%s %s is good for another secret or path", r.method, r.path)
		}
	}
	// The vectors of the documentation come out as they stand there.
	r := vectors[0]
	if got := SignRequest("app-key", testSecret, r.method, r.path, nil, []byte(r.body), now); got != r.query {
		t.Errorf("got  %s\nwant %s", got, r.query)
	}
}

// A token that SignToken makes is one that ParseToken reads, and one that would be
// refused is not made.
func TestSignToken(t *testing.T) {
	claims := TokenClaims{
		ClientID: "user-7", ID: "jti-1", Issued: time.Unix(tokenIat, 0), Expires: time.Unix(tokenExp, 0),
		Capabilities: map[string][]string{"orders:*": {"subscribe", "history"}, "x": {"message_update_own"}},
	}
	text, err := SignToken(tokenKey, tokenSecret, claims)
	if err != nil {
		t.Fatal(err)
	}
	token, e := readToken(text, tokenNow)
	if e != nil {
		t.Fatal(e)
	}
	if token.ClientID != "user-7" || token.ID != "jti-1" || token.Expires.Unix() != tokenExp {
		t.Errorf("%+v", token)
	}
	for _, c := range []struct {
		op      Operation
		channel string
		want    bool
	}{{OpSubscribe, "orders:1", true}, {OpPublish, "orders:1", false}, {OpMessageUpdateOwn, "x", true}, {OpSubscribe, "other", false}} {
		if token.Capabilities.Allows(c.op, c.channel) != c.want {
			t.Errorf("%s on %s: %v", c.op, c.channel, !c.want)
		}
	}
	for want, change := range map[string]func(*TokenClaims){
		"jti must be a string of 1 to 128 bytes":                 func(c *TokenClaims) { c.ID = "" },
		"x-sockudo-client-id must be a string of 1 to 128 bytes": func(c *TokenClaims) { c.ClientID = strings.Repeat("x", 129) },
		"lifetime is above 86400 seconds":                        func(c *TokenClaims) { c.Expires = c.Issued.Add(25 * time.Hour) },
		"exp must be after iat":                                  func(c *TokenClaims) { c.Expires = c.Issued },
		"x-sockudo-capability has an unknown operation":          func(c *TokenClaims) { c.Capabilities = map[string][]string{"x": {"fly"}} },
		"x-sockudo-capability has an empty pattern":              func(c *TokenClaims) { c.Capabilities = map[string][]string{"": {"publish"}} },
	} {
		bad := claims
		change(&bad)
		if _, err := SignToken(tokenKey, tokenSecret, bad); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := SignToken("", tokenSecret, claims); err == nil {
		t.Error("a token without a key")
	}
	for _, name := range Operations() {
		if !KnownOperation(name) || !KnownOperation(strings.ReplaceAll(name, "-", "_")) {
			t.Errorf("%s is not known", name)
		}
	}
}
