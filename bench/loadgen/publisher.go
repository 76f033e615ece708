//go:build linux

package loadgen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	answerTimeout = 15 * time.Second
	maxAnswer     = 1 << 20 // bytes of a body
)

// errStatus is wrapped when a publish is answered with anything but 200.
var errStatus = errors.New("publish refused")

// lane is one publisher: a keep-alive connection to the HTTP API and the
// numbers it has given out. It publishes one request after another, so that the
// order of its messages is beyond doubt.
type lane struct {
	target   Target
	index    int
	channels []string
	form     form

	conn      net.Conn
	reader    *bufio.Reader
	published []uint32 // accepted messages, by channel
	body      []byte
}

func newLane(target Target, index int, channels []string, f form) *lane {
	return &lane{
		target: target, index: index, channels: channels, form: f,
		published: make([]uint32, len(channels)),
	}
}

func (l *lane) dial(ctx context.Context) error {
	dialer := net.Dialer{Timeout: answerTimeout}
	conn, err := dialer.DialContext(ctx, "tcp4", l.target.Addr)
	if err != nil {
		return fmt.Errorf("publisher: %w", err)
	}
	l.conn, l.reader = conn, bufio.NewReaderSize(conn, 2048)
	return nil
}

func (l *lane) close() {
	if l.conn != nil {
		l.conn.Close()
	}
}

// publish sends one event and waits for the answer.
func (l *lane) publish(ctx context.Context, channel, slot int, due time.Time) error {
	l.body = l.form.appendEvent(l.body[:0], l.channels[channel], stamp{
		lane: l.index, channel: channel, seq: l.published[channel], slot: slot, at: due.UnixNano(),
	})
	if err := l.post(ctx, "events"); err != nil {
		return err
	}
	l.published[channel]++
	return nil
}

// publishBatch sends n events of one channel in one request.
func (l *lane) publishBatch(ctx context.Context, channel, n int, due time.Time) error {
	l.body = append(l.body[:0], `{"batch":[`...)
	for i := range n {
		if i > 0 {
			l.body = append(l.body, ',')
		}
		l.body = l.form.appendEvent(l.body, l.channels[channel], stamp{
			lane: l.index, channel: channel, seq: l.published[channel] + uint32(i), slot: noSlot, at: due.UnixNano(),
		})
	}
	l.body = append(l.body, "]}"...)
	if err := l.post(ctx, "batch_events"); err != nil {
		return err
	}
	l.published[channel] += uint32(n)
	return nil
}

// post sends the body to an endpoint.
func (l *lane) post(ctx context.Context, endpoint string) error {
	_, err := l.exchange(ctx, func(now time.Time) []byte { return l.target.signedPost(endpoint, l.body, now) })
	return err
}

// exchange sends a request and returns the body of the answer. The first request opens
// the connection. A server may end it after any answer; the next request then opens
// another.
func (l *lane) exchange(ctx context.Context, request func(now time.Time) []byte) ([]byte, error) {
	if l.conn == nil {
		if err := l.dial(ctx); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	if err := l.conn.SetDeadline(now.Add(answerTimeout)); err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	if _, err := l.conn.Write(request(now)); err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	response, err := http.ReadResponse(l.reader, nil)
	if err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	response.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	if response.Close {
		l.conn.Close()
		l.conn = nil
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s: %.300s", errStatus, response.Status, text)
	}
	return text, nil
}
