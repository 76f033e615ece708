package rest

import (
	"net/http"

	"github.com/sockudo/caddy-sockudo/push"
)

// rotates are the values of the header that asks for a new identity token.
var rotates = map[string]bool{"1": true, "true": true, "TRUE": true, "yes": true}

// register creates a device or replaces it (section 3).
func (c *call) register() (reply, error) {
	if err := c.readable(); err != nil {
		return reply{}, err
	}
	r, err := push.ParseRegistration(c.in.Body)
	if err != nil {
		return reply{}, err
	}
	var done *push.Registered
	if c.confined {
		if err := c.mayRegister(r.ID); err != nil {
			return reply{}, err
		}
		if done, err = c.registry().UpdateDevice(c.ctx, c.app, r, c.token()); isGone(err) {
			err = errUnknown // it has been removed just now
		}
	} else {
		done, err = c.registry().Register(c.ctx, c.app, r, rotates[c.r.Header.Get(headerRotate)])
	}
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, done}, nil
}

// devices lists all devices, or those of a client.
func (c *call) devices() (reply, error) {
	p, err := c.page(push.CursorDevice)
	if err != nil {
		return reply{}, err
	}
	client, err := c.filter("clientId")
	if err != nil {
		return reply{}, err
	}
	var found push.Page[*push.Device]
	if client != "" {
		found, err = c.registry().ClientDevices(c.ctx, c.app, client, p.position, p.limit)
	} else {
		found, err = c.registry().Devices(c.ctx, c.app, p.position, p.limit)
	}
	if err != nil {
		return reply{}, err
	}
	views := make([]push.DeviceView, len(found.Items))
	for i, d := range found.Items {
		views[i] = d.View(c.app)
	}
	return listed(c, p, views, found.Next), nil
}

// deleteClient removes all devices of a client.
func (c *call) deleteClient() (reply, error) {
	client, err := c.filter("clientId")
	if err == nil && client == "" {
		err = push.Fault("clientId", "the parameter is missing")
	}
	if err != nil {
		return reply{}, err
	}
	c.pipeline().Audit("removeWhere", c.app, "deviceRegistrations clientId="+client)
	n, err := c.registry().DeleteClient(c.ctx, c.app, client)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, struct {
		Deleted     int    `json:"deleted"`
		Consistency string `json:"consistency"`
	}{n, "eventual"}}, nil
}

// device reads one.
func (c *call) device() (reply, error) {
	id := c.params[0]
	if err := c.mayUse(id); err != nil {
		return reply{}, err
	}
	d, err := c.registry().Device(c.ctx, c.app, id)
	if err != nil {
		return reply{}, absent("device", err)
	}
	return reply{http.StatusOK, d.View(c.app)}, nil
}

// deleteDevice removes one. That there is none is only told to the device itself.
func (c *call) deleteDevice() (reply, error) {
	id := c.params[0]
	if err := c.mayUse(id); err != nil {
		return reply{}, err
	}
	_, err := c.registry().DeleteDevice(c.ctx, c.app, id)
	return reply{status: http.StatusNoContent}, err
}
