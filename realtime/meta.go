package realtime

import "github.com/sockudo/caddy-sockudo/realtime/protocol"

// metaChannel is the channel whose subscribers hear of what becomes of this one, nil
// when it has none here (section 3.9). Its lock is taken below that of the channel.
func (ch *channel) metaChannel() *channel {
	if hidden(ch.info) {
		return nil
	}
	meta, ok := ch.app.metas.Load(protocol.MetaPrefix + ch.info.Name)
	if !ok {
		return nil
	}
	return meta.(*channel)
}

// tellMeta tells how many subscriptions the channel has, on all nodes. The caller
// holds mu.
func (ch *channel) tellMeta() {
	before, count := ch.toldMeta, ch.count+ch.elsewhereCount
	if before == count {
		return
	}
	ch.toldMeta = count
	meta := ch.metaChannel()
	if meta == nil {
		return
	}
	meta.mu.Lock()
	defer meta.mu.Unlock()
	event := "subscription_count"
	switch {
	case count == 0:
		event = "channel_vacated"
	case before == 0:
		meta.send(replyV2(protocol.MetaCount("channel_occupied", ch.info.Name, count)), nil)
	}
	meta.send(replyV2(protocol.MetaCount(event, ch.info.Name, count)), nil)
}

// tellMetaMember tells what has become of a member. The caller holds mu.
func (ch *channel) tellMetaMember(event, user string) {
	meta := ch.metaChannel()
	if meta == nil {
		return
	}
	meta.mu.Lock()
	defer meta.mu.Unlock()
	meta.send(replyV2(protocol.MetaMember(event, ch.info.Name, user)), nil)
}
