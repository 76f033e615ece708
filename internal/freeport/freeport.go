// Package freeport picks ports for servers that tests start. It is imported by tests
// only.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The ports that are picked lie below those from which systems take the near ends of
// outgoing connections. A port among the latter may be taken between the look and the
// start of the server, or while the server is away for a while, and a connection that
// has ended keeps it for a minute.
const (
	lowest = 10000
	above  = 32768
)

// attempts is how many ports are tried.
const attempts = 1000

var (
	mu    sync.Mutex
	given = map[int]bool{} // by this process
)

// Pick is a port on which nobody listens, and which was not picked before.
func Pick() (int, error) {
	mu.Lock()
	defer mu.Unlock()
	for range attempts {
		port := lowest + rand.IntN(above-lowest)
		if given[port] {
			continue
		}
		listener, err := net.Listen("tcp", ":"+strconv.Itoa(port)) //nolint:noctx // it returns at once
		if err != nil {
			continue
		}
		given[port] = true
		return port, listener.Close()
	}
	return 0, errors.New("no port is free")
}
