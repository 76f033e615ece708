package realtime

import (
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// presence is the membership of a presence channel on this node. channel.mu
// guards it, so the order of its events is the order of its decisions.
type presence struct {
	members map[string]*member
	order   []*member // join order, for lists

	// ids and hash are the encoded lists of the members in order, up to encoded.
	// A join only appends; a departure starts them anew.
	ids, hash []byte
	encoded   int
}

// member is one user in a presence channel, with as many connections as joined
// under its id. The first connection's info is the one that shows.
type member struct {
	protocol.Member
	conns int
}

func newPresence() *presence { return &presence{members: map[string]*member{}} }

// admit makes sub a member and tells the others about a new user.
func (p *presence) admit(ch *channel, sub *subscription, m *protocol.Member) *protocol.Error {
	known := p.members[m.UserID]
	if known == nil {
		if limit := sub.conn.limits().presenceMembers; limit > 0 && len(p.members) >= limit {
			return protocol.ErrOverCapacity
		}
		known = &member{Member: *m}
		p.members[m.UserID] = known
		p.order = append(p.order, known)
		ch.send(protocol.MemberAdded(ch.info.Name, known.Member), nil)
	}
	known.conns++
	sub.member = known
	return nil
}

// leave ends the membership of sub and tells the others when its user is gone.
func (p *presence) leave(ch *channel, sub *subscription) {
	known := sub.member
	known.conns--
	if known.conns > 0 {
		return
	}
	delete(p.members, known.UserID)
	for i, m := range p.order {
		if m == known {
			p.order = append(p.order[:i], p.order[i+1:]...)
			break
		}
	}
	p.ids, p.hash, p.encoded = nil, nil, 0
	ch.send(protocol.MemberRemoved(ch.info.Name, known.UserID), nil)
}

// succeeded is the answer to a subscription, with the members as they are.
func (p *presence) succeeded(channel string) protocol.Frame {
	for _, m := range p.order[p.encoded:] {
		p.ids, p.hash = protocol.AppendMember(p.ids, p.hash, m.Member)
	}
	p.encoded = len(p.order)
	return protocol.PresenceSucceeded(channel, p.ids, p.hash, len(p.order))
}

// userIDs are the users present, in the order of their first join.
func (p *presence) userIDs() []string {
	ids := make([]string, len(p.order))
	for i, m := range p.order {
		ids[i] = m.UserID
	}
	return ids
}
