package rest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// route is one endpoint below /apps/{app}/push/. Segments of the path in braces are
// parameters. Without device it is for the capability push-admin only.
type route struct {
	method string
	path   string
	device bool
	handle func(*call) (reply, error)
}

// routes are all endpoints.
var routes = []*route{
	{http.MethodPost, "credentials/{provider}", false, (*call).putCredential},
	{http.MethodGet, "credentials", false, (*call).credentials},
	{http.MethodDelete, "credentials/{provider}/{id}", false, (*call).deleteCredential},
	{http.MethodPost, "templates", false, (*call).putTemplate},
	{http.MethodGet, "templates", false, (*call).templates},
	{http.MethodGet, "templates/{id}", false, (*call).template},
	{http.MethodDelete, "templates/{id}", false, (*call).deleteTemplate},
	{http.MethodPost, "deviceRegistrations", true, (*call).register},
	{http.MethodGet, "deviceRegistrations", false, (*call).devices},
	{http.MethodDelete, "deviceRegistrations", false, (*call).deleteClient},
	{http.MethodGet, "deviceRegistrations/{id}", true, (*call).device},
	{http.MethodDelete, "deviceRegistrations/{id}", true, (*call).deleteDevice},
	{http.MethodPost, "channelSubscriptions", true, (*call).subscribe},
	{http.MethodGet, "channelSubscriptions", true, (*call).subscriptions},
	{http.MethodDelete, "channelSubscriptions", true, (*call).unsubscribe},
	{http.MethodGet, "channelSubscriptions/channels", false, (*call).channels},
	{http.MethodPost, "publish", false, (*call).publish},
	{http.MethodPost, "batch/publish", false, (*call).publishBatch},
	{http.MethodGet, "publish/{publishId}/status", false, (*call).status},
	{http.MethodGet, "publish/{publishId}/deliveries", false, (*call).deliveries},
	{http.MethodGet, "publish/{publishId}/events", false, (*call).events},
	{http.MethodGet, "deadLetters", false, (*call).deadLetters},
	{http.MethodPost, "deadLetters/{deadLetterId}/replay", false, (*call).replay},
	{http.MethodDelete, "scheduled/{jobId}", false, (*call).cancel},
	{http.MethodPost, "deliveryStatus", false, (*call).report},
}

// endpoints are the routes of each path, by the number of its segments.
var endpoints = func() map[int][]endpoint {
	all := map[int][]endpoint{}
	for _, rt := range routes {
		segments := strings.Split(rt.path, "/")
		list := all[len(segments)]
		i := slices.IndexFunc(list, func(e endpoint) bool { return slices.Equal(e.segments, segments) })
		if i < 0 {
			i = len(list)
			list = append(list, endpoint{segments: segments})
		}
		list[i].routes = append(list[i].routes, rt)
		all[len(segments)] = list
	}
	return all
}()

// endpoint is a path with its routes.
type endpoint struct {
	segments []string
	routes   []*route
}

// match has the parameters of a path, still escaped, if it is that of the endpoint.
func (e *endpoint) match(path []string) (params []string, ok bool) {
	for i, want := range e.segments {
		switch {
		case want[0] == '{' && path[i] != "":
			params = append(params, path[i])
		case want != path[i]:
			return nil, false
		}
	}
	return params, true
}

// allow is the header of that name.
func (e *endpoint) allow() string {
	var methods []string
	for _, rt := range e.routes {
		methods = append(methods, rt.method)
		if rt.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	return strings.Join(append(methods, http.MethodOptions), ", ")
}

// route finds the endpoint of a call, and refuses one that the capability is not good for.
func (c *call) route() (*route, error) {
	path := strings.Split(c.in.Path, "/")
	for _, e := range endpoints[len(path)] {
		params, ok := e.match(path)
		if !ok {
			continue
		}
		for i := range params {
			text, err := url.PathUnescape(params[i])
			if err != nil {
				return nil, errSegment
			}
			params[i] = text
		}
		c.params = params
		method := c.r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		for _, rt := range e.routes {
			if rt.method == method {
				c.name = rt.method + " " + rt.path
				return rt, c.admit(rt)
			}
		}
		c.header.Set("Allow", e.allow())
		return nil, errMethod
	}
	return nil, errPath
}

// most is how long a call may take.
func (rt *route) most() time.Duration {
	if rt.path == "batch/publish" {
		return batchTime
	}
	return callTime
}
