package freeport

import (
	"net"
	"strconv"
	"testing"
)

func TestPick(t *testing.T) {
	seen := map[int]bool{}
	for range 200 {
		port, err := Pick()
		if err != nil || seen[port] || port < lowest || port >= above {
			t.Fatalf("%d, %v", port, err)
		}
		seen[port] = true
	}
	for port := range seen {
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			t.Error(err)
			continue
		}
		_ = listener.Close()
	}
}
