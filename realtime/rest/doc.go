// Package rest is the signed HTTP API of a hub: publishing, channel state, users,
// and the operational endpoints beside it. It speaks net/http and knows nothing
// of the server it is mounted in.
//
// Section numbers in comments are those of the HTTP API specification the
// project is built from; docs/http-api.md names what they say.
//
// Every call under /apps/ takes one snapshot of the settings and holds it until
// it is answered, so a reload never changes the rules within a call.
package rest
