//go:build linux

package loadgen

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // prescribed by RFC 6455
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
)

const (
	websocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	// maxHead is the largest response head in bytes that is waited for.
	maxHead = 16 << 10
)

// errHandshake is wrapped by every refusal of an upgrade.
var errHandshake = errors.New("handshake")

// handshakeKey is the nonce of the n-th connection.
func handshakeKey(n int) string {
	var nonce [16]byte
	binary.BigEndian.PutUint64(nonce[8:], uint64(n)+1)
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// upgradeRequest asks for a WebSocket to the application.
func (t Target) upgradeRequest(key string, d Dialect) []byte {
	return []byte("GET /app/" + t.Key + "?" + dialects[d].query + "&client=loadgen&version=1.0&flash=false HTTP/1.1\r\n" +
		"Host: " + t.Addr + "\r\n" +
		"Connection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: " + key + "\r\n\r\n")
}

// cutUpgradeResponse looks for a whole response head in front of b. It returns
// the bytes behind the head, or done false when the head is not complete yet.
func cutUpgradeResponse(b []byte, key string) (rest []byte, done bool, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxHead {
			return nil, false, fmt.Errorf("%w: response head over %d bytes", errHandshake, maxHead)
		}
		return nil, false, nil
	}
	head, rest := b[:end+4], b[end+4:]
	response, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(head), 512), nil)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", errHandshake, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, false, fmt.Errorf("%w: %s: %.200s", errHandshake, response.Status, rest)
	}
	sum := sha1.Sum([]byte(key + websocketGUID)) //nolint:gosec // as above
	if got := response.Header.Get("Sec-WebSocket-Accept"); got != base64.StdEncoding.EncodeToString(sum[:]) {
		return nil, false, fmt.Errorf("%w: wrong Sec-WebSocket-Accept %q", errHandshake, got)
	}
	return rest, true, nil
}
