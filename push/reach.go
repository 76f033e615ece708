package push

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// pageSize is how many recipients are planned in one change.
const pageSize = 1000

// maxSeen bounds the recipients of a publish with several targets, which are remembered
// while it is planned so that none is notified twice.
const maxSeen = 4 << 20

// spot is a place in the audience of a publish.
type spot struct {
	// Target is the one that is next, by its number.
	Target int `json:"target"`
	// After is the device of the target up to which recipients have been planned.
	After string `json:"after,omitempty"`
	// Scope is the client whose devices a subscription of the channel stands for, and
	// ScopeAfter the one up to which these have been planned.
	Scope      string `json:"scope,omitempty"`
	ScopeAfter string `json:"scopeAfter,omitempty"`
}

// somebody is one recipient.
type somebody struct {
	device *Device
	direct *Recipient
}

func (s *somebody) recipient() *Recipient {
	if s.device != nil {
		return &s.device.Recipient
	}
	return s.direct
}

// page reads the next recipients, and where those after them begin. done says that there
// are none.
func (p *Pipeline) page(ctx context.Context, app string, in *intent, at spot) (page []somebody, next spot, done bool, err error) {
	if at.Target >= len(in.Targets) {
		return nil, at, true, nil
	}
	t := &in.Targets[at.Target]
	over := spot{Target: at.Target + 1}
	switch t.Type { //nolint:exhaustive // the others are one recipient each
	case ToClient:
		page, last, err := p.clientPage(ctx, app, t.ClientID, at.After)
		if last == "" {
			return page, over, false, err
		}
		at.After = last
		return page, at, false, err
	case ToChannel:
		return p.channelPage(ctx, app, t.Channel, at)
	}
	return p.singles(ctx, app, in.Targets, at.Target)
}

// singles are the recipients of targets from the given one on that are one recipient each.
func (p *Pipeline) singles(ctx context.Context, app string, targets []Target, from int) (page []somebody, next spot, done bool, err error) {
	const most = 200
	var ids []string
	for next.Target = from; next.Target < len(targets) && next.Target-from < most; next.Target++ {
		t := &targets[next.Target]
		if to := t.direct(); to != nil {
			page = append(page, somebody{direct: to})
		} else if t.Type == ToDevice {
			ids = append(ids, t.DeviceID)
		} else {
			break
		}
	}
	devices, err := p.devices(ctx, app, ids)
	return append(page, devices...), next, false, err
}

func (p *Pipeline) devices(ctx context.Context, app string, ids []string) ([]somebody, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	all, err := p.settings.Registry.LoadDevices(ctx, app, ids)
	if err != nil {
		return nil, fmt.Errorf("reading devices: %w", err)
	}
	page := make([]somebody, 0, len(all))
	for _, d := range all {
		if d != nil {
			page = append(page, somebody{device: d})
		}
	}
	return page, nil
}

// clientPage reads devices of a client. last is empty when there are no others.
func (p *Pipeline) clientPage(ctx context.Context, app, client, after string) (page []somebody, last string, err error) {
	devices, err := p.settings.Registry.ClientDevices(ctx, app, client, after, pageSize)
	if err != nil {
		return nil, "", fmt.Errorf("reading the devices of a client: %w", err)
	}
	for _, d := range devices.Items {
		page = append(page, somebody{device: d})
	}
	return page, devices.Next, nil
}

// channelPage reads subscribers of a channel. A subscription that stands for a client is
// a page by itself.
func (p *Pipeline) channelPage(ctx context.Context, app, channel string, at spot) (page []somebody, next spot, done bool, err error) {
	if at.Scope != "" {
		page, last, err := p.clientPage(ctx, app, at.Scope, at.ScopeAfter)
		if err != nil {
			return nil, at, false, err
		}
		if at.ScopeAfter = last; last == "" {
			at.Scope = ""
		}
		page, err = p.unsubscribed(ctx, app, channel, page)
		return page, at, false, err
	}
	subs, err := p.settings.Registry.Subscribers(ctx, app, channel, at.After, pageSize)
	if err != nil {
		return nil, at, false, fmt.Errorf("reading the subscribers of a channel: %w", err)
	}
	var ids []string
	for _, s := range subs.Items {
		if strings.HasPrefix(s.DeviceID, clientScope) {
			at.After, at.Scope = s.DeviceID, s.ClientID
			page, err := p.devices(ctx, app, ids)
			return page, at, false, err
		}
		ids, at.After = append(ids, s.DeviceID), s.DeviceID
	}
	if subs.Next == "" {
		at = spot{Target: at.Target + 1}
	}
	page, err = p.devices(ctx, app, ids)
	return page, at, false, err
}

// unsubscribed leaves out devices that are subscribed to the channel themselves, and have
// been planned for that.
func (p *Pipeline) unsubscribed(ctx context.Context, app, channel string, page []somebody) ([]somebody, error) {
	kept := page[:0]
	for len(page) > 0 {
		n := min(len(page), 100)
		keys := make([]recordKey, n)
		for i := range n {
			keys[i] = key(app, tableSubscribers, channel, page[i].device.ID)
		}
		records, err := p.settings.Store.Get(ctx, keys...)
		if err != nil {
			return nil, fmt.Errorf("reading subscriptions: %w", err)
		}
		for i := range records {
			if records[i].Version == 0 {
				kept = append(kept, page[i])
			}
		}
		page = page[n:]
	}
	return kept, nil
}

// seen are recipients that have been planned, by the beginning of the hash of their
// address. It is nil where no recipient can come twice.
type seen map[string]bool

// seenSoFar remembers whom a publish with several targets has been planned for.
func (p *Pipeline) seenSoFar(ctx context.Context, app string, pub *publish, in *intent) (seen, error) {
	if len(in.Targets) < 2 {
		return nil, nil
	}
	s := seen{}
	group, after := pub.ID, ""
	for pub.Plan.Batches > 0 {
		records, err := p.settings.Store.List(ctx, recordQuery{App: app, Table: tableJobs, Group: &group, AfterName: after, Limit: 20})
		if err != nil {
			return nil, fmt.Errorf("reading what has been planned: %w", err)
		}
		if len(records) == 0 {
			break
		}
		for i := range records {
			jobs, err := decodeJobs(&records[i])
			if err != nil {
				return nil, err
			}
			for _, j := range jobs {
				s[j.Hash] = true
			}
		}
		after = records[len(records)-1].Key.Name
	}
	return s, nil
}

var errTooMany = errors.New("there are more recipients than a publish with several targets may have")

// first reports whether a recipient comes for the first time, and remembers it.
func (s seen) first(hash string) (bool, error) {
	switch {
	case s == nil:
		return true, nil
	case s[hash]:
		return false, nil
	case len(s) >= maxSeen:
		return false, errTooMany
	}
	s[hash] = true
	return true, nil
}
