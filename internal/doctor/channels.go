package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// graceWait is how long the end of a member is waited for.
const graceWait = 3 * time.Second

func (w *walker) private() string { return "private-" + w.mark }

// subscribe joins a channel as a backend would let the client.
func (w *walker) subscribe(ctx context.Context, s *socket, channel, member string) error {
	data := map[string]string{"channel": channel, "auth": protocol.SignChannel(w.Key, w.Secret, s.id, channel, member)}
	if member != "" {
		data["channel_data"] = member
	}
	if err := s.send("pusher:subscribe", "", data); err != nil {
		return err
	}
	_, err := s.await(ctx, func(f frame) bool {
		return f.Channel == channel && (f.Event == "pusher_internal:subscription_succeeded" || f.Event == "pusher:subscription_error")
	})
	return err
}

const noSecret = "there is no secret: SOCKUDO_APP_SECRET, --secret-file, --secret - or --app" //nolint:gosec // it is none

// auth subscribes to a private channel.
func (w *walker) auth(ctx context.Context) Step {
	if w.Secret == "" {
		return skip(noSecret)
	}
	if err := w.subscribe(ctx, w.first, w.private(), ""); err != nil {
		return w.notSubscribed(err)
	}
	return ok("subscribed to a private channel")
}

func (w *walker) notSubscribed(err error) Step {
	refused, is := errors.AsType[*refusal](err)
	switch {
	case !is:
		return w.lost(err, "the answer to a subscription does not come")
	case refused.code == 4009:
		return fail(refused.Error(), "the secret is not that of the app, so whatever a backend signs with it is refused", "Take the secret from the configuration of this server; after it was replaced, give every backend the new one.")
	case refused.code == 4300:
		return fail(refused.Error(), "the rules of the app do not admit the channel "+w.private(), "Allow such names in the app, or try with an app that does.")
	default:
		return fail(refused.Error(), "the subscription is refused", "The log of Caddy says more, at level DEBUG.")
	}
}

// another opens the second socket.
func (w *walker) another(ctx context.Context) error {
	if w.second != nil {
		return nil
	}
	s, _, err := w.dial(ctx)
	if err != nil {
		return err
	}
	w.second = s
	f, err := s.await(ctx, named("pusher:connection_established", ""))
	if err != nil {
		return err
	}
	var greeting struct {
		SocketID string `json:"socket_id"`
	}
	if err := json.Unmarshal([]byte(f.text()), &greeting); err != nil {
		return err
	}
	s.id = greeting.SocketID
	return nil
}

// presence lets one member see another one come and go.
func (w *walker) presence(ctx context.Context) Step {
	channel := "presence-" + w.mark
	if err := w.subscribe(ctx, w.first, channel, `{"user_id":"doctor-1"}`); err != nil {
		return w.notSubscribed(err)
	}
	if err := w.another(ctx); err != nil {
		return fail(err.Error(), "a second socket is not admitted", "Raise max_connections, or upgrades and connection_per_ip of rate_limiter.")
	}
	if err := w.subscribe(ctx, w.second, channel, `{"user_id":"doctor-2"}`); err != nil {
		return w.notSubscribed(err)
	}
	if _, err := w.first.await(ctx, named("pusher_internal:member_added", channel)); err != nil {
		return fail(err.Error(), "a member on one socket does not hear of one on another: they are on nodes that do not know each other", "Join the nodes by an adapter: redis, redis_cluster or nats.")
	}
	if err := w.second.send("pusher:unsubscribe", "", map[string]string{"channel": channel}); err != nil {
		return w.lost(err, "the socket cannot be written to")
	}
	leaving, cancel := context.WithTimeout(ctx, graceWait)
	defer cancel()
	if _, err := w.first.await(leaving, named("pusher_internal:member_removed", channel)); err != nil {
		return warn("a member that has left is still there after "+graceWait.String()+": "+err.Error(), "the server waits for members to come back, or does not tell of those who leave", "Lower grace in presence, if that is not meant.")
	}
	return ok("join and leave are seen by another socket")
}

// clientEvent sends from one client to another.
func (w *walker) clientEvent(ctx context.Context) Step {
	if err := w.another(ctx); err != nil {
		return fail(err.Error(), "a second socket is not admitted", "Raise max_connections, or upgrades and connection_per_ip of rate_limiter.")
	}
	if err := w.subscribe(ctx, w.second, w.private(), ""); err != nil {
		return w.notSubscribed(err)
	}
	begin := time.Now()
	if err := w.second.send("client-doctor", w.private(), map[string]string{"from": "doctor"}); err != nil {
		return w.lost(err, "the socket cannot be written to")
	}
	heard := make(chan error, 1)
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, err := w.second.await(waiting, func(frame) bool { return false })
		heard <- err
	}()
	arrived := make(chan error, 1)
	go func() {
		_, err := w.first.await(waiting, named("client-doctor", w.private()))
		arrived <- err
	}()
	var err error
	select {
	case err = <-arrived:
		cancel()
		<-heard //nolint:errcheck // it has ended
	case err = <-heard:
		cancel()
		<-arrived //nolint:errcheck // it has ended
	}
	refused, is := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		return ok("from one client to another in " + round(time.Since(begin)).String())
	case is && refused.code == 4301 && strings.Contains(strings.ToLower(refused.text), "rate"):
		return warn(refused.Error(), "clients may send very few events", "Raise max_client_events_per_second of the app.")
	case is && refused.code == 4301:
		return skip("the app has no client events: " + refused.Error())
	case is:
		return fail(refused.Error(), "a client event is refused", "The log of Caddy says more, at level DEBUG.")
	default:
		return fail(err.Error(), "an event of one client does not reach another: they are on nodes that do not know each other", "Join the nodes by an adapter: redis, redis_cluster or nats.")
	}
}
