// Command textbook is Caddy with a realtime server of the usual Go design: the
// chat example of gorilla/websocket, speaking the Pusher protocol. It exists to
// be measured against, on any machine and in the same run, and does as much of
// the protocol as that takes: public channels, signed publishes.
//
// The design: ServeHTTP returns after the upgrade; each connection has a reader
// and a writer goroutine, gorilla's default buffers and a channel of 256 outgoing
// messages; a publish is prepared once and put into the channel of every
// subscriber under one lock; a connection whose channel is full is closed.
//
//	textbook run --config Caddyfile --adapter caddyfile
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() {
	caddycmd.Main()
}
