package rest

import (
	"net/http"
	"strings"
)

// route is one endpoint under /apps/{app}/. handle answers an authenticated call
// with the body of a 200, or refuses it.
type route struct {
	method string
	allow  string
	handle func(*call) (body []byte, f *failure)
}

const (
	allowRead  = "GET, HEAD, OPTIONS"
	allowWrite = "POST, OPTIONS"
)

// The endpoints.
var (
	routeEvents      = &route{http.MethodPost, allowWrite, (*call).events}
	routeBatch       = &route{http.MethodPost, allowWrite, (*call).batch}
	routeChannels    = &route{http.MethodGet, allowRead, (*call).channels}
	routeChannel     = &route{http.MethodGet, allowRead, (*call).channel}
	routeMembers     = &route{http.MethodGet, allowRead, (*call).members}
	routeConnections = &route{http.MethodGet, allowRead, (*call).connections}
	routeTerminate   = &route{http.MethodPost, allowWrite, (*call).terminate}
	routeReconnect   = &route{http.MethodPost, allowWrite, (*call).reconnect}
	routeRevocations = &route{http.MethodPost, allowWrite, (*call).revoke}

	routeHistory          = &route{http.MethodGet, allowRead, (*call).history}
	routeHistoryState     = &route{http.MethodGet, allowRead, (*call).historyState}
	routeHistoryReset     = &route{http.MethodPost, allowWrite, (*call).resetHistory}
	routeHistoryPurge     = &route{http.MethodPost, allowWrite, (*call).purgeHistory}
	routePresence         = &route{http.MethodGet, allowRead, (*call).presenceHistory}
	routePresenceState    = &route{http.MethodGet, allowRead, (*call).presenceHistoryState}
	routePresenceReset    = &route{http.MethodPost, allowWrite, (*call).resetPresenceHistory}
	routePresenceSnapshot = &route{http.MethodGet, allowRead, (*call).presenceSnapshot}
)

// match finds the endpoint of a path below /apps/{app}/, still escaped, and the
// parameter in it. Nil means that there is none.
func match(tail string) (rt *route, param string) {
	switch tail {
	case "events":
		return routeEvents, ""
	case "batch_events":
		return routeBatch, ""
	case "channels":
		return routeChannels, ""
	case "connections":
		return routeConnections, ""
	case "revocations":
		return routeRevocations, ""
	}
	collection, rest, _ := strings.Cut(tail, "/")
	param, action, _ := strings.Cut(rest, "/")
	if param == "" || strings.HasSuffix(rest, "/") {
		return nil, ""
	}
	switch collection + "/" + action {
	case "channels/":
		return routeChannel, param
	case "channels/users":
		return routeMembers, param
	case "channels/history":
		return routeHistory, param
	case "channels/history/state":
		return routeHistoryState, param
	case "channels/history/reset":
		return routeHistoryReset, param
	case "channels/history/purge":
		return routeHistoryPurge, param
	case "channels/presence/history":
		return routePresence, param
	case "channels/presence/history/state":
		return routePresenceState, param
	case "channels/presence/history/reset":
		return routePresenceReset, param
	case "channels/presence/history/snapshot":
		return routePresenceSnapshot, param
	case "users/terminate_connections":
		return routeTerminate, param
	case "users/force_reconnect":
		return routeReconnect, param
	}
	return nil, ""
}

func (rt *route) allows(method string) bool {
	if rt == routePush {
		return method == http.MethodGet || method == http.MethodHead || method == http.MethodPost || method == http.MethodDelete
	}
	return method == rt.method || rt.reads() && method == http.MethodHead
}

func (rt *route) reads() bool { return rt.method == http.MethodGet }
