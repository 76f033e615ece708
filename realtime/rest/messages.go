package rest

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// mutableNotPermitted refuses a socket that may not change a message.
var mutableNotPermitted = kind{"mutable_not_permitted", http.StatusForbidden, 0}

// aiNotPermitted is the number of that refusal for clients of AI messages.
const aiNotPermitted = 93002

// messages is a call about messages that can be changed, under way.
type messages struct {
	*call
	channel, message string
	policy           realtime.HistoryPolicy
}

// messageRoute finds the endpoint of a path below /apps/{app}/, still escaped, that is
// about a message. Nil means that there is none.
func messageRoute(method, tail string) *route {
	if rt := annotationRoute(method, tail, func(c *call) annotator { return c.live }); rt != nil {
		return rt
	}
	parts := strings.Split(tail, "/")
	if len(parts) < 4 || len(parts) > 5 || parts[0] != "channels" || parts[2] != "messages" || parts[1] == "" || parts[3] == "" {
		return nil
	}
	run := func(handle func(*messages) ([]byte, *failure)) func(*call) ([]byte, *failure) {
		return func(c *call) ([]byte, *failure) {
			m := &messages{call: c}
			for i, into := range map[int]*string{1: &m.channel, 3: &m.message} {
				var err error
				if *into, err = unescapeSegment(parts[i]); err != nil {
					return nil, invalidInput.with("Path is not valid: " + err.Error())
				}
			}
			return handle(m)
		}
	}
	if len(parts) == 4 {
		return &route{http.MethodGet, allowRead, run((*messages).latest)}
	}
	switch action := parts[4]; action {
	case "versions":
		return &route{http.MethodGet, allowRead, run((*messages).versions)}
	case history.MutationUpdate, history.MutationDelete, history.MutationAppend:
		return &route{http.MethodPost, allowWrite, run(func(m *messages) ([]byte, *failure) { return m.change(action) })}
	}
	return nil
}

// gates are what comes before a message is looked for (section 6.4).
func (m *messages) gates() *failure {
	if f := m.checkChannel(m.channel); f != nil {
		return f
	}
	m.policy = m.live.HistoryPolicy(m.app, m.channel)
	switch {
	case !m.settings().Versions.Enabled:
		return featureDisabled.with(fmt.Sprintf("Versioned messages are disabled for channel '%s'", m.channel))
	case !m.policy.Enabled:
		return featureDisabled.with(fmt.Sprintf("Durable history is disabled by policy for channel '%s'", m.channel))
	case m.settings().Drivers.History == nil:
		return m.internal("reading messages", errNoHistory)
	}
	if err := history.CheckSerial("message_serial", m.message); err != nil {
		return invalidInput.with(err.Error())
	}
	return nil
}

func (m *messages) notFound() *failure {
	return noSuch.with(fmt.Sprintf("Message '%s' was not found in channel '%s'", m.message, m.channel))
}

// latest answers with the newest version of a message (section 6.7).
func (m *messages) latest() ([]byte, *failure) {
	if f := m.gates(); f != nil {
		return nil, f
	}
	entry, r, err := m.live.Message(m.r.Context(), m.app, m.channel, m.message)
	if errors.Is(err, realtime.ErrNoMessage) {
		m.live.Hub.Retrieved(m.app.ID, "latest", "not_found")
		return nil, m.notFound()
	}
	if err != nil {
		m.live.Hub.Retrieved(m.app.ID, "latest", "failed")
		return nil, m.internal("reading a message", err)
	}
	m.live.Hub.Retrieved(m.app.ID, "latest", "found")
	v := r.AsVersion(m.channel, &entry)
	return v.LatestJSON(), nil
}

// versions lists the versions of a message (section 6.7).
func (m *messages) versions() ([]byte, *failure) {
	if f := m.gates(); f != nil {
		return nil, f
	}
	q, f := m.versionQuery(m.message, m.settings().Versions.PageSize)
	if f != nil {
		return nil, f
	}
	kept := m.live.Versions(m.app, m.channel)
	head, err := kept.Store.Head(m.r.Context(), kept.Key)
	var page history.VersionPage
	found := false
	if err == nil {
		page, found, err = kept.Versions(m.r.Context(), head.Stream, q, func(e *storage.LogEntry) (history.Version, error) {
			r, err := history.ParseRecord(e.Payload)
			if err != nil {
				return history.Version{}, err
			}
			return r.AsVersion(m.channel, e), nil
		})
	}
	switch {
	case errors.Is(err, storage.ErrNotFound), err == nil && !found:
		m.live.Hub.Retrieved(m.app.ID, "versions", "not_found")
		return nil, m.notFound()
	case err != nil:
		m.live.Hub.Retrieved(m.app.ID, "versions", "failed")
		return nil, m.internal("reading versions of a message", err)
	}
	m.live.Hub.Retrieved(m.app.ID, "versions", "found")
	page.Channel = m.channel
	m.out = page.AppendJSON(m.out[:0])
	return m.out, nil
}

// change updates, deletes or appends to a message (section 6.4).
func (m *messages) change(action string) ([]byte, *failure) {
	body, f := m.mutation(action)
	if f != nil {
		return nil, f
	}
	if f := m.gates(); f != nil {
		return nil, f
	}
	if f := m.allowEvents(1); f != nil {
		return nil, f
	}
	change := &realtime.Change{Mutation: body.Mutation, Message: m.message, OpID: body.opID.text}
	var refused *failure
	if body.socketID.set {
		change.May = func(publisher string) error {
			if change.Actor, refused = m.actor(action, body, publisher); refused != nil {
				return errRefused
			}
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.r.Context()), runTimeout)
	defer cancel()
	done, err := m.live.Change(ctx, m.app, m.channel, change)
	switch {
	case errors.Is(err, errRefused):
		return nil, refused
	case errors.Is(err, realtime.ErrNoMessage):
		return nil, m.notFound()
	case errors.Is(err, realtime.ErrOtherContent):
		return nil, invalidInput.with("op_id was already used with a different payload")
	case errors.Is(err, history.ErrAppendData):
		return nil, invalidInput.with(err.Error())
	case err != nil:
		return nil, m.unpublished(err)
	}
	return m.changed(action, done), nil
}

var errRefused = errors.New("refused")

// changed is the answer to a change.
func (m *messages) changed(action string, done realtime.Changed) []byte {
	status := "applied"
	if done.Before {
		status = "duplicate"
	}
	b := protocol.AppendString(append(m.out[:0], `{"channel":`...), m.channel)
	b = protocol.AppendString(append(b, `,"message_serial":`...), done.Message)
	b = append(b, `,"action":"`+action+`","accepted":true,"version_serial":`...)
	b = protocol.AppendString(b, done.Version)
	b = fmt.Appendf(b, `,"history_serial":%d,"delivery_serial":%d,"status":"%s"}`, done.History, done.Delivery, status)
	m.out = b
	return b
}

// verbs are the rights to change messages, any before own.
var verbs = map[string][2]protocol.Operation{
	history.MutationUpdate: {protocol.OpMessageUpdateAny, protocol.OpMessageUpdateOwn},
	history.MutationDelete: {protocol.OpMessageDeleteAny, protocol.OpMessageDeleteOwn},
	history.MutationAppend: {protocol.OpMessageAppendAny, protocol.OpMessageAppendOwn},
}

// actor is the client of the socket in whose name a message is changed that publisher
// has created (section 6.5).
func (m *messages) actor(action string, body *mutation, publisher string) (*string, *failure) {
	socketID := body.socketID.text
	if !protocol.ValidSocketID(socketID) {
		return nil, invalidInput.with(fmt.Sprintf("Invalid socket_id: '%s' is not of the form 123.456", socketID))
	}
	if m.settings().PublishOnly {
		return nil, invalidInput.with("socket_id cannot be verified in the api server role")
	}
	actor, connected := m.live.Actor(m.app, socketID)
	rights := actor.Capabilities
	equal := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	switch {
	case !connected:
		return nil, authFailed.with(fmt.Sprintf("Mutation actor socket '%s' is not connected", socketID))
	case actor.Version != protocol.V2:
		return nil, authFailed.with("Mutation actor socket must use protocol V2")
	case body.ClientID != nil && (actor.ClientID == "" || !equal(*body.ClientID, actor.ClientID)):
		return nil, authFailed.with(fmt.Sprintf("Requested client_id '%s' does not match authenticated actor", *body.ClientID))
	case !rights.Allows(protocol.OpPublish, m.channel):
		return nil, mutableNotPermitted.with(fmt.Sprintf("publish capability is required for channel '%s'", m.channel)).numbered(aiNotPermitted)
	case rights.Allows(verbs[action][0], m.channel):
	case rights.Allows(verbs[action][1], m.channel) && actor.ClientID != "" && publisher != "" && equal(actor.ClientID, publisher):
	default:
		return nil, mutableNotPermitted.with(fmt.Sprintf(
			"%s or %s capability is required to change this message of channel '%s'", verbs[action][0], verbs[action][1], m.channel,
		)).numbered(aiNotPermitted)
	}
	return &actor.ClientID, nil
}
