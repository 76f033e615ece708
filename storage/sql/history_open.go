package sql

import (
	"context"
	stdsql "database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// leastPacket is the least that MySQL must take at once, in bytes.
	leastPacket = 64 << 10
	// packetRest is what a packet holds beside a payload, in bytes.
	packetRest = 8 << 10
)

// openForLogs connects to a database whose entries are written in few round trips. All of
// its connections stay open for a while: unlike apps, logs are asked for all the time.
func openForLogs(ctx context.Context, o Options) (*stdsql.DB, error) {
	db, err := connectForLogs(ctx, o)
	if err == nil {
		db.SetMaxIdleConns(o.MaxConnections)
	}
	return db, err
}

func connectForLogs(ctx context.Context, o Options) (*stdsql.DB, error) {
	if o.Dialect == Postgres {
		c, err := o.postgresConfig()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.place(), err)
		}
		return o.ask(ctx, stdlib.OpenDB(*c, stdlib.OptionAfterConnect(neverSort)))
	}
	if o.Dialect != MySQL {
		return open(ctx, o)
	}
	c, err := o.mysqlConfig()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.place(), err)
	}
	// A statement with its values in it takes one round trip, and one that has to be
	// prepared two. What is too long for it is prepared all the same, so the driver
	// must know what the server takes.
	c.InterpolateParams = true
	if c.MaxAllowedPacket == mysql.NewConfig().MaxAllowedPacket {
		c.MaxAllowedPacket = 0 // ask the server
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.place(), err)
	}
	return o.ask(ctx, stdsql.OpenDB(logConnector{connector}))
}

// neverSort keeps PostgreSQL from reading and sorting the whole rest of a log for a page
// of it, which it finds cheap as long as it knows nothing of the table. An index has all
// in the right order.
func neverSort(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, "SET enable_sort = off")
	return err
}

// logConnector prepares the connections of a History to MySQL.
type logConnector struct{ driver.Connector }

// sessions are statements for each new connection. Without the first, transactions
// lock the gaps between rows. The second keeps values in statements safe whatever
// character set the dsn has: in some, a backslash can be the half of a character.
var sessions = []string{"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET NAMES utf8mb4"}

// Connect implements driver.Connector.
func (c logConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	session, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T takes no statements", conn), conn.Close())
	}
	for _, statement := range sessions {
		if _, err := session.ExecContext(ctx, statement, nil); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// measure finds how large a payload can be.
func (h *History) measure(ctx context.Context) error {
	if h.dialect != MySQL {
		return nil
	}
	var packet int64
	if err := h.db.QueryRowContext(ctx, "SELECT @@max_allowed_packet").Scan(&packet); err != nil {
		return err
	}
	size, err := payloadOf(packet)
	h.maxSize = size
	return err
}

// payloadOf is the largest payload of a server that takes packets of so many bytes.
func payloadOf(packet int64) (int64, error) {
	if packet < leastPacket {
		return 0, fmt.Errorf("max_allowed_packet is %d bytes; history needs %d at least, and %d for the largest entries", packet, leastPacket, storage.MaxLogPayload+packetRest)
	}
	return min(storage.MaxLogPayload, packet-packetRest), nil
}
