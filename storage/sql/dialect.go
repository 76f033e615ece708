package sql

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Dialect is one family of databases.
type Dialect string

// The dialects, by the word of their driver.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
	MySQL    Dialect = "mysql"
)

// quote makes an identifier of a name, which has been checked.
func (d Dialect) quote(name string) string {
	if d == MySQL {
		return "`" + name + "`"
	}
	return `"` + name + `"`
}

// bind replaces each question mark of a statement by the dialect's placeholder.
func (d Dialect) bind(statement string) string {
	if d != Postgres {
		return statement
	}
	var b strings.Builder
	n := 0
	for _, r := range statement {
		if r == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// kind is the type of a column in one dialect.
type kind int

const (
	name kind = iota
	required
	optional
	flag
	optionalFlag
	document
	timestamp
)

// types are the column types, in the order of the kinds.
var types = map[Dialect][]string{
	SQLite: {
		"TEXT NOT NULL", "INTEGER NOT NULL DEFAULT 0", "INTEGER", "BOOLEAN NOT NULL DEFAULT FALSE", "BOOLEAN", "TEXT",
		"TIMESTAMP DEFAULT CURRENT_TIMESTAMP",
	},
	Postgres: {
		"VARCHAR(255) NOT NULL", "INTEGER NOT NULL DEFAULT 0", "INTEGER", "BOOLEAN NOT NULL DEFAULT FALSE", "BOOLEAN", "JSONB",
		"TIMESTAMP DEFAULT CURRENT_TIMESTAMP",
	},
	MySQL: {
		"VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL", "INT UNSIGNED NOT NULL DEFAULT 0", "INT UNSIGNED",
		"BOOLEAN NOT NULL DEFAULT FALSE", "BOOLEAN", "JSON", "TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP",
	},
}

// The errors of MySQL that say that something is there already, or cannot be.
const (
	mysqlDuplicateColumn  = 1060
	mysqlDuplicateEntry   = 1062
	mysqlDeadlock         = 1213
	mysqlMixedCollations  = 1267
	mysqlImpossibleString = 3988
)

func isMySQL(err error, numbers ...uint16) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && slices.Contains(numbers, e.Number)
}

// isDuplicate reports whether a row was refused because its key is there.
func isDuplicate(err error) bool {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	return isMySQL(err, mysqlDuplicateEntry) || errors.As(err, &pg) && pg.Code == "23505" ||
		errors.As(err, &lite) && (lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// isDeadlock reports whether a transaction was ended so that another can go on.
func isDeadlock(err error) bool {
	var pg *pgconn.PgError
	return isMySQL(err, mysqlDeadlock) || errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001")
}
