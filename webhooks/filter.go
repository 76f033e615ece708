package webhooks

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// filter is a storage.WebhookFilter, ready for use.
type filter struct {
	*storage.WebhookFilter
	pattern *regexp.Regexp
}

// newFilter reads the pattern. Like the patterns of namespaces it is searched for
// anywhere in the name, unless it says ^ and $.
func newFilter(f *storage.WebhookFilter) (filter, error) {
	if f.Pattern == "" {
		return filter{f, nil}, nil
	}
	pattern, err := regexp.Compile(f.Pattern)
	if err != nil {
		return filter{}, errors.New("the pattern of its filter is no regular expression")
	}
	return filter{f, pattern}, nil
}

// CheckFilter says what is wrong with a filter.
func CheckFilter(f *storage.WebhookFilter) error {
	if f.Pattern == "" {
		return nil
	}
	_, err := regexp.Compile(f.Pattern)
	return err
}

// match reports whether everything that the filter asks for is true of a channel.
func (f *filter) match(channel string) bool {
	switch {
	case !strings.HasPrefix(channel, f.Prefix), !strings.HasSuffix(channel, f.Suffix):
		return false
	case f.pattern != nil && !f.pattern.MatchString(channel):
		return false
	}
	if len(f.Namespaces) == 0 {
		return true
	}
	namespace := namespaceOf(channel)
	return namespace != "" && slices.Contains(f.Namespaces, namespace)
}

// namespaceOf is what stands before the first colon, behind the prefix of the
// channel's type. Empty means none.
func namespaceOf(channel string) string {
	namespace, _, found := strings.Cut(protocol.ParseChannel(channel).Logical, ":")
	if !found {
		return ""
	}
	return namespace
}
