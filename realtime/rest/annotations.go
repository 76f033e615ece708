package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// annotator is what the endpoints of annotations need of a hub.
type annotator interface {
	// AnnotationPolicy is what holds for a channel.
	AnnotationPolicy(app *storage.App, channel string) history.AnnotationPolicy
	// HasMessage reports whether a channel has a message that can be annotated.
	HasMessage(ctx context.Context, app *storage.App, channel, serial string) (bool, error)
	// Actor is a socket of the app that is connected here.
	Actor(app *storage.App, socketID string) (actor protocol.Actor, connected bool)
	// Annotated tells everybody about an annotation: subscribers of its summary, those
	// who want all of them about itself, and webhooks. deleted is the serial of the one
	// that it takes back, or "". Calls for one channel come one after the other.
	Annotated(ctx context.Context, app *storage.App, channel string, s history.Summary, a protocol.Annotation, deleted string) error
}

// annotations is a call about annotations, under way.
type annotations struct {
	*call
	hub annotator
	// channel, message and annotation are what the path names, the last one "" for none.
	channel, message, annotation string
	policy                       history.AnnotationPolicy
}

const (
	allowAnnotations = "GET, HEAD, POST, OPTIONS"
	allowAnnotation  = "DELETE, OPTIONS"
)

// annotationRoute finds the endpoint of a path below /apps/{app}/, still escaped, that
// is about annotations. Nil means that there is none.
func annotationRoute(method, tail string, hub func(*call) annotator) *route {
	parts := strings.Split(tail, "/")
	if len(parts) < 5 || parts[0] != "channels" || parts[2] != "messages" || parts[4] != "annotations" || parts[1] == "" || parts[3] == "" {
		return nil
	}
	run := func(handle func(*annotations) ([]byte, *failure)) func(*call) ([]byte, *failure) {
		return func(c *call) ([]byte, *failure) {
			a := &annotations{call: c, hub: hub(c)}
			if f := a.take(parts); f != nil {
				return nil, f
			}
			return handle(a)
		}
	}
	switch {
	case len(parts) == 6 && parts[5] != "":
		return &route{http.MethodDelete, allowAnnotation, run((*annotations).remove)}
	case len(parts) != 5:
		return nil
	case method == http.MethodPost:
		return &route{http.MethodPost, allowAnnotations, run((*annotations).create)}
	default:
		return &route{http.MethodGet, allowAnnotations, run((*annotations).list)}
	}
}

// take decodes what the path names.
func (a *annotations) take(parts []string) *failure {
	for i, into := range map[int]*string{1: &a.channel, 3: &a.message, 5: &a.annotation} {
		if i >= len(parts) {
			continue
		}
		var err error
		if *into, err = unescapeSegment(parts[i]); err != nil {
			return invalidInput.with("Path is not valid: " + err.Error())
		}
	}
	return nil
}

// create annotates a message (section 7.4).
func (a *annotations) create() ([]byte, *failure) {
	if f := a.gates(true); f != nil {
		return nil, f
	}
	body, f := a.call.annotation()
	if f != nil {
		return nil, f
	}
	if f := a.checkMessage(); f != nil {
		return nil, f
	}
	if body.socketID.set {
		if body.ClientID, f = a.publisher(body.socketID.text, body.clientID); f != nil {
			return nil, f
		}
	}
	if f := body.needs(); f != nil {
		return nil, f
	}
	one := body.Annotation
	one.MessageSerial = a.message
	ctx, cancel := a.commit()
	defer cancel()
	if err := a.policy.Annotations.Create(ctx, &one); err != nil {
		return nil, a.unwritten(err)
	}
	a.tell(ctx, one, "")
	a.out = protocol.AppendString(append(a.out[:0], `{"annotationSerial":`...), one.Serial)
	return append(a.out, '}'), nil
}

// commit bounds what is done after all checks. It goes on when the client has gone: who
// is subscribed must hear of what is kept.
func (a *annotations) commit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(a.r.Context()), runTimeout)
}

// unwritten is the refusal of an annotation that could not be kept.
func (a *annotations) unwritten(err error) *failure {
	if errors.Is(err, storage.ErrTooLarge) {
		return payloadTooLarge.with("The annotation is larger than can be kept")
	}
	return a.internal("keeping an annotation", err)
}

// tell makes an annotation known. It is kept already, so a failure is none of the call:
// the next one about the message tells what this one would have.
func (a *annotations) tell(ctx context.Context, one protocol.Annotation, deleted string) {
	err := a.policy.Cache.Change(ctx, a.policy.Annotations, one.MessageSerial, one.Type, func(s history.Summary) error {
		return a.hub.Annotated(ctx, a.app, a.channel, s, one, deleted)
	})
	if err != nil {
		a.settings().Log.Error("telling about an annotation", zap.String("app", a.app.ID), zap.String("channel", a.channel), zap.Error(err))
	}
}

// remove takes an annotation back (section 7.5).
func (a *annotations) remove() ([]byte, *failure) {
	if f := a.gates(false); f != nil {
		return nil, f
	}
	if f := a.checkMessage(); f != nil {
		return nil, f
	}
	found, err := a.policy.Annotations.Find(a.r.Context(), a.message, a.annotation)
	switch {
	case errors.Is(err, history.ErrNoAnnotation):
		return nil, noSuch.with(fmt.Sprintf("Annotation '%s' was not found in channel '%s'", a.annotation, a.channel))
	case errors.Is(err, history.ErrAnnotatesAnother):
		return nil, noSuch.with(fmt.Sprintf("Annotation '%s' does not target message '%s'", a.annotation, a.message))
	case errors.Is(err, history.ErrAnnotationNoCreate):
		return nil, invalidInput.with("Only annotation.create events can be deleted")
	case err != nil:
		return nil, a.internal("looking for an annotation", err)
	}
	if f := a.mayRemove(found.ClientID); f != nil {
		return nil, f
	}
	ctx, cancel := a.commit()
	defer cancel()
	one, done, err := a.policy.Annotations.Delete(ctx, &found)
	if err != nil {
		return nil, a.unwritten(err)
	}
	serial := found.Serial
	if done {
		serial = one.Serial
		a.tell(ctx, one, found.Serial)
	}
	a.out = protocol.AppendString(append(a.out[:0], `{"annotationSerial":`...), serial)
	a.out = protocol.AppendString(append(a.out, `,"deletedAnnotationSerial":`...), found.Serial)
	return append(a.out, '}'), nil
}

// list reads the annotations of a message (section 7.6).
func (a *annotations) list() ([]byte, *failure) {
	if f := a.gates(true); f != nil {
		return nil, f
	}
	if f := a.mayList(); f != nil {
		return nil, f
	}
	if f := a.checkSerial(); f != nil {
		return nil, f
	}
	limit, f := a.limit(a.policy.PageSize, "Annotation event limit must be greater than 0")
	if f != nil {
		return nil, f
	}
	var after uint64
	if from, _ := a.query.Get("from_serial"); from != "" {
		var ok bool
		if after, ok = history.ParseAnnotationSerial(from); !ok {
			return nil, invalidInput.with(fmt.Sprintf("from_serial is not the serial of an annotation: '%s'", from))
		}
	}
	annotationType, given := a.query.Get("type")
	if given {
		if _, err := protocol.ParseAnnotationType(annotationType); err != nil {
			return nil, invalidInput.with(err.Error())
		}
	}
	page, err := a.policy.Annotations.List(a.r.Context(), a.message, annotationType, after, limit)
	if err != nil {
		return nil, a.internal("listing annotations", err)
	}
	a.out = page.AppendJSON(a.out[:0], a.channel, a.message, limit)
	return a.out, nil
}
