package protocol

import (
	"encoding/json"
	"testing"
)

func TestWebhookEventsAreSpelledAsDocumented(t *testing.T) {
	for want, e := range map[string]WebhookEvent{
		`{"name":"channel_occupied","channel":"orders"}`:                          {Name: WebhookChannelOccupied, Channel: "orders", UserID: "not of it"},
		`{"name":"channel_vacated","channel":"orders","event_id":"e1"}`:           {Name: WebhookChannelVacated, Channel: "orders", ID: "e1"},
		`{"name":"member_added","channel":"presence-a","user_id":"u\"1"}`:         {Name: WebhookMemberAdded, Channel: "presence-a", UserID: `u"1`},
		`{"name":"member_removed","channel":"presence-a","user_id":"u1"}`:         {Name: WebhookMemberRemoved, Channel: "presence-a", UserID: "u1"},
		`{"name":"cache_miss","channel":"cache-a","data":"{}"}`:                   {Name: WebhookCacheMiss, Channel: "cache-a"},
		`{"name":"subscription_count","channel":"orders","subscription_count":0}`: {Name: WebhookSubscriptionCount, Channel: "orders"},
		`{"name":"client_event","channel":"private-a","event":"client-x","data":"{\"a\":1}","socket_id":"1.2"}`: {
			Name: WebhookClientEvent, Channel: "private-a", Event: "client-x", Data: WebhookData(json.RawMessage(`{"a":1}`)), SocketID: "1.2",
		},
		`{"name":"client_event","channel":"presence-a","event":"client-x","data":"text","socket_id":"1.2","user_id":"u1"}`: {
			Name: WebhookClientEvent, Channel: "presence-a", Event: "client-x", Data: WebhookData(json.RawMessage(`"text"`)), SocketID: "1.2", UserID: "u1",
		},
	} {
		if got := string(e.AppendJSON(nil)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestWebhookSets(t *testing.T) {
	s := WebhookSetOf(WebhookMemberAdded, WebhookCacheMiss, "unheard_of")
	if !s.Has(WebhookMemberAdded) || !s.Has(WebhookChannelVacated, WebhookCacheMiss) || s.Has(WebhookChannelVacated) || s.Has("unheard_of") {
		t.Errorf("the set %b has what it should not have, or lacks something", s)
	}
	if all := WebhookSetOf(WebhookNames()...); all != 1<<len(webhookNames)-1 {
		t.Errorf("all names make %b", all)
	}
}
