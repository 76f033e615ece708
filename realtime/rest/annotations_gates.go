package rest

import (
	"fmt"
	"net/http"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// noSuch refuses what is about a message or an annotation that is not there.
var noSuch = kind{"not_found", http.StatusNotFound, 0}

// gates are what comes before the body (section 7.1).
func (a *annotations) gates(needsHistory bool) *failure {
	if f := a.checkChannel(a.channel); f != nil {
		return f
	}
	a.policy = a.hub.AnnotationPolicy(a.app, a.channel)
	switch {
	case !a.policy.Versions:
		return featureDisabled.with(fmt.Sprintf("Versioned messages are disabled for channel '%s'", a.channel))
	case !a.policy.Enabled:
		return featureDisabled.with(fmt.Sprintf("Annotations are disabled globally for channel '%s'", a.channel))
	case !a.policy.Allowed:
		return forbidden.with(fmt.Sprintf("Annotations are disabled by channel policy for channel '%s'", a.channel))
	case needsHistory && !a.policy.History:
		return featureDisabled.with(fmt.Sprintf("Durable history is disabled by policy for channel '%s'", a.channel))
	}
	return nil
}

func (a *annotations) checkSerial() *failure {
	if err := history.CheckSerial("message_serial", a.message); err != nil {
		return invalidInput.with(err.Error())
	}
	return nil
}

// checkMessage wants the message to be there.
func (a *annotations) checkMessage() *failure {
	if f := a.checkSerial(); f != nil {
		return f
	}
	found, err := a.hub.HasMessage(a.r.Context(), a.app, a.channel, a.message)
	if err != nil {
		return a.internal("looking for a message", err)
	}
	if !found {
		return noSuch.with(fmt.Sprintf("Message '%s' was not found in channel '%s'", a.message, a.channel))
	}
	return nil
}

// actor is the socket in whose name a call acts, called by its role in refusals.
func (a *annotations) actor(socketID, role string) (actor protocol.Actor, f *failure) {
	if !protocol.ValidSocketID(socketID) {
		return actor, invalidInput.with(fmt.Sprintf("Invalid socket_id: '%s' is not of the form 123.456", socketID))
	}
	actor, connected := a.hub.Actor(a.app, socketID)
	switch {
	case !connected:
		return actor, authFailed.with(fmt.Sprintf("Annotation %s socket '%s' is not connected", role, socketID))
	case actor.Version != protocol.V2:
		return actor, authFailed.with(fmt.Sprintf("Annotation %s socket must use protocol V2", role))
	}
	return actor, nil
}

// publisher is the client of a socket that may annotate. A client that the call names
// must be the same.
func (a *annotations) publisher(socketID string, client optional) (clientID string, f *failure) {
	actor, f := a.actor(socketID, "actor")
	if f != nil {
		return "", f
	}
	if client.set && (actor.ClientID == "" || client.text != actor.ClientID) {
		return "", authFailed.with(fmt.Sprintf("Requested client_id '%s' does not match authenticated actor", client.text))
	}
	if !actor.Capabilities.Allows(protocol.OpPublish, a.channel) || !actor.Capabilities.Allows(protocol.OpAnnotationPublish, a.channel) {
		return "", forbidden.with(fmt.Sprintf("annotation-publish capability is required for channel '%s'", a.channel))
	}
	return actor.ClientID, nil
}

// querySocket is the socket that the query names, in either spelling: the names of
// parameters are in lower case here.
func (a *annotations) querySocket() (socketID string, given bool) {
	if socketID, given = a.query.Get("socket_id"); given {
		return socketID, true
	}
	return a.query.Get("socketid")
}

// mayRemove wants the socket of the query, if there is one, to be allowed to take back
// an annotation of a client.
func (a *annotations) mayRemove(client string) *failure {
	socketID, given := a.querySocket()
	if !given {
		return nil
	}
	actor, f := a.actor(socketID, "actor")
	if f != nil {
		return f
	}
	all := actor.Capabilities.Allows(protocol.OpAnnotationDeleteAny, a.channel)
	own := actor.Capabilities.Allows(protocol.OpAnnotationDeleteOwn, a.channel) && actor.ClientID != "" && actor.ClientID == client
	switch {
	case all && actor.ClientID == "":
		return forbidden.with("annotation-delete-any requires an identified client")
	case !all && !own:
		return forbidden.with(fmt.Sprintf("annotation-delete-own or annotation-delete-any capability is required for channel '%s'", a.channel))
	}
	return nil
}

// mayList wants the socket of the query, if there is one, to be allowed to read
// annotations.
func (a *annotations) mayList() *failure {
	socketID, given := a.querySocket()
	if !given {
		return nil
	}
	actor, f := a.actor(socketID, "subscriber")
	if f != nil {
		return f
	}
	if !actor.Capabilities.Allows(protocol.OpSubscribe, a.channel) || !actor.Capabilities.Allows(protocol.OpAnnotationSubscribe, a.channel) {
		return forbidden.with(fmt.Sprintf("annotation-subscribe capability is required for channel '%s'", a.channel))
	}
	return nil
}
