package ws

import (
	"crypto/tls"
	"net"
	"reflect"
	"syscall"
)

// unwrap finds the system's connection below what Caddy puts around clear-text
// ones, and its descriptor: -1 if there is none that may be written to directly.
func unwrap(conn net.Conn) (net.Conn, int) {
	if _, ok := conn.(*tls.Conn); ok {
		return conn, -1
	}
	if inner := insideHTTP2Conn(conn); inner != nil {
		conn = inner
	}
	switch c := conn.(type) {
	case *net.TCPConn:
		return conn, descriptorOf(c)
	case *net.UnixConn:
		return conn, descriptorOf(c)
	}
	return conn, -1
}

// insideHTTP2Conn is the connection inside Caddy's wrapper that looks for the
// preface of HTTP/2, which has nothing left to do after an upgrade. The type is
// not exported but its embedded field is. Any other wrapper stays.
func insideHTTP2Conn(conn net.Conn) net.Conn {
	v := reflect.ValueOf(conn)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	if t := v.Elem().Type(); t.Name() != "http2Conn" || t.PkgPath() != "github.com/caddyserver/caddy/v2/modules/caddyhttp" {
		return nil
	}
	field := v.Elem().FieldByName("Conn")
	if !field.IsValid() || !field.CanInterface() {
		return nil
	}
	inner, _ := reflect.TypeAssert[net.Conn](field)
	return inner
}

func descriptorOf(c syscall.Conn) int {
	if !directIO {
		return -1
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return -1
	}
	fd := -1
	if raw.Control(func(f uintptr) { fd = int(f) }) != nil {
		return -1
	}
	return fd
}
