package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

const (
	tokenKey    = "app-key"
	tokenSecret = "app-secret"
	tokenHeader = `{"alg":"HS256","typ":"JWT","kid":"app-key"}`
	// tokenIat and tokenExp are those of the vector of Appendix E.
	tokenIat = 1790000000
	tokenExp = 1790003600
	// tokenVector is the token of Appendix E.
	tokenVector = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImFwcC1rZXkifQ." +
		"eyJ4LXNvY2t1ZG8tY2xpZW50LWlkIjoidXNlci03IiwieC1zb2NrdWRvLWNhcGFiaWxpdHkiOnsib3JkZXJzOioiOlsic3Vic2NyaWJlIiwiaGlzdG9yeSJdfSwiaWF0IjoxNzkwMDAwMDAwLCJleHAiOjE3OTAwMDM2MDAsImp0aSI6Imp0aS0xIn0." +
		"IMRSfR4pDXYBDtBDbkrb20-eXwebN8jEnh8hLsqOL-U"
	vectorClaims = `{"x-sockudo-client-id":"user-7","x-sockudo-capability":{"orders:*":["subscribe","history"]},"iat":1790000000,"exp":1790003600,"jti":"jti-1"}`
)

var tokenNow = time.Unix(tokenIat+60, 0)

// mint signs a token as a backend does.
func mint(header, claims, secret string) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(header)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

// claimsWith are the claims of the vector, with some replaced by JSON or, where that
// is empty, left out.
func claimsWith(changes map[string]string) string {
	claims := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(vectorClaims), &claims); err != nil {
		panic(err)
	}
	for name, text := range changes {
		if claims[name] = json.RawMessage(text); text == "" {
			delete(claims, name)
		}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func readToken(text string, now time.Time) (*Token, *Error) {
	return ParseToken(text, tokenKey, []string{tokenSecret}, now)
}

func TestTokenVector(t *testing.T) {
	if got := mint(tokenHeader, vectorClaims, tokenSecret); got != tokenVector {
		t.Fatalf("minted %s", got)
	}
	token, e := readToken(tokenVector, tokenNow)
	if e != nil {
		t.Fatal(e)
	}
	if token.ClientID != "user-7" || token.ID != "jti-1" || token.Expires.Unix() != tokenExp {
		t.Errorf("%+v", token)
	}
	for op := range Operation(len(operationNames)) {
		want := op == OpSubscribe || op == OpHistory
		if got := token.Capabilities.Allows(op, "orders:1"); got != want {
			t.Errorf("%s on orders:1 is %v", op, got)
		}
		if token.Capabilities.Allows(op, "orders") {
			t.Errorf("%s is permitted on another channel", op)
		}
	}
}

func TestTokensThatAreGood(t *testing.T) {
	iat := time.Unix(tokenIat, 0)
	full := strings.Repeat("x", MaxTokenName)
	for _, c := range []struct {
		name string
		now  time.Time
		with map[string]string
	}{
		{"clock as far behind as it may be", iat.Add(-30 * time.Second), nil},
		{"just before the leeway ends", iat.Add(3629*time.Second + 999*time.Millisecond), nil},
		{"nbf within the leeway", tokenNow, map[string]string{"nbf": "1790000090"}},
		{"nbf is null", tokenNow, map[string]string{"nbf": "null"}},
		{"longest life", tokenNow, map[string]string{"exp": "1790086400"}},
		{"longest names", tokenNow, map[string]string{"jti": `"` + full + `"`, "x-sockudo-client-id": `"` + full + `"`}},
		{"capability as text", tokenNow, map[string]string{"x-sockudo-capability": `" {\"orders:*\":[\"subscribe\"]} "`}},
		{"no rights", tokenNow, map[string]string{"x-sockudo-capability": `{}`}},
		{"pattern without operations", tokenNow, map[string]string{"x-sockudo-capability": `{"a":[]}`}},
		{"underscores", tokenNow, map[string]string{"x-sockudo-capability": `{"*":["message_append_any","annotation-delete-own"]}`}},
		{"a hundred patterns", tokenNow, map[string]string{"x-sockudo-capability": manyPatterns(100)}},
		{"other claims", tokenNow, map[string]string{"sub": `7`, "aud": `["x"]`}},
	} {
		if token, e := readToken(mint(tokenHeader, claimsWith(c.with), tokenSecret), c.now); e != nil || token == nil {
			t.Errorf("%s: %v", c.name, e)
		}
	}
}

func manyPatterns(n int) string {
	grants := map[string][]string{}
	for i := range n {
		grants[fmt.Sprint("c", i)] = []string{"subscribe"}
	}
	text, err := json.Marshal(grants)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestTokenOfAnyValidSecret(t *testing.T) {
	for secrets, good := range map[string]bool{"app-secret": true, "new,app-secret": true, "app-secret,old": true, "new": false, "": false, "app-secret2": false} {
		_, e := ParseToken(tokenVector, tokenKey, strings.Split(secrets, ","), tokenNow)
		if (e == nil) != good {
			t.Errorf("secrets %q: %v", secrets, e)
		}
	}
	if _, e := ParseToken(tokenVector, tokenKey, nil, tokenNow); e == nil {
		t.Error("an app without secrets takes a token")
	}
	if _, e := ParseToken(mint(tokenHeader, vectorClaims, ""), tokenKey, []string{""}, tokenNow); e == nil {
		t.Error("an empty secret signs")
	}
}

// refusals are tokens that break one rule each, and what the refusal says.
func refusals() map[string][2]string {
	signed := func(header string, changes map[string]string) string {
		return mint(header, claimsWith(changes), tokenSecret)
	}
	all := map[string][2]string{
		"alg none":             {signed(`{"alg":"none","kid":"app-key"}`, nil), "alg must be HS256"},
		"alg HS384":            {signed(`{"alg":"HS384","kid":"app-key"}`, nil), "alg must be HS256"},
		"alg in another case":  {signed(`{"alg":"hs256","kid":"app-key"}`, nil), "alg must be HS256"},
		"alg is missing":       {signed(`{"kid":"app-key"}`, nil), "alg must be HS256"},
		"alg twice":            {signed(`{"alg":"none","alg":"HS256","kid":"app-key"}`, nil), "header is an object with a member that is there twice"},
		"alg twice, escaped":   {signed(`{"alg":"HS256","\u0061lg":"HS256","kid":"app-key"}`, nil), "there twice"},
		"member case":          {signed(`{"Alg":"HS256","kid":"app-key"}`, nil), "alg must be HS256"},
		"kid of another app":   {signed(`{"alg":"HS256","kid":"app-key2"}`, nil), "kid must be the app key"},
		"kid in another case":  {signed(`{"alg":"HS256","kid":"APP-KEY"}`, nil), "kid must be the app key"},
		"kid is missing":       {signed(`{"alg":"HS256"}`, nil), "kid must be the app key"},
		"kid is a number":      {signed(`{"alg":"HS256","kid":7}`, nil), "kid must be the app key"},
		"crit":                 {signed(`{"alg":"HS256","kid":"app-key","crit":["b64"]}`, nil), "crit"},
		"header is a list":     {signed(`["HS256"]`, nil), "header is not a JSON object"},
		"header and more":      {signed(tokenHeader+`{}`, nil), "header is not valid JSON"},
		"claims are a list":    {mint(tokenHeader, `[]`, tokenSecret), "claims are not a JSON object"},
		"claims and more":      {mint(tokenHeader, vectorClaims+"x", tokenSecret), "claims are not valid JSON"},
		"claims are not UTF-8": {mint(tokenHeader, strings.Replace(vectorClaims, "jti-1", "jti-\xff", 1), tokenSecret), "claims are not valid UTF-8"},
		"jti twice":            {mint(tokenHeader, vectorClaims[:len(vectorClaims)-1]+`,"jti":"jti-2"}`, tokenSecret), "claims are an object with a member that is there twice"},
		"pattern twice":        {signed(tokenHeader, map[string]string{"x-sockudo-capability": `"{\"a\":[],\"a\":[]}"`}), "there twice"},
		"other secret":         {mint(tokenHeader, vectorClaims, "another"), "signature is not valid"},
		"other claims":         {replacePart(tokenVector, 1, []byte(claimsWith(map[string]string{"jti": `"jti-2"`}))), "signature is not valid"},
		"nothing":              {"", "three parts"},
		"two parts":            {tokenVector[:strings.LastIndexByte(tokenVector, '.')], "three parts"},
		"four parts":           {tokenVector + ".", "three parts"},
		"no signature":         {tokenVector[:strings.LastIndexByte(tokenVector, '.')+1], "signature is not valid"},
		"short signature":      {tokenVector[:len(tokenVector)-4], "signature is not valid"},
		"more after the end":   {tokenVector + "AAAA", "signature is not valid"},
		"line end":             {tokenVector + "\n", "signature is not valid"},
		"line end inside":      {tokenVector[:3] + "\r" + tokenVector[3:], "header is not base64url"},
		"padding":              {tokenVector + "=", "signature is not valid"},
		"another last letter":  {tokenVector[:len(tokenVector)-1] + "V", "signature is not valid"}, // the same bytes, were it not strict
		"ordinary base64":      {strings.ReplaceAll(tokenVector, "-", "+"), "signature is not valid"},
		"too long":             {mint(tokenHeader, claimsWith(map[string]string{"pad": `"` + strings.Repeat("x", 6000) + `"`}), tokenSecret), "longer than 8192 bytes"},
		"101 patterns":         {signed(tokenHeader, map[string]string{"x-sockudo-capability": manyPatterns(101)}), "more than 100 patterns"},
	}
	maps.Copy(all, claimRefusals(signed))
	return all
}

func replacePart(token string, i int, with []byte) string {
	parts := strings.Split(token, ".")
	parts[i] = base64.RawURLEncoding.EncodeToString(with)
	return strings.Join(parts, ".")
}

func claimRefusals(signed func(header string, changes map[string]string) string) map[string][2]string {
	all := map[string][2]string{}
	for _, c := range []struct{ claim, value, says string }{
		{"exp", "", "exp is missing"},
		{"exp", "null", "exp is missing"},
		{"exp", "1790003600.0", "exp must be a whole number"},
		{"exp", "1.7900036e9", "exp must be a whole number"},
		{"exp", `"1790003600"`, "exp must be a whole number"},
		{"exp", "-1790003600", "exp must be a whole number"},
		{"exp", "253402300800", "exp must be a whole number"},
		{"exp", "99999999999999999999", "exp must be a whole number"},
		{"exp", "1790086401", "lifetime is above 86400"},
		{"exp", "1790000000", "exp must be after iat"},
		{"exp", "1790000030", "is expired"},
		{"iat", "", "iat is missing"},
		{"iat", "1790000091", "iat is in the future"},
		{"iat", "true", "iat must be a whole number"},
		{"iat", "0", "lifetime is above 86400"},
		{"nbf", "1790000091", "is not valid yet"},
		{"nbf", `"soon"`, "nbf must be a whole number"},
		{"jti", "", "jti must be a string of 1 to 128 bytes"},
		{"jti", `""`, "jti must be a string"},
		{"jti", "7", "jti must be a string"},
		{"jti", `"` + strings.Repeat("x", 129) + `"`, "jti must be a string"},
		{"x-sockudo-client-id", "", "x-sockudo-client-id must be a string"},
		{"x-sockudo-client-id", `""`, "x-sockudo-client-id must be a string"},
		{"x-sockudo-client-id", `"` + strings.Repeat("ü", 65) + `"`, "x-sockudo-client-id must be a string"},
		{"x-sockudo-capability", "", "x-sockudo-capability is missing"},
		{"x-sockudo-capability", "null", "x-sockudo-capability is not a JSON object"},
		{"x-sockudo-capability", "[]", "x-sockudo-capability is not a JSON object"},
		{"x-sockudo-capability", `"x"`, "x-sockudo-capability is not valid JSON"},
		{"x-sockudo-capability", `"\"{}\""`, "x-sockudo-capability is not a JSON object"},
		{"x-sockudo-capability", `"{} {}"`, "x-sockudo-capability is not valid JSON"},
		{"x-sockudo-capability", `{"":["subscribe"]}`, "x-sockudo-capability has an empty pattern"},
		{"x-sockudo-capability", `{"a":["subscribe","admin"]}`, "has an unknown operation"},
		{"x-sockudo-capability", `{"a":["Subscribe"]}`, "has an unknown operation"},
		{"x-sockudo-capability", `{"a":["message_update-own"]}`, "has an unknown operation"},
		{"x-sockudo-capability", `{"a":"subscribe"}`, "must have a list of operations"},
		{"x-sockudo-capability", `{"a":[null]}`, "must have a list of operations"},
		{"x-sockudo-capability", `{"a":null}`, "must have a list of operations"},
	} {
		all[c.claim+" "+c.value[:min(len(c.value), 24)]] = [2]string{signed(tokenHeader, map[string]string{c.claim: c.value}), c.says}
	}
	return all
}

// Checklist: protocol 135
func TestTokensThatAreRefused(t *testing.T) {
	for name, c := range refusals() {
		token, e := readToken(c[0], tokenNow)
		if token != nil || e == nil {
			t.Errorf("%s: became %+v", name, token)
			continue
		}
		checkTokenError(t, c[0], e)
		if !strings.Contains(e.Message, c[1]) {
			t.Errorf("%s: the refusal says %q, want %q", name, e.Message, c[1])
		}
	}
	for at, says := range map[time.Duration]string{-31 * time.Second: "iat is in the future", 3630 * time.Second: "is expired", 48 * time.Hour: "is expired"} {
		if _, e := readToken(tokenVector, time.Unix(tokenIat, 0).Add(at)); e == nil || !strings.Contains(e.Message, says) {
			t.Errorf("%v after iat: %v, want %q", at, e, says)
		}
	}
}

// checkTokenError wants a refusal to be one of the wire, short enough for a close
// frame, and to repeat nothing of the token.
func checkTokenError(t *testing.T, token string, e *Error) {
	t.Helper()
	if e.Code != CodeUnauthorized || e.Close || !strings.HasPrefix(e.Message, "Authentication error: capability token ") || len(e.Message) > 123 {
		t.Errorf("refused with %+v", e)
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 16 && strings.Contains(e.Message, part) {
			t.Errorf("the refusal repeats the token: %q", e.Message)
		}
	}
}

// TestTokenSize wants the longest token to be good, so that the one that is too long
// is refused for its length.
func TestTokenSize(t *testing.T) {
	sized := map[int]string{}
	for i := range 3 { // three bytes become four letters, so not every size is that of some claims
		for n := range 20 {
			header, claims := tokenHeader+strings.Repeat(" ", i), claimsWith(nil)
			claims += strings.Repeat(" ", MaxTokenSize*3/4-len(header)-len(claims)-40+n)
			text := mint(header, claims, tokenSecret)
			sized[len(text)] = text
		}
	}
	for size, good := range map[int]bool{MaxTokenSize - 1: true, MaxTokenSize: true, MaxTokenSize + 1: false} {
		text, ok := sized[size]
		if !ok {
			t.Fatalf("no token of %d bytes", size)
		}
		if _, e := readToken(text, tokenNow); (e == nil) != good || !good && !strings.Contains(e.Message, "longer than") {
			t.Errorf("a token of %d bytes: %v", size, e)
		}
	}
}

// FuzzParseToken signs whatever header and claims there are, so that all is reached,
// and gives the parser the raw text too.
func FuzzParseToken(f *testing.F) {
	f.Add(tokenHeader, vectorClaims, tokenVector)
	f.Add(`{"alg":"HS256","kid":"app-key","crit":[]}`, claimsWith(map[string]string{"nbf": "1e9", "x-sockudo-capability": `"{\"*\":[\"push_admin\"]}"`}), "..")
	for _, c := range refusals() {
		parts := strings.Split(c[0]+"..", ".")
		header, _ := base64.RawURLEncoding.DecodeString(parts[0])
		claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
		f.Add(string(header), string(claims), c[0])
	}
	f.Fuzz(func(t *testing.T, header, claims, raw string) {
		if token, e := readToken(raw, tokenNow); e == nil && raw != tokenVector {
			got := mac(raw[:strings.LastIndexByte(raw, '.')], tokenSecret)
			if raw[strings.LastIndexByte(raw, '.')+1:] != got {
				t.Fatalf("%q became %+v", raw, token)
			}
		} else if e != nil {
			checkTokenError(t, raw, e)
		}
		text := mint(header, claims, tokenSecret)
		token, e := readToken(text, tokenNow)
		if e != nil {
			checkTokenError(t, text, e)
			return
		}
		checkToken(t, token, header, claims)
	})
}

func mac(text, secret string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// checkToken reads an accepted token again, by other means.
func checkToken(t *testing.T, token *Token, header, claims string) {
	t.Helper()
	var h, c map[string]any
	if json.Unmarshal([]byte(header), &h) != nil || json.Unmarshal([]byte(claims), &c) != nil {
		t.Fatalf("accepted %q and %q", header, claims)
	}
	exp, _ := c["exp"].(float64)
	iat, _ := c["iat"].(float64)
	now := float64(tokenNow.Unix())
	switch {
	case h["alg"] != "HS256" || h["kid"] != tokenKey,
		c["jti"] != token.ID || c["x-sockudo-client-id"] != token.ClientID,
		token.ID == "" || len(token.ID) > 128 || token.ClientID == "" || len(token.ClientID) > 128,
		exp-iat > 86400 || exp <= now-30 || iat > now+30 || float64(token.Expires.Unix()) != exp,
		token.Capabilities == nil || len(token.Capabilities.grants) > 100:
		t.Fatalf("accepted %q and %q as %+v", header, claims, token)
	}
	for op := range Operation(len(operationNames)) {
		if !token.Capabilities.listed.has(op) {
			t.Fatalf("%q does not list %s", claims, op)
		}
	}
}
