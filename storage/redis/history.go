package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// historyBuckets is how many slots the logs of a prefix are in.
const historyBuckets = 256

// ErrFailedOver says that the server was changed or restarted, and may have lost some
// of what it had acknowledged. It is why a log takes nothing until it is reset.
var ErrFailedOver = errors.New("the store was failed over, and the log may have lost entries: reset it")

// failedOver is the reason of the state of such a log.
const failedOver = "store_failed_over"

// HistoryOptions say how logs are kept.
type HistoryOptions struct {
	// Prefix stands before a colon and the names of all keys. Empty means
	// "sockudo_history".
	Prefix string
}

// History keeps logs in Redis, where several processes add to them and read them. How
// much there is in all is bounded by the server's maxmemory.
//
// It is as durable as the server. A server that is promoted, restored or restarted may
// have lost the newest entries that it, or the one before it, has acknowledged; it
// would then give their serials to others, under the same id. So each bucket of logs
// has a note of the server that wrote there last. If another writes, or the same after
// a restart, all logs of the bucket are degraded, with the reason store_failed_over:
// they can be read, and refuse entries with ErrFailedOver until they are reset.
// Nothing is lost, and they go on, if the note shows one of two things:
//
//   - It is the same process, and nothing was replicated to it in between. Its
//     replication id changes too when it gets its first replica, or has had none for
//     long.
//   - It is the same server, which wrote every change to disk before it answered
//     (appendonly yes, appendfsync always, no-appendfsync-on-rewrite no), was restarted
//     with its own append-only file, which it has not rewritten before somebody asked,
//     and was never a replica since. The same server is for a single one that which
//     answers at the same address, for Sentinels that which listens there, and in a
//     cluster the node of the same id.
//
// A failover always degrades, even a planned one: WAIT would not show that nothing is
// lost, since others may read an entry before it has reached a replica, and since that
// replica need not be the one that is promoted. So does moving slots of a cluster to
// another node, which Redis does not tell apart from it. A server that has lost all
// (it keeps nothing, or was flushed) has no logs any more, and begins others under new
// ids.
//
// What this cannot see: an append-only file that was replaced with an older one, and
// appendfsync that was changed while the server ran, until the next look at it, which
// Due takes. Nor can it see a promotion that ended, with a restart of the old master as
// master again, before anybody who has a History open was with the new one.
type History struct {
	client *Client
	log    *zap.Logger
	prefix string

	mu   sync.Mutex
	seen map[string]evidence // of each master, at the last look
	told string              // the process that was complained of
}

// OpenHistory connects to a server, and looks at what it may lose. The logger may be
// nil.
func OpenHistory(ctx context.Context, o Options, options HistoryOptions, log *zap.Logger) (*History, error) {
	if err := checkTag(options.Prefix); err != nil {
		return nil, err
	}
	client, err := Connect(ctx, o, log)
	if err != nil {
		return nil, err
	}
	h := &History{client: client, log: client.log, prefix: cmp.Or(options.Prefix, historyPrefix) + ":"}
	if err := h.look(ctx, connectTimeout); err != nil {
		return nil, errors.Join(fmt.Errorf("trying the history: %w", err), client.Close())
	}
	client.warnOfHistoryLoss(ctx)
	return h, nil
}

// logName is what a log is called in keys. The size keeps the texts apart.
func logName(key storage.LogKey) string {
	return strconv.Itoa(len(key.App)) + ":" + key.App + key.Channel
}

// readName is the log that logName has named.
func readName(name string) (key storage.LogKey, err error) {
	for i := range len(name) {
		if name[i] != ':' {
			continue
		}
		n, err := strconv.Atoi(name[:i])
		if err != nil || n < 0 || n > len(name)-i-1 || strconv.Itoa(n) != name[:i] {
			break
		}
		return storage.LogKey{App: name[i+1 : i+1+n], Channel: name[i+1+n:]}, nil
	}
	return key, fmt.Errorf("%.100q is no name of a log: somebody else has written there", name)
}

// bucketOf is the bucket of a log.
func bucketOf(name string) int {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(name))
	return int(sum.Sum32() % historyBuckets)
}

// base begins the keys of a bucket, which are in one slot.
func (h *History) base(bucket int) string {
	return h.prefix + "{h" + strconv.Itoa(bucket) + "}:"
}

func (h *History) serverKey(bucket int) string { return h.base(bucket) + "server" }
func (h *History) dueKey(bucket int) string    { return h.base(bucket) + "due" }

// keys are those of a log, as the scripts want them.
func (h *History) keys(name string) []string {
	bucket := bucketOf(name)
	base := h.base(bucket)
	return []string{
		h.serverKey(bucket), h.dueKey(bucket),
		base + "head:" + name, base + "meta:" + name, base + "data:" + name, base + "subjects:" + name, base + "once:" + name,
	}
}

// settlements bounds how often one call asks again because the server has changed.
const settlements = 3

// run runs a script that is about a log, and answers with what follows its first word.
func (h *History) run(ctx context.Context, s *script, key storage.LogKey, args ...any) (word string, rest []any, err error) {
	name := logName(key)
	err = h.client.call(ctx, func(ctx context.Context) error {
		word, rest, err = h.ask(ctx, s, name, args)
		return err
	})
	return word, rest, err
}

// ask runs a script, whatever that takes.
func (h *History) ask(ctx context.Context, s *script, name string, args []any) (word string, rest []any, err error) {
	for range settlements {
		reply, err := h.client.run(ctx, s, h.keys(name), args...)
		if err != nil {
			return "", nil, err
		}
		if word, rest, err = answered(reply); err != nil || word != "moved" {
			return word, rest, err
		}
		if err := h.settle(ctx, bucketOf(name)); err != nil {
			return "", nil, err
		}
	}
	return "", nil, errors.New("the server changes again and again")
}

// answered is the first word of what a script says, and the rest.
func answered(reply any) (word string, rest []any, err error) {
	list, _ := reply.([]any)
	if len(list) > 0 {
		word, _ = list[0].(string)
	}
	if word == "" {
		return "", nil, fmt.Errorf("the script answers %.100v", reply)
	}
	return word, list[1:], nil
}

// checkLog refuses what names no log.
func checkLog(key storage.LogKey) error {
	a := storage.LogAppend{Key: key, Fresh: "id"}
	return a.Check()
}

// Check asks the server, of a cluster every master.
func (h *History) Check(ctx context.Context) error { return h.client.check(ctx, h.prefix) }

// Close gives the connections back. The logs stay.
func (h *History) Close() error { return h.client.Close() }

var (
	_ storage.History = (*History)(nil)
	_ storage.Checker = (*History)(nil)
)
