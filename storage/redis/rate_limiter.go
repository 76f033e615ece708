package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// defaultLease is how long a slot is held without word from its holder.
const defaultLease = 30 * time.Second

// RateLimiterOptions say how a RateLimiter counts.
type RateLimiterOptions struct {
	// Prefix begins the names of all keys. Empty means "sockudo_rl".
	Prefix string
	// Lease is how long a slot stays taken after its node has been killed. Zero means
	// 30 seconds.
	Lease time.Duration
}

// RateLimiter counts in sliding windows and holds slots, by the clock of the server,
// so that the clocks of nodes may differ. Slots are leases: this process renews its
// own, from one goroutine.
type RateLimiter struct {
	client       *Client
	rates, slots string // begin the keys of both kinds
	held         heldSlots
	spared       map[string]time.Time // until when, by the address of a node; the goroutine's
	stop         context.CancelFunc
	renewing     sync.WaitGroup
}

// OpenRateLimiter connects to a server. The logger may be nil.
func OpenRateLimiter(ctx context.Context, o Options, r RateLimiterOptions, log *zap.Logger) (*RateLimiter, error) {
	client, err := Connect(ctx, o, log)
	if err != nil {
		return nil, err
	}
	prefix := cmp.Or(r.Prefix, "sockudo_rl")
	l := &RateLimiter{client: client, rates: prefix + ":rl:", slots: prefix + ":slots:", spared: map[string]time.Time{}}
	l.SetLease(r.Lease)
	if err := l.Check(ctx); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	renew, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.renewing.Go(func() { l.renewLoop(renew) })
	return l, nil
}

// countEvents counts in a window that slides. Its record is a list of times and
// numbers: what came within a 64th of the window is kept as one entry, by the time of
// the first and of the last, and counts until the last has left. There are never more
// entries than that, whatever the limit.
//
// ARGV is the number of events, the limit, and the window in microseconds. The
// answer is whether they are allowed, how many are left, and in how many
// microseconds more will be.
var countEvents = newScript(`
local n, limit, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local entries, count = {}, 0
local record = redis.call('GET', KEYS[1])
if record then
	local all = cmsgpack.unpack(record)
	for i = 1, #all, 3 do
		-- The clock may have been set back; nothing counts for longer than a window.
		local first, last = math.min(all[i], now), math.min(all[i + 1], now)
		if last > now - window then
			entries[#entries + 1] = {first, last, all[i + 2]}
			count = count + all[i + 2]
		end
	end
end
if n > limit - count then
	local reset, left = window, count
	for _, entry in ipairs(entries) do
		reset, left = entry[2] + window - now, left - entry[3]
		if n <= limit - left then break end
	end
	return {0, math.max(limit - count, 0), reset}
end
if n > 0 then
	local newest = entries[#entries]
	if newest and now - newest[1] < window / 64 then
		newest[2], newest[3] = now, newest[3] + n
	else
		entries[#entries + 1] = {now, now, n}
	end
	local all = {}
	for _, entry in ipairs(entries) do
		all[#all + 1], all[#all + 2], all[#all + 3] = entry[1], entry[2], entry[3]
	end
	redis.call('SET', KEYS[1], cmsgpack.pack(all), 'PX', math.ceil(window / 1000))
end
local newest = entries[#entries]
return {1, limit - count - n, newest and newest[2] + window - now or window}
`)

// Allow counts n events on key. Counting none asks how many are left.
func (l *RateLimiter) Allow(ctx context.Context, key string, n, limit int, window time.Duration) (d storage.RateDecision, err error) {
	if n < 0 || window <= 0 {
		return d, fmt.Errorf("rate limiter: %d events in a window of %v cannot be counted", n, window)
	}
	err = l.client.call(ctx, func(ctx context.Context) error {
		reply, err := l.client.run(ctx, countEvents, []string{l.rates + key}, n, limit, max(1, window.Microseconds()))
		if err != nil {
			return err
		}
		numbers, err := integers(reply, 3)
		if err != nil {
			return err
		}
		d = storage.RateDecision{
			Allowed: numbers[0] == 1, Limit: limit, Remaining: int(numbers[1]), Reset: time.Duration(numbers[2]) * time.Microsecond,
		}
		return nil
	})
	return d, err
}

// integers is the answer of a script that gives n numbers.
func integers(reply any, n int) ([]int64, error) {
	list, _ := reply.([]any)
	numbers := make([]int64, 0, n)
	for _, element := range list {
		if number, ok := element.(int64); ok {
			numbers = append(numbers, number)
		}
	}
	if len(numbers) != n || len(list) != n {
		return nil, fmt.Errorf("the script answers %v", reply)
	}
	return numbers, nil
}

// Check asks the server, of a cluster every master.
func (l *RateLimiter) Check(ctx context.Context) error { return l.client.check(ctx, l.rates) }

// Close gives all slots back, as far as the server can be told in time, and then the
// connections.
func (l *RateLimiter) Close() error {
	if l.client.closed.Load() {
		return nil
	}
	l.stop()
	l.renewing.Wait()
	l.giveUp()
	return l.client.Close()
}

var (
	_ storage.RateLimiter = (*RateLimiter)(nil)
	_ storage.Checker     = (*RateLimiter)(nil)
)
