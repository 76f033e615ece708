// Package rest is the HTTP API of push notifications, what is below
// /apps/{app}/push/. realtime/rest hands it calls whose signature is good; docs/push.md
// describes it.
package rest
