package protocol

import (
	"fmt"
	"strings"
)

// Origins is an allow-list for the Origin header (section 1.6). The zero value
// allows everything.
type Origins struct {
	patterns []string
}

// NewOrigins checks and prepares patterns.
func NewOrigins(patterns []string) (Origins, error) {
	prepared := make([]string, 0, len(patterns))
	for _, p := range patterns {
		if err := checkOriginPattern(p); err != nil {
			return Origins{}, err
		}
		prepared = append(prepared, strings.ToLower(p))
	}
	return Origins{prepared}, nil
}

func checkOriginPattern(p string) error {
	if p == "" {
		return fmt.Errorf("origin pattern must not be empty")
	}
	if strings.Count(p, "*") > 1 {
		return fmt.Errorf("origin pattern %q has more than one '*'", p)
	}
	if scheme, host, ok := strings.Cut(p, "://"); ok && (scheme == "" || host == "") {
		return fmt.Errorf("origin pattern %q has an empty scheme or host", p)
	}
	if p == "*." {
		return fmt.Errorf("origin pattern %q has an empty host", p)
	}
	return nil
}

// Empty reports whether the list checks nothing.
func (o Origins) Empty() bool { return len(o.patterns) == 0 }

// Allow reports whether origin, the header's value or "", is on the list.
func (o Origins) Allow(origin string) bool {
	if len(o.patterns) == 0 {
		return true
	}
	origin = strings.ToLower(origin)
	for _, p := range o.patterns {
		if matchOrigin(p, origin) {
			return true
		}
	}
	return false
}

func matchOrigin(pattern, origin string) bool {
	if pattern == "*" || pattern == "any" || pattern == origin {
		return true
	}
	_, bare, _ := strings.Cut(origin, "://")
	star := strings.IndexByte(pattern, '*')
	hasScheme := strings.Contains(pattern, "://")
	switch {
	case star < 0 && !hasScheme:
		return bare != "" && pattern == bare
	case !hasScheme && strings.HasPrefix(pattern, "*."):
		host, _, _ := strings.Cut(bare, ":")
		domain, port, _ := strings.Cut(pattern[2:], ":")
		if port != "" && !strings.HasSuffix(bare, ":"+port) {
			return false
		}
		return host == domain || strings.HasSuffix(host, "."+domain)
	case star >= 0:
		before, after := pattern[:star], pattern[star+1:]
		return len(origin) >= len(before)+len(after) &&
			strings.HasPrefix(origin, before) && strings.HasSuffix(origin, after)
	default:
		return false
	}
}
