package redis

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// giveUpTimeout bounds how long Close gives slots back.
const giveUpTimeout = 2 * time.Second

// slotTime is how a script tells the time, in milliseconds. A slot's score is when it
// expires, and a key lives somewhat longer than its last slot.
const slotTime = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function keep(key)
	redis.call('PEXPIREAT', key, redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] + 1000)
end
`

var (
	// takeSlot takes a slot. ARGV is the holder, the limit and the lease.
	takeSlot = newScript(slotTime + `
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
keep(KEYS[1])
return 1
`)
	// renewSlots renews slots, those that have expired too: they are in use all the
	// same. ARGV is the lease, and for each key the number of holders and these.
	renewSlots = newScript(slotTime + `
local at = 2
for _, key in ipairs(KEYS) do
	local last = at + ARGV[at]
	while at < last do
		at = at + 1
		redis.call('ZADD', key, now + ARGV[1], ARGV[at])
	end
	at = at + 1
	keep(key)
end
return 1
`)
)

// Acquire takes one of limit slots on key for holder.
func (l *RateLimiter) Acquire(ctx context.Context, key, holder string, limit int) (ok bool, err error) {
	err = l.client.call(ctx, func(ctx context.Context) error {
		held, lease := l.held.has(key, holder)
		if held {
			ok = true
			return nil
		}
		reply, err := l.client.run(ctx, takeSlot, []string{l.slots + key}, holder, limit, lease.Milliseconds())
		if err != nil {
			return err // if it was taken, it expires
		}
		if ok = reply == int64(1); ok {
			l.held.add(key, holder, lease)
		}
		return nil
	})
	return ok && err == nil, err
}

// Release gives the slot of holder back, with an ended context too. If the server
// cannot be told, the slot expires.
func (l *RateLimiter) Release(ctx context.Context, key, holder string) error {
	l.held.remove(key, holder)
	return l.client.call(context.WithoutCancel(ctx), func(ctx context.Context) error {
		return l.client.write(ctx, "zrem", l.slots+key, holder)
	})
}

// forget gives slots back that nobody holds any more. What cannot be told expires.
func (l *RateLimiter) forget(ctx context.Context, batch []renewal) {
	_ = l.client.call(ctx, func(ctx context.Context) error {
		_, err := l.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, r := range batch {
				members := make([]any, len(r.holders))
				for i, holder := range r.holders {
					members[i] = holder
				}
				p.ZRem(ctx, l.slots+r.key.key, members...)
			}
			return nil
		})
		return err
	})
}

// giveUp gives back what is held when the limiter closes.
func (l *RateLimiter) giveUp() {
	ctx, cancel := context.WithTimeout(context.Background(), giveUpTimeout)
	defer cancel()
	for ctx.Err() == nil {
		batch := l.held.drop()
		if len(batch) == 0 {
			return
		}
		l.forget(ctx, batch)
	}
}
