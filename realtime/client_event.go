package realtime

import (
	"context"
	"encoding/json"
	"fmt"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// clientEvent handles an event that a client sends to the others of a channel,
// by the rules of section 4.2 in their order.
func (c *Conn) clientEvent(m protocol.Message, now int64) *protocol.Error {
	l := c.limits()
	if e := c.allowClientEvent(now, l); e != nil {
		return e
	}
	info, e := c.checkClientEvent(m, l)
	if e != nil {
		return e
	}
	sub := c.subscription(m.Channel)
	if sub == nil {
		return protocol.BadClientEvent(fmt.Sprintf("Socket %s is not subscribed to channel %s", c.id, m.Channel))
	}
	data := m.Data
	if data == nil {
		data = json.RawMessage("null")
	}
	envelope := &protocol.Envelope{App: c.app.id, Channel: info.Name, Event: m.Event, Data: data, Client: true, Full: true}
	if c.v2 == nil || !c.v2.echo {
		envelope.Except = c.id
	}
	if sub.member != nil {
		envelope.UserID = sub.member.UserID
	}
	if u := c.currentUser(); u != nil {
		envelope.Publisher = u.id
	}
	live, err := c.hub.Live()
	if err != nil {
		return protocol.ErrOverCapacity
	}
	defer live.Release()
	ctx, cancel := context.WithTimeout(context.Background(), driverTimeout)
	defer cancel()
	if err := live.publish(ctx, c.app.record().App, envelope); err != nil {
		live.Settings.Log.Warn("publishing a client event", zap.String("app", c.app.id), zap.Error(err))
		return &protocol.Error{Code: protocol.CodeBroadcast, Message: "Client event could not be broadcast"}
	}
	if live.tells(c.app, protocol.WebhookClientEvent) {
		live.tellWebhooks(c.app, protocol.WebhookEvent{
			Name: protocol.WebhookClientEvent, Channel: info.Name, Event: m.Event,
			Data: protocol.WebhookData(data), SocketID: c.id, UserID: envelope.UserID,
		})
	}
	return nil
}

func (c *Conn) checkClientEvent(m protocol.Message, l effective) (protocol.Channel, *protocol.Error) {
	info := protocol.ParseChannel(m.Channel)
	switch {
	case m.Channel == "":
		return info, protocol.BadClientEvent("Channel required for client event")
	case !c.app.record().Features.ClientMessages:
		return info, protocol.BadClientEvent("Client events are not enabled for this app")
	case len(m.Event) > l.eventName:
		return info, protocol.BadEventName(fmt.Sprintf("Event name too long. Max length is %d", l.eventName))
	case len(m.Channel) > l.channelName:
		return info, &protocol.Error{Code: protocol.CodeChannelError, Message: fmt.Sprintf("Channel name invalid: Max length is %d", l.channelName)}
	case info.Kind == protocol.Encrypted:
		return info, protocol.BadClientEvent("Client events are not possible on encrypted channels")
	case info.Kind == protocol.Public:
		return info, protocol.BadClientEvent("Client events can only be sent to private or presence channels")
	case l.eventPayload > 0 && len(m.Data) > l.eventPayload:
		return info, protocol.BadClientEvent(fmt.Sprintf("Event data is larger than %d bytes", l.eventPayload))
	}
	if c.v2 == nil {
		return info, nil
	}
	if n := c.app.record().Namespaces[info.NamespaceName()]; n != nil && n.NoPublish {
		return info, protocol.ErrNamespaceFlag
	}
	if !c.may(protocol.OpPublish, info.Name) {
		return info, protocol.ErrNoCapability
	}
	return info, c.checkUserList(info)
}
