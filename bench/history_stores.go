//go:build linux

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	stdsql "database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql" // for its name in database/sql
	_ "github.com/jackc/pgx/v5/stdlib" // likewise
	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/storage/sql"
)

// cleanTimeout bounds a look at a server, and the removal of what a run has left there.
const cleanTimeout = 30 * time.Second

// redisAddress is where Redis listens.
const redisAddress = "127.0.0.1:6379"

// Names of the stores. withoutHistory is the hub that keeps nothing.
const (
	withoutHistory = "history off"
	inMemory       = "memory"
	inSQLite       = "sqlite"
	inPostgres     = "postgres"
	inMySQL        = "mysql"
	inRedis        = "redis"
)

// historyStore is where a hub keeps its history, in a place that nobody else uses.
type historyStore struct {
	name string
	// place is a prefix of names on a server, and the path of a file.
	place string
}

// newStore is a place in the store with a name.
func newStore(name, dir string) historyStore {
	place := "bench_" + strings.ToLower(rand.Text()[:10])
	if name == inSQLite {
		place = filepath.Join(dir, place+".db")
	}
	return historyStore{name, place}
}

// words configure a hub with the store.
func (s historyStore) words() string {
	var words string
	switch s.name {
	case withoutHistory:
		return ""
	case inSQLite:
		words = "path " + s.place
	case inPostgres, inMySQL:
		words = "dsn " + s.server().DSN + "\n\t\t\ttable_prefix " + s.place
	case inRedis:
		host, port, _ := strings.Cut(redisAddress, ":")
		words = "host " + host + "\n\t\t\tport " + port + "\n\t\t\tprefix " + s.place
	}
	return "history " + s.name + " {\n\t\t\t" + words + "\n\t\t}"
}

// server is the database of the store, which must be one.
func (s historyStore) server() sql.Options {
	switch s.name {
	case inPostgres:
		return sql.Options{Dialect: sql.Postgres, DSN: cmp.Or(os.Getenv("TEST_POSTGRES_DSN"), "postgres://root@127.0.0.1:5432/test")}
	case inMySQL:
		return sql.Options{Dialect: sql.MySQL, DSN: cmp.Or(os.Getenv("TEST_MYSQL_DSN"), "root@tcp(127.0.0.1:3306)/test")}
	}
	return sql.Options{Dialect: sql.SQLite, Path: s.place}
}

// answers says whether the store is there.
func (s historyStore) answers(ctx context.Context) bool {
	return s.onServer(ctx, func(ctx context.Context, db *stdsql.DB) error { return db.PingContext(ctx) },
		func(ctx context.Context, client *redis.Client) error { return client.Ping(ctx).Err() }) == nil
}

// clean removes everything that is in the place.
func (s historyStore) clean(ctx context.Context) error {
	err := s.onServer(context.WithoutCancel(ctx), func(ctx context.Context, db *stdsql.DB) (err error) {
		for _, table := range []string{"_log_entries", "_logs"} {
			_, failed := db.ExecContext(ctx, "DROP TABLE IF EXISTS "+s.place+table)
			err = errors.Join(err, failed)
		}
		return err
	}, func(ctx context.Context, client *redis.Client) error {
		keys := client.Scan(ctx, 0, s.place+"*", 1000).Iterator()
		for keys.Next(ctx) {
			if err := client.Unlink(ctx, keys.Val()).Err(); err != nil {
				return err
			}
		}
		return keys.Err()
	})
	if s.name == inSQLite {
		for _, end := range []string{"", "-wal", "-shm"} {
			if failed := os.Remove(s.place + end); !errors.Is(failed, os.ErrNotExist) {
				err = errors.Join(err, failed)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("removing the history in %s: %w", s.name, err)
	}
	return nil
}

// onServer does something on the server of the store, if it has one.
func (s historyStore) onServer(ctx context.Context, inDatabase func(context.Context, *stdsql.DB) error, inKeys func(context.Context, *redis.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	driver := map[string]string{inPostgres: "pgx", inMySQL: "mysql"}[s.name]
	switch {
	case s.name == inRedis:
		client := redis.NewClient(&redis.Options{Addr: redisAddress})
		defer client.Close()
		return inKeys(ctx, client)
	case driver != "":
		db, err := stdsql.Open(driver, s.server().DSN)
		if err != nil {
			return err
		}
		defer db.Close()
		return inDatabase(ctx, db)
	}
	return nil
}
