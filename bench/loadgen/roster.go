//go:build linux

package loadgen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// roster is the set of members that one subscriber of a presence channel knows,
// by number, from the list it got on joining and from member_added since.
type roster struct {
	seen  []uint64
	count int
}

// add enters a member and reports whether it was new.
func (r *roster) add(member int) bool {
	for member/64 >= len(r.seen) {
		r.seen = append(r.seen, 0)
	}
	bit := uint64(1) << (member % 64)
	if r.seen[member/64]&bit != 0 {
		return false
	}
	r.seen[member/64] |= bit
	r.count++
	return true
}

// onRoster takes the member list of a subscription's success.
func (c *session) onRoster(data string) error {
	var list struct {
		Presence struct {
			IDs   []string `json:"ids"`
			Count int      `json:"count"`
		} `json:"presence"`
	}
	if err := json.Unmarshal([]byte(data), &list); err != nil {
		return fmt.Errorf("member list %.100q: %w", data, err)
	}
	if list.Presence.Count != len(list.Presence.IDs) {
		return fmt.Errorf("%w: member list of %d with count %d", errRefused, len(list.Presence.IDs), list.Presence.Count)
	}
	for _, id := range list.Presence.IDs {
		if err := c.meet(id); err != nil {
			return err
		}
	}
	return nil
}

// userIDMark is how a user id looks inside data that is JSON in a string.
var userIDMark = []byte(`user_id\":\"`)

// onMemberAdded takes the news of one more member. The id is cut out without
// decoding: a join storm of a thousand members is half a million of these.
func (c *session) onMemberAdded(message []byte) error {
	c.swarm.tally.memberEvents++
	if _, rest, ok := bytes.Cut(message, userIDMark); ok {
		if id, _, ok := bytes.Cut(rest, []byte(`\"`)); ok {
			return c.meet(string(id))
		}
	}
	var e envelope
	var member struct {
		UserID string `json:"user_id"`
	}
	if err := json.Unmarshal(message, &e); err != nil {
		return fmt.Errorf("member_added: %w", err)
	}
	if err := json.Unmarshal([]byte(e.Data), &member); err != nil {
		return fmt.Errorf("member_added: %w", err)
	}
	return c.meet(member.UserID)
}

// meet enters a user id of the generator's own making, "u" and a number.
func (c *session) meet(id string) error {
	digits, ok := strings.CutPrefix(id, "u")
	number, err := strconv.Atoi(digits)
	if !ok || err != nil || number < 0 || number >= c.swarm.connections {
		return fmt.Errorf("%w: unknown member %q", errRefused, id)
	}
	if !c.roster.add(number) {
		c.swarm.tally.again++
	}
	return nil
}
