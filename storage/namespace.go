package storage

import (
	"fmt"
	"regexp"
	"strings"
)

// Compile checks the namespace and prepares its pattern.
func (n *Namespace) Compile() error {
	if n.Name == "" || strings.ContainsAny(n.Name, ":#") {
		return fmt.Errorf("namespace name %q must not be empty or contain ':' or '#'", n.Name)
	}
	if n.MaxChannelNameLength < 0 {
		return fmt.Errorf("namespace %s: max_channel_name_length %d must not be negative", n.Name, n.MaxChannelNameLength)
	}
	n.Match = nil
	if n.Pattern == "" {
		return nil
	}
	re, err := regexp.Compile(n.Pattern)
	if err != nil {
		return fmt.Errorf("namespace %s: pattern: %w", n.Name, err)
	}
	n.Match = re.MatchString
	return nil
}
