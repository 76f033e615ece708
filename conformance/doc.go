// Package conformance runs clients that other people wrote against a real Caddy
// with this module: pusher-js in Node and in Chromium, laravel-echo, the official
// server SDKs for Node and Go. All of it is in the tests; README.md says what is
// proven and how to run it.
package conformance
