// Package ws carries the protocol over WebSockets: the upgrade on HTTP/1.1, 2 and
// 3, the reading of messages, and the outbound queue of each socket. gorilla does
// the handshake, the reading, control frames and closing handshakes; prepared
// frames go straight to the connection.
//
// An idle clear-text socket on Linux has no goroutine, no timer and no write
// buffer. On other systems, and with TLS, it has one goroutine.
package ws
