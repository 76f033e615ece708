package nats

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// defaultPrefix is that of Sockudo.
const defaultPrefix = "sockudo_adapter:"

// The subjects of a cluster, behind its prefix.
const (
	controlPart = "control" // what hubs tell each other
	channelPart = "channel" // then the app and the channel
)

const (
	// maxPrefix is in bytes. A subject with everything else stays below what servers
	// take, which is 4 KiB with the command around it.
	maxPrefix = 200
	// maxPart is the size in bytes above which a part of a subject is a hash instead.
	maxPart = 200
)

// checkPrefix wants a prefix that begins a subject, and one that another prefix
// never leads into.
func checkPrefix(prefix string) error {
	if len(prefix) > maxPrefix {
		return fmt.Errorf("prefix has %d bytes; at most %d are possible", len(prefix), maxPrefix)
	}
	if strings.HasPrefix(prefix, "$") {
		return errors.New("prefix must not begin with $, which is NATS's own")
	}
	for part := range strings.SplitSeq(prefix, ".") {
		if part == "" {
			return errors.New("prefix must not have an empty part: its parts stand between dots")
		}
		if part == channelPart {
			return fmt.Errorf("prefix must not have a part %q, which begins the subjects of channels", channelPart)
		}
		for _, r := range part {
			if r <= ' ' || r > '~' || r == '*' || r == '>' {
				return fmt.Errorf("prefix has the character %q; it takes letters, digits and signs of ASCII but for * and >", r)
			}
		}
	}
	return nil
}

// subjectOf is the subject of a topic. Different topics have different subjects.
func subjectOf(prefix string, topic protocol.Topic) string {
	if topic == (protocol.Topic{}) {
		return prefix + "." + controlPart
	}
	b := make([]byte, 0, len(prefix)+len(channelPart)+len(topic.App)+len(topic.Channel)+32)
	b = append(b, prefix...)
	b = append(b, '.')
	b = append(b, channelPart...)
	b = appendPart(append(b, '.'), topic.App)
	b = appendPart(append(b, '.'), topic.Channel)
	return string(b)
}

// appendPart appends text as one part of a subject: letters, digits and some signs
// as they are, %XX for others, % for no text at all, and a hash behind %% for what
// would be too long.
func appendPart(b []byte, text string) []byte {
	if text == "" {
		return append(b, '%')
	}
	begin := len(b)
	for i := range len(text) {
		if c := text[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		}
		if len(b)-begin > maxPart {
			sum := sha256.Sum256([]byte(text))
			return base64.RawURLEncoding.AppendEncode(append(b[:begin], '%', '%'), sum[:])
		}
	}
	return b
}

func plain(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("-_=@,;:#", c) >= 0
}
