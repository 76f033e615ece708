package realtime

import (
	"net/http"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// SignedAPI is a part of the HTTP API that another package serves. It is asked only for
// calls that come from an enabled app, whose signature is good and which no limit
// refuses.
type SignedAPI interface {
	// ServeSigned answers a GET, HEAD, POST or DELETE. The body of r has been read.
	ServeSigned(w http.ResponseWriter, r *http.Request, c SignedCall)
}

// SignedCall is a call of a SignedAPI.
type SignedCall struct {
	App *storage.App
	// Path is what follows the part's own name and a slash, still escaped and without
	// one slash at the end.
	Path string
	// Query has the parameters that are signed. Those of the request may be more: of
	// what is there twice only one is.
	Query *protocol.SignedQuery
	// Body is that of a POST, and nil for other methods. Whoever is called may keep it.
	Body []byte
}

// Param is a parameter of the query, whatever the case of its name, or "".
func (c *SignedCall) Param(name string) string {
	value, _ := c.Query.Get(strings.ToLower(name))
	return value
}
