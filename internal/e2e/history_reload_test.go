//go:build unix

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// history waits until a page of the history of a channel is as it is to be.
func (n *node) history(channel, what string, is func(p page, status int) bool) {
	n.t.Helper()
	n.until("history "+what, func() error {
		p, status, err := n.page(channel, "", 100)
		if err == nil && !is(p, status) {
			err = fmt.Errorf("it answers %d with %d rows of %d, %+v", status, len(p.Items), p.Continuity.Retained, p.Continuity)
		}
		return err
	})
}

// rewinds subscribes a new client with rewind, and tells whether it may.
func (n *node) rewinds(channel string) bool {
	n.t.Helper()
	k := n.dialV2()
	k.send(`{"event":"sockudo:subscribe","data":{"channel":"` + channel + `","rewind":3}}`)
	may := false
	n.until("answer to a rewind", func() error {
		if _, err := k.find("rewind_complete"); err == nil {
			may = true
			return nil
		}
		_, err := k.find("sockudo:error")
		return err
	})
	_ = k.w.rw.Close()
	return may
}

// What is said of history changes under load: nobody is disconnected, every event comes
// once, and pages are as the configuration says at the time.
//
// Checklist: configuration 111, 117
func TestHistoryReload(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	const channel = "orders"
	store := historyIn(t, "postgres", nil)
	n := keeping(t, func(c *caddy) string { return sqliteHistory.block(c.dir, "") })
	file := func(words string) string { return sqliteHistory.block(n.dir, words) }
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients []*conn
	for range 4 {
		k := n.dialV2()
		k.joinV2(channel, "")
		clients = append(clients, k)
	}
	w := newWriters()
	for i := range 4 {
		w.write(ctx, fmt.Sprint("p", i), channel, 2*time.Millisecond, func() *caddy { return n.caddy })
	}
	full := func(p page, status int) bool { return status == http.StatusOK && len(p.Items) == 100 }
	loads := 0
	for _, step := range []struct {
		what, block string
		rewind      bool
		is          func(p page, status int) bool
	}{
		{"in a file", file(""), true, full},
		{"of 20", file("max_items_per_channel 20"), true, func(p page, status int) bool {
			return status == http.StatusOK && len(p.Items) == 20 && p.Continuity.Truncated
		}},
		{"of a second", file("retention 1s"), true, func(p page, status int) bool {
			return status == http.StatusOK && p.Continuity.Truncated && p.Continuity.Oldest > 20
		}},
		{"in pages of 7, and no rewind", file("rewind off\nmax_page_size 7"), false, func(p page, status int) bool {
			return status == http.StatusOK && len(p.Items) == 7
		}},
		{"in PostgreSQL", store.block("", ""), true, func(p page, status int) bool {
			return full(p, status) && p.Items[0].Serial == 1
		}},
		{"off", "", false, func(_ page, status int) bool { return status == http.StatusUnprocessableEntity }},
		{"in PostgreSQL again", store.block("", ""), true, full},
		{"in a file again", file(""), true, full},
		{"off, with the file", file("enabled off"), false, func(_ page, status int) bool { return status == http.StatusUnprocessableEntity }},
		{"in the file again", file(""), true, full},
	} {
		n.reloadWith(step.block)
		loads++
		before := w.total.Load()
		n.history(channel, step.what, step.is)
		if may := n.rewinds(channel); may != step.rewind {
			t.Errorf("%s: a client may rewind: %v", step.what, may)
		}
		n.until("events", func() error {
			if got := w.total.Load() - before; got < 50 {
				return fmt.Errorf("%d were accepted since", got)
			}
			return nil
		})
	}
	stop()
	w.end(t)
	if len(w.refused) > 0 {
		t.Errorf("%d events were refused at first: %q", len(w.refused), w.refused[:min(5, len(w.refused))])
	}
	if status, text, err := n.keyed(channel, "numbered", "the end", "the-end"); err != nil || status != http.StatusOK {
		t.Fatal(status, text, err)
	}
	lost, repeated, reordered, told := 0, 0, 0, 0
	for i, k := range clients {
		k.await(`"the end"`)
		if err := k.closed(); err != nil {
			t.Errorf("client %d was closed: %v", i, err)
		}
		l, r, o := inOrder(k.datas(), w.accepted[channel])
		lost, repeated, reordered, told = lost+l, repeated+r, reordered+o, told+len(k.received("sockudo:resume_failed"))
	}
	if lost+repeated > 0 {
		t.Errorf("of %d events for %d clients %d lost and %d repeated", w.total.Load(), len(clients), lost, repeated)
	}
	t.Logf("FIGURE %s: %d reloads of history under load, %d events, %d of them only in a second attempt after a connection error: for %d clients 0 closed, %d lost, %d repeated, %d reordered; they were told %d times that a stream has ended",
		t.Name(), loads, w.total.Load(), w.retried.Load(), len(clients), lost, repeated, reordered, told)
}

// datas are the data of the events that came to a socket.
func (k *conn) datas() (all []string) {
	for _, f := range k.received("numbered") {
		if text, ok := f.Data.(string); ok && strings.Contains(text, "-") {
			all = append(all, text)
		}
	}
	return all
}
