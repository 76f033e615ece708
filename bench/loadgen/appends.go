//go:build linux

package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// appendsOfMessage is how many fragments a message takes before another one stands in
// its place: as many as a long answer that comes word by word.
const appendsOfMessage = 500

// fragment is what is appended.
const fragment = `{"data":"word "}`

// errMessage means that a publish was answered without the serial of a message.
var errMessage = errors.New("loadgen: no message that can be changed")

// Appends appends to messages as fast as answers come (HTTP API, section 6.4). Nobody
// subscribes.
type Appends struct {
	// Messages is how many are appended to in turn. Default 1, at most 10,000.
	Messages int
	// Publishers is how many connections append. Default 16, at most 99.
	Publishers int
	// Warm passes before the measurement, Measure is its length; at most a minute each.
	Warm, Measure time.Duration
}

// growing is the place of a message.
type growing struct {
	mu     sync.Mutex
	number int // of the place
	serial string
	left   int // appends that the message still takes
}

// Run implements Scenario.
func (o Appends) Run(ctx context.Context, target Target) (Result, error) {
	setDefault(&o.Messages, 1)
	setDefault(&o.Publishers, 16)
	if err := errors.Join(
		checkBounds(bounded{"messages", o.Messages, 1, 10_000}, bounded{"publishers", o.Publishers, 1, maxPublishers}),
		checkPhases(o.Warm, o.Measure),
	); err != nil {
		return Result{}, err
	}
	if _, err := target.sockaddr(); err != nil {
		return Result{}, err
	}
	messages := make([]growing, o.Messages)
	creator := newLane(target, 0, channelNames("bench-", 1), form{})
	defer creator.close()
	for i := range messages {
		messages[i].number = i
		if err := messages[i].renew(ctx, creator); err != nil {
			return Result{}, err
		}
	}
	return countCalls(ctx, target, calls{
		unit: "appends", units: 1, by: newPublishing(target, o.Publishers, creator.channels, form{}), warm: o.Warm, measure: o.Measure,
		one: func(ctx context.Context, l *lane, turn int64) (func() error, error) {
			return nil, messages[turn%int64(o.Messages)].grow(ctx, l)
		},
	})
}

// grow appends to the message, or to the next one in its place.
func (g *growing) grow(ctx context.Context, l *lane) error {
	g.mu.Lock()
	if g.left == 0 {
		if err := g.renew(ctx, l); err != nil {
			g.mu.Unlock()
			return err
		}
	}
	g.left--
	serial := g.serial
	g.mu.Unlock()
	l.body = append(l.body[:0], fragment...)
	return l.post(ctx, "channels/"+l.channels[0]+"/messages/"+serial+"/append")
}

// renew publishes a message. The caller holds mu.
func (g *growing) renew(ctx context.Context, l *lane) error {
	id := "m" + strconv.Itoa(g.number) + "-" + strconv.FormatInt(nanos(), 10)
	l.body = fmt.Appendf(l.body[:0], `{"name":"bench","channel":%q,"data":"","message_id":%q}`, l.channels[0], id)
	text, err := l.exchange(ctx, func(now time.Time) []byte { return l.target.signedPost("events", l.body, now) })
	if err != nil {
		return err
	}
	var answer struct {
		Channels map[string]struct {
			Serial string `json:"message_serial"`
		} `json:"channels"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("answer %.100q: %w", text, err)
	}
	g.serial, g.left = answer.Channels[l.channels[0]].Serial, appendsOfMessage
	if g.serial == "" {
		return fmt.Errorf("%w: %.200s", errMessage, text)
	}
	return nil
}
