package realtime

import (
	"fmt"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// maxPresenceUpdate bounds the user_info of a presence update, in bytes.
const maxPresenceUpdate = 1024

// presenceUpdate handles a presence_update event: the member of the connection gets
// another user_info, without leaving (section 3.11).
func (c *Conn) presenceUpdate(m protocol.Message) *protocol.Error {
	if c.v2 == nil {
		return protocol.BadVersion("presence_update is only supported on protocol V2")
	}
	req, e := protocol.ParsePresenceUpdate(m)
	if e != nil {
		return e
	}
	sub := c.subscription(req.Channel)
	switch {
	case protocol.ParseChannel(req.Channel).Kind != protocol.Presence:
		return &protocol.Error{Code: protocol.CodeGenericError, Message: "presence_update is only possible on presence channels"}
	case sub == nil || sub.member == nil:
		return &protocol.Error{Code: protocol.CodeGenericError, Message: "presence_update needs an active membership of the channel"}
	case !c.may(protocol.OpPresence, req.Channel):
		return protocol.ErrNoCapability
	case len(req.Info) > maxPresenceUpdate:
		return &protocol.Error{Code: protocol.CodeGenericError, Message: fmt.Sprintf("presence_update data is larger than %d bytes", maxPresenceUpdate)}
	case !sub.updates.allow(clock(), c.hub.settings().Presence.UpdateRate, second):
		return protocol.ErrRateLimited
	}
	ch := sub.channel
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if sub.part == nil {
		return nil // it has just ended
	}
	update := sub.member.Member
	update.Info, update.Revision = req.Info, update.Revision+1
	ch.presence.update(ch, sub.member, update)
	ch.recordMember(sub.member, history.MemberUpdated, departure{cause: history.CauseJoin, socket: c.id})
	ch.app.hub.cluster.markChannel(ch.app.id, ch.info.Name, update.UserID)
	c.tellWebhook(protocol.WebhookEvent{Name: protocol.WebhookMemberUpdated, Channel: ch.info.Name, UserID: update.UserID, UserInfo: update.Info})
	return nil
}
