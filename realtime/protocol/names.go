package protocol

import (
	"fmt"
	"strings"
)

// Limits that hold when neither namespace, app nor hub says otherwise.
const (
	DefaultChannelNameLength = 200
	DefaultEventNameLength   = 200
)

// ServerToUser starts the names of channels that reach all sockets of one user
// (section 5.3).
const ServerToUser = "#server-to-user-"

// MetaPrefix starts the names of meta channels, which only V2 knows (section 3.9).
const MetaPrefix = "[meta]"

// ClientEvent starts the names of events that clients send to each other.
const ClientEvent = "client-"

// Kind is the type of a channel, read off the start of its name (section 3.1).
type Kind uint8

// The kinds of channels. All but public ones need a signature.
const (
	Public Kind = iota
	Private
	Encrypted
	Presence
)

// String is the kind's word in metrics and admin answers.
func (k Kind) String() string {
	switch k {
	case Private:
		return "private"
	case Encrypted:
		return "private-encrypted"
	case Presence:
		return "presence"
	default:
		return "public"
	}
}

// Channel is a channel name taken apart.
type Channel struct {
	Name string
	Kind Kind
	// Cache channels replay their last event to new subscribers.
	Cache bool
	// Logical is the name without its type prefix.
	Logical string
	// User is set for ServerToUser channels.
	User string
}

// Signed reports whether a subscription needs a signature.
func (c Channel) Signed() bool { return c.Kind != Public }

// prefixes of channel types, longest first, so that the first match is the type.
var prefixes = [...]struct {
	prefix string
	kind   Kind
	cache  bool
}{
	{"private-encrypted-cache-", Encrypted, true},
	{"private-encrypted-", Encrypted, false},
	{"presence-cache-", Presence, true},
	{"private-cache-", Private, true},
	{"presence-", Presence, false},
	{"private-", Private, false},
	{"cache-", Public, true},
}

// ParseChannel takes a name apart. It anchors every prefix at the start of the
// name and checks nothing else: see ChannelRules.
func ParseChannel(name string) Channel {
	c := Channel{Name: name, Logical: name}
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(name, p.prefix); ok {
			c.Kind, c.Cache, c.Logical = p.kind, p.cache, rest
			return c
		}
	}
	if user, ok := strings.CutPrefix(name, ServerToUser); ok {
		c.User = user
	}
	return c
}

// NamespaceRules are what a namespace adds to the rules of its app.
type NamespaceRules struct {
	MaxLength   int
	UserLimited bool
	Match       func(string) bool
}

// ChannelRules are the rules of an app for channel names (section 3.2).
type ChannelRules struct {
	// MaxLength is in bytes. Zero means DefaultChannelNameLength.
	MaxLength int
	// Namespace finds a configured namespace. Nil means that there is none.
	Namespace func(name string) (NamespaceRules, bool)
}

// Check reports the first rule that the channel's name breaks, as a text for
// people, or nil.
func (r ChannelRules) Check(c Channel) error {
	if c.Name == "" {
		return fmt.Errorf("Channel name must not be empty")
	}
	base, users, limited := strings.Cut(c.Logical, "#")
	if c.User != "" {
		base, limited = c.Logical, false
	}
	namespace, spaced, err := r.namespaceOf(base, c.User != "")
	if err != nil {
		return err
	}
	if err := r.checkLength(c.Name, namespace); err != nil {
		return err
	}
	for i := range len(c.Name) {
		if !channelByte[c.Name[i]] {
			return fmt.Errorf("Channel name contains invalid characters: %q", c.Name)
		}
	}
	if c.Logical == "" {
		return fmt.Errorf("Channel name must not be empty after its type prefix")
	}
	if limited {
		if err := checkUserList(base, users, spaced && namespace.UserLimited); err != nil {
			return err
		}
	}
	if spaced && namespace.Match != nil && !namespace.Match(base) {
		return fmt.Errorf("Channel name does not match the pattern of its namespace")
	}
	return nil
}

// CheckPattern reports what is wrong with a pattern of V2 (section 3.8), as a text
// for people, or nil.
func (r ChannelRules) CheckPattern(name string) error {
	switch {
	case strings.Count(name, "*") != 1:
		return fmt.Errorf("Channel pattern must have exactly one '*': %q", name)
	case strings.HasPrefix(name, "private-") || strings.HasPrefix(name, "presence-"):
		return fmt.Errorf("Channel pattern matches public channels only: %q", name)
	}
	if err := r.checkLength(name, NamespaceRules{}); err != nil {
		return err
	}
	for i := range len(name) {
		if !patternByte[name[i]] {
			return fmt.Errorf("Channel pattern contains invalid characters: %q", name)
		}
	}
	return nil
}

// UserList are the users that a name such as "ns:room#u1,u2" is limited to, nil for a
// name without any.
func (c Channel) UserList() []string {
	_, users, limited := strings.Cut(c.Logical, "#")
	if !limited || c.User != "" {
		return nil
	}
	return strings.Split(users, ",")
}

// NamespaceName is what stands before the first colon of the logical name, or "".
func (c Channel) NamespaceName() string {
	base, _, _ := strings.Cut(c.Logical, "#")
	name, _, found := strings.Cut(base, ":")
	if !found || c.User != "" {
		return ""
	}
	return name
}

func (r ChannelRules) namespaceOf(base string, toUser bool) (NamespaceRules, bool, error) {
	name, _, found := strings.Cut(base, ":")
	if !found || toUser {
		return NamespaceRules{}, false, nil
	}
	if r.Namespace != nil {
		if rules, ok := r.Namespace(name); ok {
			return rules, true, nil
		}
	}
	return NamespaceRules{}, false, fmt.Errorf("Unknown channel namespace '%s'", name) //nolint:staticcheck // as above
}

func (r ChannelRules) checkLength(name string, namespace NamespaceRules) error {
	limit := DefaultChannelNameLength
	switch {
	case namespace.MaxLength > 0:
		limit = namespace.MaxLength
	case r.MaxLength > 0:
		limit = r.MaxLength
	}
	if len(name) > limit {
		return fmt.Errorf("Channel name too long. Max length is %d", limit)
	}
	return nil
}

// checkUserList checks what follows the '#' of "ns:room#u1,u2".
func checkUserList(base, users string, allowed bool) error {
	if base == "" || !allowed {
		return fmt.Errorf("User-limited channel names are not allowed here") //nolint:staticcheck // as above
	}
	for user := range strings.SplitSeq(users, ",") {
		if user == "" {
			return fmt.Errorf("User list of the channel name has an empty user")
		}
		for i := range len(user) {
			if !userByte[user[i]] {
				return fmt.Errorf("User list of the channel name has an invalid user %q", user)
			}
		}
	}
	return nil
}

// channelByte, userByte and patternByte are the permitted bytes of names, of user
// lists and of patterns.
var channelByte, userByte, patternByte = byteSet("_-=@,;.:#"), byteSet("-_=@."), byteSet("-_=@.:*")

func byteSet(extra string) (set [256]bool) {
	for c := 'a'; c <= 'z'; c++ {
		set[c], set[c-'a'+'A'] = true, true
	}
	for c := '0'; c <= '9'; c++ {
		set[c] = true
	}
	for i := range len(extra) {
		set[extra[i]] = true
	}
	return set
}
