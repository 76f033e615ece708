package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// warnOfLoss says in the log what a server may lose of a queue, or of what else has this
// name. What it may not know it says too.
func (c *Client) warnOfLoss(ctx context.Context, what string) {
	c.eachServer(ctx, func(ctx context.Context, node *redis.Client, logger *zap.Logger) error {
		return inspectLoss(ctx, node, logger, what)
	})
}

// eachServer has look ask the server, or each master of a cluster, and write what it finds
// into a log that names the node.
func (c *Client) eachServer(ctx context.Context, look func(context.Context, *redis.Client, *zap.Logger) error) {
	one := func(ctx context.Context, node *redis.Client) error {
		logger := c.log
		if c.cluster {
			logger = logger.With(zap.String("node", node.Options().Addr))
		}
		return look(ctx, node, logger)
	}
	_ = c.within(ctx, connectTimeout, func(ctx context.Context) error {
		switch client := c.UniversalClient.(type) {
		case *redis.ClusterClient:
			return client.ForEachMaster(ctx, one)
		case *redis.Client:
			return one(ctx, client)
		}
		return nil
	})
}

// appendsOf is the word of a server for whether it keeps an append-only file: "1" or
// "0", and empty if it does not tell.
func appendsOf(ctx context.Context, node *redis.Client) string {
	info, err := node.Info(ctx, "persistence").Result()
	if err != nil {
		return map[string]string{"yes": "1", "no": "0"}[setting(ctx, node, "appendonly")]
	}
	return infoField(info, "aof_enabled")
}

// inspectLoss asks one server, and returns an error only if its connection has one.
func inspectLoss(ctx context.Context, node *redis.Client, logger *zap.Logger, what string) error {
	appends := appendsOf(ctx, node)
	saves, savesErr := node.ConfigGet(ctx, "save").Result()
	switch {
	case appends == "1":
		if setting(ctx, node, "appendfsync") == "no" {
			logger.Warn("the server writes " + what + " to disk when the system likes to (appendfsync no): a power failure loses the last ones")
		}
	case appends == "":
		logger.Warn("the server does not tell whether it keeps " + what + " over a crash; it should have appendonly yes")
	case savesErr == nil && saves["save"] == "":
		logger.Warn("the server keeps nothing over a restart (appendonly no, and no save): it loses all " + what + "; set appendonly yes")
	default:
		logger.Warn("the server keeps no log of what it does (appendonly no): a crash loses the " + what + " since its last snapshot; set appendonly yes")
	}
	info, err := node.Info(ctx, "memory").Result()
	policy, most := infoField(info, "maxmemory_policy"), infoField(info, "maxmemory")
	if err != nil {
		policy, most = setting(ctx, node, "maxmemory-policy"), setting(ctx, node, "maxmemory")
	}
	bound, err := strconv.ParseInt(most, 10, 64)
	if err == nil && bound > 0 && strings.HasPrefix(policy, "allkeys-") {
		logger.Warn("the server drops any key when its memory is full, "+what+" too; set maxmemory-policy noeviction", zap.String("maxmemory_policy", policy))
	}
	return ctx.Err()
}

// infoField is the value behind a name in what INFO answers, empty if there is none.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// setting is one of the server's, empty if it does not tell.
func setting(ctx context.Context, node *redis.Client, name string) string {
	values, err := node.ConfigGet(ctx, name).Result()
	if err != nil {
		return ""
	}
	return values[name]
}

// asAnswer is the server's own error, as opposed to one of the connection.
func asAnswer(err error) (redis.Error, bool) { return errors.AsType[redis.Error](err) }
