package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// How long a link is good: unless it says otherwise, and at most.
const (
	DefaultTTL = 15 * time.Minute
	MaxTTL     = 24 * time.Hour
	minTTL     = time.Second
)

// maxToken is the length of the longest token that is looked at, in bytes.
const maxToken = 2 << 10

// Claims are what a link is good for.
type Claims struct {
	// ID names the link in the log.
	ID string `json:"id"`
	// Hub is the name of the hub.
	Hub string `json:"hub"`
	// App is the only app that it shows, or "" for all.
	App string `json:"app,omitempty"`
	// Publish lets it publish events, close connections and send dead letters again.
	Publish bool `json:"publish,omitempty"`
	// Expires is when it is good no more, in Unix seconds.
	Expires int64 `json:"exp"`
}

// Link is a signed way into a console. Whoever has it is admitted.
type Link struct {
	// Path is that of the console on the site, with the token behind a #: it goes into the address
	// bar of a browser, which sends the part before that only.
	Path string `json:"path"`
	// Token is what the page sends with each call, as Authorization: Bearer.
	Token string `json:"token"`
	// Expires is when it is good no more.
	Expires time.Time `json:"expires_at"`
	// App is the only app that it shows, or "" for all.
	App string `json:"app_id,omitempty"`
	// Publish says that it may publish.
	Publish bool `json:"publish"`
}

// Link makes a link that is good for ttl, 15 minutes if that is zero.
func (c *Console) Link(app string, publish bool, ttl time.Duration) (Link, error) {
	s := c.On()
	if ttl == 0 {
		ttl = DefaultTTL
	}
	switch {
	case s == nil:
		return Link{}, ErrOff
	case publish && !s.Publish:
		return Link{}, ErrNoPublish
	case ttl < minTTL || ttl > MaxTTL:
		return Link{}, fmt.Errorf("ttl %v is not between %v and %v", ttl, minTTL, MaxTTL)
	}
	expires := time.Now().Add(ttl).Truncate(time.Second)
	token, err := c.sign(Claims{ID: rand.Text()[:12], Hub: c.hub.Name(), App: app, Publish: publish, Expires: expires.Unix()})
	if err != nil {
		return Link{}, err
	}
	return Link{Path: s.Path + "/#" + token, Token: token, Expires: expires, App: app, Publish: publish}, nil
}

func (c *Console) sign(who Claims) (string, error) {
	text, err := json.Marshal(who)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	token := encode(text) + "." + encode(c.mac(text))
	if len(token) > maxToken {
		return "", errors.New("the name of the app is too long for a link")
	}
	return token, nil
}

// errForged is the answer to whatever is no link of this console.
var (
	errForged  = errors.New("this is no link of this console, or one from before a restart")
	errExpired = errors.New("this link has expired")
)

// verify returns what a token is good for. The signature is compared first, in time that
// does not depend on it.
func (c *Console) verify(token string, now time.Time) (who Claims, err error) {
	claims, signature, ok := strings.Cut(token, ".")
	if !ok || len(token) > maxToken {
		return who, errForged
	}
	text, err := base64.RawURLEncoding.DecodeString(claims)
	if err != nil {
		return who, errForged
	}
	given, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || !hmac.Equal(given, c.mac(text)) {
		return who, errForged
	}
	if err := json.Unmarshal(text, &who); err != nil || who.Hub != c.hub.Name() {
		return Claims{}, errForged
	}
	if now.Unix() >= who.Expires {
		return Claims{}, errExpired
	}
	return who, nil
}

func (c *Console) mac(text []byte) []byte {
	c.mu.Lock()
	key := c.key
	c.mu.Unlock()
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("sockudo console link\n"))
	mac.Write(text)
	return mac.Sum(nil)
}

func (who *Claims) expires() time.Time { return time.Unix(who.Expires, 0) }
