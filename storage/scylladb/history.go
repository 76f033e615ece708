package scylladb

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"regexp"
	"sync"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxPayload is the largest payload of an entry. A transaction is kept by the servers
	// several times over before it is committed, and takes 16 MiB at most with all that
	// it writes.
	maxPayload = 1 << 20
	// maxWorkers bounds how many statements one call has under way, and how many logs it
	// changes at a time.
	maxWorkers = 8
)

// HistoryOptions say where logs are kept, and as whom.
type HistoryOptions struct {
	// Options are the cluster and the login. Table means nothing here.
	Options
	// Prefix is the name of the table of logs, and begins that of the table of what is
	// due. Default: sockudo_history.
	Prefix string
}

var prefixName = regexp.MustCompile(`^[A-Za-z0-9_]{1,44}$`)

func (o HistoryOptions) withDefaults() HistoryOptions {
	o.Options = o.Options.withDefaults()
	o.Prefix = cmp.Or(o.Prefix, "sockudo_history")
	return o
}

func (o HistoryOptions) check() error {
	if o = o.withDefaults(); !prefixName.MatchString(o.Prefix) {
		return fmt.Errorf("table_prefix %q may hold letters, digits and _ only, 44 at most", o.Prefix)
	}
	return o.Options.check()
}

// key identifies the tables and the login. It holds secrets.
func (o HistoryOptions) key() string {
	o = o.withDefaults()
	text, err := json.Marshal([]string{o.Options.key(), o.Prefix})
	if err != nil { // it has nothing that could not be written
		panic(err)
	}
	return string(text)
}

// History keeps logs in two tables of ScyllaDB or Cassandra, see history_head.go.
type History struct {
	*link
	table   string // of the logs, with its keyspace, as statements have it
	due     string // likewise, of what is due
	locks   locks
	buckets buckets[int64]
}

// OpenHistory connects to a cluster and makes what is missing: the keyspace and the
// tables. The logger may be nil.
func OpenHistory(ctx context.Context, o HistoryOptions, logger *zap.Logger) (*History, error) {
	l, err := o.withDefaults().open(ctx, "history", relations, logger)
	if err != nil {
		return nil, err
	}
	h := &History{link: l, table: l.named(""), due: l.named(dueEnding)}
	if err := h.Check(ctx); err != nil { // a missing right is noticed at once
		_ = h.Close()
		return nil, err
	}
	return h, nil
}

// MaxSize is the largest payload of an entry.
func (h *History) MaxSize() int64 { return maxPayload }

// Check reads the head of a log.
func (h *History) Check(ctx context.Context) error {
	ctx, done, err := h.begin(ctx, callTimeout)
	if err != nil {
		return err
	}
	defer done()
	_, err = h.head(ctx, []byte(probe), gocql.LocalQuorum)
	return h.fail(ctx, err)
}

// logOf is the key of a log as the tables have it: one value, since an app may have
// an empty id.
func logOf(key storage.LogKey) []byte {
	log := binary.AppendUvarint(nil, uint64(len(key.App)))
	return append(append(log, key.App...), key.Channel...)
}

// keyOf is what logOf was made of. It is empty for what logOf does not make.
func keyOf(log []byte) (key storage.LogKey) {
	n, size := binary.Uvarint(log)
	if size <= 0 || n > uint64(len(log)-size) {
		return key
	}
	return storage.LogKey{App: string(log[size : size+int(n)]), Channel: string(log[size+int(n):])}
}

// each does something for the numbers below n, some at a time, and returns one of the
// errors. After an error nothing is begun any more.
func each(n int, do func(i int) error) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	next := 0
	for range min(n, maxWorkers) {
		all.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := i >= n || failed != nil
				mu.Unlock()
				if stop {
					return
				}
				if err := do(i); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return failed
}

var (
	_ storage.History = (*History)(nil)
	_ storage.Checker = (*History)(nil)
)
