package sql

import (
	"cmp"
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the embedded database
)

const (
	// idleTime is how long an unused connection stays open.
	idleTime = 3 * time.Minute
	// busyTimeout is how long a writer of SQLite waits for another one.
	busyTimeout = 5 * time.Second
	// connectTimeout bounds making one connection.
	connectTimeout = 5 * time.Second
)

// Options say which database to open.
type Options struct {
	Dialect Dialect
	// Path is the file of an SQLite database. Folders above it are made.
	Path string
	// DSN is the whole address of a server. It excludes the fields below.
	DSN string
	// Host is a name or address. Default: localhost.
	Host string
	// Port is that of the server. Default: 5432 or 3306.
	Port int
	// Username logs in. Default: postgres or root.
	Username string
	Password string
	// Database is the name of the database. Default: sockudo.
	Database string
	// MaxConnections bounds the open connections. Default: 10.
	MaxConnections int
	// Relaxed lets SQLite lose the last moments before a power failure, never more
	// than those, for a write that does not wait for the disk. Default: off.
	Relaxed bool
}

func (o Options) withDefaults() Options {
	port, user := 5432, "postgres"
	if o.Dialect == MySQL {
		port, user = 3306, "root"
	}
	o.Host, o.Database = cmp.Or(o.Host, "localhost"), cmp.Or(o.Database, "sockudo")
	o.Port, o.Username = cmp.Or(o.Port, port), cmp.Or(o.Username, user)
	o.MaxConnections = cmp.Or(o.MaxConnections, 10)
	return o
}

// place names the database for errors and logs. It holds no secret.
func (o Options) place() string {
	switch {
	case o.Dialect == SQLite:
		return "sqlite " + o.Path
	case o.DSN == "":
		return fmt.Sprintf("%s %s/%s", o.Dialect, net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), o.Database)
	case o.Dialect == Postgres:
		if c, err := pgx.ParseConfig(o.DSN); err == nil {
			return fmt.Sprintf("postgres %s/%s", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), c.Database)
		}
	default:
		if c, err := mysql.ParseDSN(o.DSN); err == nil {
			return fmt.Sprintf("mysql %s/%s", c.Addr, c.DBName)
		}
	}
	return string(o.Dialect)
}

// open connects to a database and asks whether it is there.
func open(ctx context.Context, o Options) (*stdsql.DB, error) {
	db, err := o.prepare()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.place(), err)
	}
	return o.ask(ctx, db)
}

// ask bounds the connections of a database, and asks whether it is there.
func (o Options) ask(ctx context.Context, db *stdsql.DB) (*stdsql.DB, error) {
	db.SetMaxOpenConns(o.MaxConnections)
	db.SetMaxIdleConns(min(2, o.MaxConnections))
	db.SetConnMaxIdleTime(idleTime)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", o.place(), err), db.Close())
	}
	return db, nil
}

func (o Options) prepare() (*stdsql.DB, error) {
	switch o.Dialect {
	case SQLite:
		return o.prepareSQLite()
	case Postgres:
		c, err := o.postgresConfig()
		if err != nil {
			return nil, err
		}
		return stdlib.OpenDB(*c), nil
	case MySQL:
		c, err := o.mysqlConfig()
		if err != nil {
			return nil, err
		}
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return nil, err
		}
		return stdsql.OpenDB(connector), nil
	}
	return nil, fmt.Errorf("there is no dialect %q", o.Dialect)
}

func (o Options) postgresConfig() (*pgx.ConnConfig, error) {
	dsn := o.DSN
	if dsn == "" {
		u := url.URL{
			Scheme: "postgres", User: url.UserPassword(o.Username, o.Password), Path: "/" + o.Database,
			Host: net.JoinHostPort(o.Host, strconv.Itoa(o.Port)),
		}
		dsn = u.String()
	}
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the dsn cannot be read; it is like postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require")
	}
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, connectTimeout)
	return c, nil
}

func (o Options) mysqlConfig() (*mysql.Config, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
	c.User, c.Passwd, c.DBName = o.Username, o.Password, o.Database
	if o.DSN != "" {
		var err error
		if c, err = mysql.ParseDSN(o.DSN); err != nil {
			return nil, errors.New("the dsn cannot be read; it is like USER:PASSWORD@tcp(HOST:3306)/DATABASE?tls=true")
		}
	}
	c.Timeout = cmp.Or(c.Timeout, connectTimeout)
	c.Logger = &mysql.NopLogger{}
	return c, nil
}

func (o Options) prepareSQLite() (*stdsql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, err
	}
	// The file holds secrets.
	f, err := os.OpenFile(o.Path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	synchronous := "synchronous(FULL)"
	if o.Relaxed {
		synchronous = "synchronous(NORMAL)"
	}
	pragmas := url.Values{"_pragma": {
		"journal_mode(WAL)", synchronous, "busy_timeout(" + strconv.FormatInt(busyTimeout.Milliseconds(), 10) + ")",
	}, "_txlock": {"immediate"}}
	escaped := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(o.Path)
	return stdsql.Open("sqlite", "file:"+escaped+"?"+pragmas.Encode())
}
