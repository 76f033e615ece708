package redis

import (
	"context"
	"errors"
	"maps"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// evidence is what a server says of itself, all on one connection.
type evidence struct {
	// run is the id of the process, and replid that of what it replicates.
	run, replid string
	// input is how many bytes were replicated to the process, empty if it does not tell.
	input string
	// place is where the server is, whatever process runs there. Empty is unknown.
	place string
	// sure says that a change is on disk before it is answered.
	sure bool
	// loaded says that the process may have begun with its own append-only file, and with
	// nothing else: it has not written one anew since.
	loaded bool
}

// settleServer notes which server writes to a bucket. It answers 0 if the server is not
// the one that was asked, 2 if logs may have lost entries, and else 1. ARGV is run,
// replid, input, place, sure and loaded of the evidence, and whether a note is only
// changed.
//
// The note is a hash: what the evidence says, and gen, which is given to the logs that
// are begun. It changes when entries may be lost: since is when that was.
var settleServer = newScript(`
local server, run, replid, input, place, sure, loaded, only = KEYS[1], unpack(ARGV)
local who = redis.call('INFO', 'server')
local now = redis.call('INFO', 'replication')
if string.match(who, 'run_id:(%w+)') ~= run or string.match(now, 'master_replid:(%w+)') ~= replid then return 0 end
local n = redis.call('HMGET', server, 'gen', 'replid', 'run', 'input', 'place', 'sure')
local lost, answer = false, 1
if not n[1] then
	if only == '1' then return 1 end
	redis.call('HSET', server, 'gen', replid, 'since', '0')
elseif n[2] ~= replid then
	local same = n[3] == run and input ~= '' and n[4] == input
	local restarted = n[3] ~= run and loaded == '1' and input == '0' and n[6] == '1' and place ~= '' and n[5] == place
	if not same and not restarted then
		local time = redis.call('TIME')
		redis.call('HSET', server, 'gen', replid, 'since', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
		answer = 2
	end
end
redis.call('HSET', server, 'replid', replid, 'run', run, 'input', input, 'place', place, 'sure', sure)
return answer
`)

// inspectServer asks one server. What it does not tell is no evidence, and no error.
func (c *Client) inspectServer(ctx context.Context, node *redis.Client) (e evidence, err error) {
	pipe := node.Pipeline()
	server, replication, stats, persistence := pipe.Info(ctx, "server"), pipe.Info(ctx, "replication"), pipe.Info(ctx, "stats"), pipe.Info(ctx, "persistence")
	sync, lazy := pipe.ConfigGet(ctx, "appendfsync"), pipe.ConfigGet(ctx, "no-appendfsync-on-rewrite")
	myself := pipe.Do(ctx, "client", "info")
	if c.cluster {
		myself = pipe.Do(ctx, "cluster", "myid")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		if _, answered := asAnswer(err); !answered {
			return e, err
		}
	}
	e.run, e.replid = infoField(server.Val(), "run_id"), infoField(replication.Val(), "master_replid")
	if e.run == "" || e.replid == "" {
		return e, errors.Join(errors.New("the server does not tell who it is: a history needs the command INFO"), server.Err(), replication.Err())
	}
	if e.input = infoField(stats.Val(), "total_net_repl_input_bytes"); e.input == "" && strings.Trim(infoField(replication.Val(), "master_replid2"), "0") == "" {
		e.input = "0" // a server before Redis 7, which has no past that it knows of
	}
	text := persistence.Val()
	e.sure = infoField(text, "aof_enabled") == "1" && sync.Val()["appendfsync"] == "always" && lazy.Val()["no-appendfsync-on-rewrite"] == "no"
	e.loaded = infoField(text, "aof_enabled") == "1" && infoField(text, "aof_last_rewrite_time_sec") == "-1" &&
		infoField(text, "aof_rewrite_in_progress") == "0" && infoField(text, "aof_rewrite_scheduled") == "0"
	said, _ := myself.Text()
	e.place = c.placeOf(said, node)
	return e, nil
}

// placeOf is where a server is. said is its own word: in a cluster the id of the node,
// and else what it says of our connection.
func (c *Client) placeOf(said string, node *redis.Client) string {
	if c.cluster {
		return said
	}
	if c.shared.sentinels == nil {
		return node.Options().Addr
	}
	for word := range strings.FieldsSeq(said) {
		if address, ok := strings.CutPrefix(word, "laddr="); ok {
			if _, _, err := net.SplitHostPort(address); err == nil {
				return address
			}
		}
	}
	return ""
}

// master is the server that has a bucket.
func (h *History) master(ctx context.Context, bucket int) (*redis.Client, error) {
	switch client := h.client.UniversalClient.(type) {
	case *redis.ClusterClient:
		return client.MasterForKey(ctx, h.serverKey(bucket))
	case *redis.Client:
		return client, nil
	}
	return nil, errors.New("unknown kind of client")
}

// args are those of settleServer.
func (e *evidence) args(only bool) []any {
	return []any{e.run, e.replid, e.input, e.place, bit(e.sure), bit(e.loaded), bit(only)}
}

// settle finds out which server a bucket is with, and notes it. If that may have lost
// something, it does so for all buckets, so that none forgets it.
func (h *History) settle(ctx context.Context, bucket int) error {
	node, err := h.master(ctx, bucket)
	if err != nil {
		return err
	}
	e, err := h.client.inspectServer(ctx, node)
	if err != nil {
		return err
	}
	reply, err := h.client.run(ctx, settleServer, []string{h.serverKey(bucket)}, e.args(false)...)
	if err != nil || reply != int64(2) {
		return err
	}
	h.tell(&e)
	return h.look(ctx, callTimeout)
}

// tell complains of a server, once.
func (h *History) tell(e *evidence) {
	h.mu.Lock()
	told := h.told == e.run
	h.told = e.run
	h.mu.Unlock()
	if !told {
		h.log.Error("the server was failed over, moved or restarted, and may have lost acknowledged entries: logs that it has are degraded and take nothing until they are reset",
			zap.String("reason", failedOver), zap.String("run_id", e.run), zap.Bool("appendfsync_always", e.sure))
	}
}

// look asks each master who it is, and if one is not as at the last look, notes that
// with all buckets that have a note.
func (h *History) look(ctx context.Context, timeout time.Duration) error {
	return h.client.within(ctx, timeout, func(ctx context.Context) error {
		found := map[string]evidence{}
		var of [historyBuckets]evidence
		for bucket := range of {
			node, err := h.master(ctx, bucket)
			if err != nil {
				return err
			}
			address := node.Options().Addr
			e, known := found[address]
			if !known {
				if e, err = h.client.inspectServer(ctx, node); err != nil {
					return err
				}
				found[address] = e
			}
			of[bucket] = e
		}
		h.mu.Lock()
		same := maps.Equal(h.seen, found)
		h.mu.Unlock()
		if same {
			return nil
		}
		if err := h.settleAll(ctx, &of); err != nil {
			return err
		}
		h.mu.Lock()
		h.seen = found
		h.mu.Unlock()
		return nil
	})
}

// settleAll notes the servers of all buckets that have a note.
func (h *History) settleAll(ctx context.Context, of *[historyBuckets]evidence) error {
	calls := make([]call, historyBuckets)
	for bucket := range of {
		calls[bucket] = call{keys: []string{h.serverKey(bucket)}, args: of[bucket].args(true)}
	}
	h.client.runAll(ctx, settleServer, calls)
	for bucket, c := range calls {
		if c.err != nil {
			return c.err
		}
		if c.reply == int64(2) {
			h.tell(&of[bucket])
		}
	}
	return nil
}

// warnOfHistoryLoss says in the log what a server may lose of a history.
func (c *Client) warnOfHistoryLoss(ctx context.Context) { c.eachServer(ctx, inspectHistoryLoss) }

// inspectHistoryLoss asks one server, and returns an error only if its connection has
// one.
func inspectHistoryLoss(ctx context.Context, node *redis.Client, logger *zap.Logger) error {
	appends := appendsOf(ctx, node)
	switch sync := setting(ctx, node, "appendfsync"); {
	case appends == "0":
		logger.Warn("the server keeps no log of what it does (appendonly no): a restart loses histories; set appendonly yes and appendfsync always")
	case appends == "" || sync == "":
		logger.Warn("the server does not tell whether it keeps histories over a restart; it should have appendonly yes and appendfsync always")
	case sync != "always" || setting(ctx, node, "no-appendfsync-on-rewrite") == "yes":
		logger.Warn("the server answers before it has written to disk: histories are degraded by a restart, and take nothing until they are reset; set appendfsync always and no-appendfsync-on-rewrite no", zap.String("appendfsync", sync))
	}
	info, err := node.Info(ctx, "memory").Result()
	policy := infoField(info, "maxmemory_policy")
	if err != nil {
		policy = setting(ctx, node, "maxmemory-policy")
	}
	if strings.HasPrefix(policy, "allkeys-") {
		logger.Warn("the server drops any key when its memory is full, histories too; set maxmemory-policy noeviction", zap.String("maxmemory_policy", policy))
	}
	return ctx.Err()
}
