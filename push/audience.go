package push

import (
	"context"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Channels lists the names of channels with subscriptions after a position, in order.
func (g *Registry) Channels(ctx context.Context, app, position string, limit int) (Page[string], error) {
	page := Page[string]{Items: []string{}, Next: position}
	for {
		records, next, err := g.list(ctx, app, tableChannels, "", page.Next, max(limit, 1)-len(page.Items))
		if err != nil {
			return page, err
		}
		for i := range records {
			if records[i].Counts[0] > 0 {
				page.Items = append(page.Items, records[i].Key.Name)
			}
		}
		if page.Next = next; next == "" || len(page.Items) >= limit {
			return page, nil
		}
	}
}

// CountChannel is the number of subscriptions to a channel.
func (g *Registry) CountChannel(ctx context.Context, app, channel string) (int64, error) {
	if channel == "" || len(channel) > MaxName {
		return 0, nil
	}
	r, err := g.get(ctx, key(app, tableChannels, "", channel))
	return max(r.Counts[0], 0), err
}

// CountClient is the number of devices of a client.
func (g *Registry) CountClient(ctx context.Context, app, clientID string) (n int64, err error) {
	if clientID == "" || len(clientID) > MaxName {
		return 0, nil
	}
	for after := ""; ; {
		records, next, err := g.list(ctx, app, tableClients, clientID, after, 1000)
		n += int64(len(records))
		if after = next; err != nil || after == "" {
			return n, err
		}
	}
}

// Subscribers lists the subscriptions to a channel after a device id, by device id.
func (g *Registry) Subscribers(ctx context.Context, app, channel, after string, limit int) (Page[Subscription], error) {
	if channel == "" {
		return Page[Subscription]{}, nil
	}
	return g.Subscriptions(ctx, app, SubscriptionFilter{Channel: channel}, after, limit)
}

// ClientDevices lists the devices of a client after a device id, by id.
func (g *Registry) ClientDevices(ctx context.Context, app, clientID, after string, limit int) (Page[*Device], error) {
	page := Page[*Device]{Items: []*Device{}}
	if clientID == "" || len(clientID) > MaxName {
		return page, nil
	}
	var (
		records []storage.PushRecord
		err     error
	)
	if records, page.Next, err = g.list(ctx, app, tableClients, clientID, after, limit); err != nil {
		return page, err
	}
	ids := make([]string, len(records))
	for i := range records {
		ids[i] = records[i].Key.Name
	}
	devices, err := g.LoadDevices(ctx, app, ids)
	if err != nil {
		return page, err
	}
	for _, d := range devices {
		if d != nil && d.ClientID == clientID {
			page.Items = append(page.Items, d)
		}
	}
	return page, nil
}
