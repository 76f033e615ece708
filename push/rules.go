package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Rule makes notifications of realtime events (section 15.1).
type Rule struct {
	// Pattern is the name of a channel, or the beginning of one with an asterisk after it.
	Pattern string
	// Events are the names of events.
	Events []string
	// RatePerSecond is how many events of one app make notifications in a second.
	RatePerSecond int
	// TitleField and BodyField are the members of the event's data that are the title and
	// the body, and DataField is where the others are in the notification's data.
	TitleField, BodyField, DataField string
	// Rest says that the other members are in the notification's data.
	Rest bool
	// Suppress, unless it is nil, leaves out who is present. An empty channel is the event's,
	// and an asterisk at its end stands for what that of the pattern is in the event's.
	Suppress *Suppress
}

// matches reports whether an event is one of the rule's.
func (r *Rule) matches(channel, event string) bool {
	if prefix, ok := strings.CutSuffix(r.Pattern, "*"); ok {
		if !strings.HasPrefix(channel, prefix) {
			return false
		}
	} else if r.Pattern != channel {
		return false
	}
	return slices.Contains(r.Events, event)
}

// maxRuleBytes bounds the events that wait to become publishes, in bytes.
const maxRuleBytes = 16 << 20

// Rules are those of one configuration. Events are taken without waiting, and published
// by one goroutine.
type Rules struct {
	p     *Pipeline
	rules []Rule

	mu      sync.Mutex
	waiting []ruleEvent
	bytes   int
	closed  bool
	wake    chan struct{}
	done    chan struct{}
}

type ruleEvent struct {
	rule                *Rule
	app, channel, event string
	data                []byte
}

// NewRules makes the rules of a pipeline, and runs them until Stop.
func NewRules(p *Pipeline, rules []Rule) *Rules {
	r := &Rules{p: p, rules: rules, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go r.run()
	return r
}

// Match reports whether a rule is about an event. It allocates nothing.
func (r *Rules) Match(channel, event string) bool {
	for i := range r.rules {
		if r.rules[i].matches(channel, event) {
			return true
		}
	}
	return false
}

// Take takes an event that Match was true of. It copies the data, and waits for nothing.
func (r *Rules) Take(app, channel, event string, data []byte) {
	for i := range r.rules {
		if rule := &r.rules[i]; rule.matches(channel, event) {
			r.add(ruleEvent{rule, app, channel, event, append([]byte(nil), data...)})
		}
	}
}

func (r *Rules) add(e ruleEvent) {
	r.mu.Lock()
	full := r.closed || r.bytes+len(e.data) > maxRuleBytes
	if !full {
		r.waiting = append(r.waiting, e)
		r.bytes += len(e.data) + 200
	}
	r.mu.Unlock()
	if full {
		r.drop(&e, "queue_full", nil)
		return
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Rules) drop(e *ruleEvent, reason string, err error) {
	m := r.p.board.Metrics
	m.ruleDropped.WithLabelValues(m.app(e.app), reason).Inc()
	r.p.settings.Log.Warn("an event that matches a push rule notifies nobody", zap.String("app", e.app), zap.String("reason", reason), zap.Error(err))
}

// Stop publishes what waits, bounded by ctx, and ends.
func (r *Rules) Stop(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("publishing the last events of push rules: %w", ctx.Err())
	}
}

func (r *Rules) run() {
	defer close(r.done)
	for range r.wake {
		for {
			r.mu.Lock()
			events, closed := r.waiting, r.closed
			r.waiting, r.bytes = nil, 0
			r.mu.Unlock()
			if len(events) == 0 {
				if closed {
					return
				}
				break
			}
			for i := range events {
				r.publish(&events[i])
			}
		}
	}
}

// publish makes a publish of an event. Whatever comes of it, the event itself has been
// published.
func (r *Rules) publish(e *ruleEvent) {
	defer func() {
		if v := recover(); v != nil {
			r.drop(e, "panic", fmt.Errorf("panic: %v", v))
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	d, err := r.p.settings.Limiter.Allow(ctx, "push:rule:"+e.app+":"+e.rule.Pattern, 1, e.rule.RatePerSecond, time.Second)
	if err == nil && !d.Allowed {
		r.drop(e, "rate", nil)
		return
	}
	request, err := e.rule.request(e.channel, e.data)
	if err != nil {
		r.drop(e, "data", err)
		return
	}
	r.p.board.Metrics.channelPublishes.Inc()
	if _, err := r.p.Accept(ctx, e.app, request, AcceptOptions{NoRate: true}); err != nil {
		r.drop(e, "refused", err)
	}
}

// request is the publish for an event of a channel.
func (r *Rule) request(channel string, data []byte) (*Request, error) {
	var text string
	if json.Unmarshal(data, &text) == nil {
		data = []byte(text)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || object == nil {
		return nil, errors.New("the data of the event is not a JSON object")
	}
	p := &Payload{}
	for field, to := range map[string]*string{r.TitleField: &p.Title, r.BodyField: &p.Body} {
		if err := json.Unmarshal(object[field], to); err != nil || *to == "" {
			return nil, fmt.Errorf("the member %q of the event's data is not a text", field)
		}
		delete(object, field)
	}
	if r.Rest {
		p.TemplateData = raw(map[string]any{r.DataField: object})
	} else {
		p.TemplateData = json.RawMessage("{}")
	}
	request := &Request{Targets: []Target{{Type: ToChannel, Channel: channel}}, Payload: p}
	if r.Suppress != nil {
		s := *r.Suppress
		if s.Channel == "" {
			s.Channel = channel
		} else if base, ok := strings.CutSuffix(s.Channel, "*"); ok {
			s.Channel = base + strings.TrimPrefix(channel, strings.TrimSuffix(r.Pattern, "*"))
		}
		request.Suppress = &s
	}
	return request, nil
}
