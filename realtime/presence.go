package realtime

import (
	"slices"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// presence is the membership of a presence channel in the cluster, as this node
// knows it. channel.mu guards it, so the order of its events is the order of its decisions.
type presence struct {
	members map[string]*member
	order   []*member // join order, for lists

	// ids and hash are the encoded lists of the members in order, up to encoded.
	// A join only appends; a departure starts them anew.
	ids, hash []byte
	encoded   int
}

// member is one user in a presence channel, with as many connections as joined
// under its id here, and the other nodes where it has any. The first connection's
// info is the one that shows.
type member struct {
	protocol.Member
	conns int
	peers []*peer
	// ghosts are subscriptions of lost connections, which count for a while.
	ghosts []*subscription
}

func newPresence() *presence { return &presence{members: map[string]*member{}} }

// admit makes sub a member and tells the others about a new user.
func (p *presence) admit(ch *channel, sub *subscription, m *protocol.Member) *protocol.Error {
	known := p.members[m.UserID]
	if known == nil {
		if limit := sub.conn.limits().presenceMembers; limit > 0 && len(p.members) >= limit {
			return protocol.ErrOverCapacity
		}
		known = p.add(ch, *m, true)
		ch.recordMember(known, history.MemberAdded, departure{cause: history.CauseJoin, socket: sub.conn.id})
	}
	if known.conns++; known.conns == 1 {
		ch.app.hub.cluster.markChannel(ch.app.id, ch.info.Name, m.UserID)
	}
	sub.member = known
	return nil
}

// add makes a user a member and tells the others.
func (p *presence) add(ch *channel, m protocol.Member, here bool) *member {
	known := &member{Member: m}
	p.members[m.UserID] = known
	p.order = append(p.order, known)
	ch.send(reply(protocol.MemberAdded(ch.info.Name, known.Member)), nil)
	ch.tellMetaMember("member_added", m.UserID)
	ch.tellTaps(MemberAdded, m.UserID, here)
	return known
}

// departure is why a member is gone.
type departure struct {
	cause  string
	socket string // of the last connection, if it was here
	node   string // that is dead
}

// leave ends the membership of sub and tells the others when its user is gone.
func (p *presence) leave(ch *channel, sub *subscription) {
	known := sub.member
	if known.conns--; known.conns == 0 {
		ch.app.hub.cluster.markChannel(ch.app.id, ch.info.Name, known.UserID)
	}
	cause := history.CauseDisconnect
	if sub.vanished {
		cause = history.CauseTimeout
	}
	p.drop(ch, known, departure{cause: cause, socket: sub.conn.id})
}

// arrive takes a user who is present on another node.
func (p *presence) arrive(ch *channel, from *peer, m protocol.Member) {
	known := p.members[m.UserID]
	if known == nil {
		known = p.add(ch, m, false)
		ch.recordMember(known, history.MemberAdded, departure{cause: history.CauseJoin})
		ch.noteMember(m.UserID, true)
	}
	if m.Revision > known.Revision {
		p.update(ch, known, m)
	}
	if !slices.Contains(known.peers, from) {
		known.peers = append(known.peers, from)
		ch.layGhosts(known) // the user has come back there
	}
}

// update gives a member another user_info and tells the V2 members.
func (p *presence) update(ch *channel, known *member, m protocol.Member) {
	known.Info, known.Revision = m.Info, m.Revision
	p.ids, p.hash, p.encoded = nil, nil, 0
	ch.send(replyV2(protocol.PresenceUpdate(ch.info.Name, known.Member)), nil)
	ch.tellMetaMember("presence_update", known.UserID)
}

// depart takes that a user is not present on another node any more.
func (p *presence) depart(ch *channel, from *peer, id string) {
	if known := p.members[id]; known != nil {
		known.peers = slices.DeleteFunc(known.peers, func(other *peer) bool { return other == from })
		why := departure{cause: history.CauseDisconnect}
		if from.dead {
			why = departure{cause: history.CauseOrphan, node: from.name}
		}
		p.drop(ch, known, why)
	}
}

// drop ends the membership of a user who is present nowhere, and tells the others.
func (p *presence) drop(ch *channel, known *member, why departure) {
	if known.conns > 0 || len(known.peers) > 0 {
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
	ch.send(reply(protocol.MemberRemoved(ch.info.Name, known.UserID)), nil)
	ch.tellMetaMember("member_removed", known.UserID)
	ch.tellTaps(MemberRemoved, known.UserID, why.socket != "")
	ch.noteMember(known.UserID, false)
	ch.recordMember(known, history.MemberRemoved, why)
}

// succeeded is the answer to a subscription, with the members as they are.
func (p *presence) succeeded(channel string) *protocol.Outbound {
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
