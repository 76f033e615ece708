package rest

import (
	"net/http"

	"github.com/sockudo/caddy-sockudo/push"
)

// subscribe creates a subscription or replaces it (section 4).
func (c *call) subscribe() (reply, error) {
	if err := c.readable(); err != nil {
		return reply{}, err
	}
	var s push.Subscription
	if err := push.Parse(c.in.Body, &s); err != nil {
		return reply{}, err
	}
	if c.confined {
		if s.DeviceID == "" {
			return reply{}, push.Fault("deviceId", "it must not be empty")
		}
		if err := c.mayUse(s.DeviceID); err != nil {
			return reply{}, err
		}
	}
	done, err := c.registry().Subscribe(c.ctx, c.app, s)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, done.View(c.app)}, nil
}

// which reads the filters of subscriptions. A device is confined to its own.
func (c *call) which() (f push.SubscriptionFilter, err error) {
	if f.Channel, err = c.filter("channel"); err != nil {
		return f, err
	}
	if f.DeviceID, err = c.filter("deviceId"); err != nil {
		return f, err
	}
	if c.confined && f.DeviceID == "" {
		return f, errNoDevice
	}
	return f, c.mayUse(f.DeviceID)
}

// subscriptions lists them.
func (c *call) subscriptions() (reply, error) {
	f, err := c.which()
	if err != nil {
		return reply{}, err
	}
	p, err := c.page(push.CursorSubscription)
	if err != nil {
		return reply{}, err
	}
	found, err := c.registry().Subscriptions(c.ctx, c.app, f, p.position, p.limit)
	if err != nil {
		return reply{}, err
	}
	views := make([]push.SubscriptionView, len(found.Items))
	for i := range found.Items {
		views[i] = found.Items[i].View(c.app)
	}
	return listed(c, p, views, found.Next), nil
}

// unsubscribe removes those of a channel, of a device, or the one of both.
func (c *call) unsubscribe() (reply, error) {
	f, err := c.which()
	if err != nil {
		return reply{}, err
	}
	if f.Channel == "" && f.DeviceID == "" {
		return reply{}, push.Fault("channel", "this parameter or deviceId is needed")
	}
	if !c.confined {
		subject := "channelSubscriptions"
		if f.Channel != "" {
			subject += " channel=" + f.Channel
		}
		if f.DeviceID != "" {
			subject += " deviceId=" + f.DeviceID
		}
		c.pipeline().Audit("removeWhere", c.app, subject)
	}
	n, err := c.registry().Unsubscribe(c.ctx, c.app, f.Channel, f.DeviceID)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, struct {
		Deleted int `json:"deleted"`
	}{n}}, nil
}

// channels lists the names of channels that somebody is subscribed to.
func (c *call) channels() (reply, error) {
	p, err := c.page(push.CursorChannel)
	if err != nil {
		return reply{}, err
	}
	found, err := c.registry().Channels(c.ctx, c.app, p.position, p.limit)
	if err != nil {
		return reply{}, err
	}
	return listed(c, p, found.Items, found.Next), nil
}
