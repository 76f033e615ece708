//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// createMessage publishes a message that can be changed, and returns its serial.
func (c *caddy) createMessage(channel, data string) string {
	c.t.Helper()
	status, text, err := c.keyed(channel, "numbered", data, "the-message")
	var answer struct {
		Channels map[string]struct {
			Message string `json:"message_serial"`
		}
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &answer)
	}
	serial := answer.Channels[channel].Message
	if err != nil || status != http.StatusOK || serial == "" {
		c.t.Fatal(status, text, err)
	}
	return serial
}

// appendTo appends fragments to a message, one after the other, until ctx ends. It
// returns how many were accepted; each is tried until it is.
func appendTo(ctx context.Context, name, channel, message string, retried *atomic.Int64, server func() *caddy) (n int) {
	for ; ctx.Err() == nil; n++ {
		body := fmt.Sprintf(`{"data":"[%s-%d]","op_id":"%s-%d"}`, name, n, name, n)
		for wait.For(context.Background(), 2*time.Millisecond) {
			status, _, err := server().call("POST", "/apps/app-id/channels/"+channel+"/messages/"+message+"/append", "", body)
			if err == nil && status == http.StatusOK {
				break
			}
			retried.Add(1)
			time.Sleep(20 * time.Millisecond)
		}
	}
	return n
}

// Three nodes write to one channel at once, and change one of its messages, while one of
// them is killed and comes back: clients of all nodes see one order, which is that of the
// history, and every fragment is in the message once.
//
// Checklist: http-api 132
// Checklist: protocol 145
func TestHistoryOneOrderInCluster(t *testing.T) {
	onEngines(t, []string{"nats"}, func(t *testing.T, e *engine) {
		const channel = "orders"
		store := historyIn(t, "postgres", nil)
		c := startCluster(t, e.everywhere, quick+recoverable+store.block("", "")+"versioned_messages on\n")
		message := c.nodes[0].createMessage(channel, "begin")
		var staying []*conn
		for i := range 4 {
			k := c.nodes[i%2].dialV2()
			k.joinV2(channel, "")
			staying = append(staying, k)
		}
		away := &reader{channel: channel, stay: time.Minute}
		away.visit(t.Context(), c.nodes[2].caddy, 200*time.Millisecond)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		reading, appending := sync.WaitGroup{}, sync.WaitGroup{}
		reading.Go(func() { away.run(ctx, func() *caddy { return c.nodes[2].caddy }) })
		w := newWriters()
		var retried atomic.Int64
		appended := make([]int, 3)
		for i, n := range c.nodes {
			server := func() *caddy { // mostly its own
				if rand.IntN(4) > 0 {
					return n.caddy
				}
				return c.nodes[rand.IntN(3)].caddy
			}
			w.write(ctx, fmt.Sprint("p", i), channel, 2*time.Millisecond, server)
			appending.Go(func() { appended[i] = appendTo(ctx, fmt.Sprint("a", i), channel, message, &retried, server) })
		}
		time.Sleep(3 * time.Second)
		c.nodes[2].kill()
		time.Sleep(2 * time.Second)
		c.nodes[2].launch(c.nodes[2].text(c.nodes[2].at, ""))
		c.nodes[2].up()
		c.together()
		time.Sleep(3 * time.Second)
		stop()
		w.end(t)
		appending.Wait()
		reading.Wait()
		if status, text, err := c.nodes[0].keyed(channel, "numbered", "the end", "the-end"); err != nil || status != http.StatusOK {
			t.Fatal(status, text, err)
		}
		order := oneOrder(t, channel, staying, 2)
		away.catchUp(c.nodes[2].caddy, order[len(order)-1].Serial)
		for _, f := range away.all {
			if want := order[f.Serial-2]; want.Data != f.Data || want.Event != f.Event {
				t.Errorf("the client of the node that was killed has got %+v, and others %+v", f, want)
				break
			}
		}
		var creates []string
		aggregate := "begin"
		for _, f := range order {
			if f.Event == "numbered" {
				creates = append(creates, fmt.Sprint(f.Data))
			} else {
				aggregate += fmt.Sprint(f.Data)
			}
		}
		rows := c.nodes[1].rows(channel)
		if got, want := strings.Join(datas(rows[1:]), " "), strings.Join(creates, " "); got != want {
			t.Errorf("the history has the order\n%.500s\nand clients have\n%.500s", got, want)
		}
		w.kept(t, channel, rows[1:len(rows)-1])
		if rows[0].Message.Data != aggregate {
			t.Errorf("the message is\n%.500s\nand its fragments are\n%.500s", rows[0].Message.Data, aggregate)
		}
		sum := 0
		for i, n := range appended {
			sum += n
			for k := range n {
				if fragment := fmt.Sprintf("[a%d-%d]", i, k); strings.Count(aggregate, fragment) != 1 {
					t.Errorf("fragment %s is there %d times", fragment, strings.Count(aggregate, fragment))
				}
			}
		}
		if n := strings.Count(aggregate, "["); n != sum {
			t.Errorf("%d fragments are there, and %d were accepted", n, sum)
		}
		t.Logf("FIGURE %s: three nodes, one killed and started again: %d events and %d appends to one message accepted, %d and %d attempts failed; %d clients have serials %d to %d in one order, which is that of the history; 0 lost, 0 repeated, 0 fragments lost; the client of the killed node resumed %d times",
			t.Name(), w.total.Load(), sum, w.retried.Load(), retried.Load(), len(staying)+1, order[0].Serial, order[len(order)-1].Serial, away.hot+away.cold)
	})
}

// oneOrder waits until all sockets have got the end, and checks that all have got the
// same, with serials from first on without a gap.
func oneOrder(t *testing.T, channel string, sockets []*conn, first uint64) (order []v2Frame) {
	t.Helper()
	for i, k := range sockets {
		k.await(`"the end"`, `"channel":"`+channel+`"`)
		if err := k.closed(); err != nil {
			t.Errorf("client %d was closed: %v", i, err)
		}
		if told := k.received("sockudo:resume_failed"); len(told) > 0 {
			t.Errorf("client %d is told %+v", i, told)
		}
		all := k.received("numbered", "sockudo:message.append")
		for n, f := range all {
			if f.Serial != first+uint64(n) || n < len(order) && (order[n].Data != f.Data || order[n].StreamID != f.StreamID || order[n].Event != f.Event) {
				t.Fatalf("client %d has got %+v as its event %d", i, f, n)
			}
		}
		if i > 0 && len(all) != len(order) {
			t.Fatalf("client %d has got %d events, and the first %d", i, len(all), len(order))
		}
		order = all
	}
	return order
}
