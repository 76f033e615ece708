package sql

import (
	"crypto/rand"
	"net"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// addressOf is where the server of a database listens.
func addressOf(t *testing.T, o Options) string {
	t.Helper()
	if o.Dialect == Postgres {
		c, err := pgx.ParseConfig(o.DSN)
		if err != nil {
			t.Fatal(err)
		}
		return net.JoinHostPort(c.Host, "5432")
	}
	c, err := mysql.ParseDSN(o.DSN)
	if err != nil {
		t.Fatal(err)
	}
	return c.Addr
}

// Checklist: configuration 41
func TestAppManagerOutage(t *testing.T) {
	for dialect, o := range servers(t) {
		if dialect == SQLite { // which has no server
			continue
		}
		t.Run(string(dialect), func(t *testing.T) {
			storagetest.Engine(t, engineOf(t, o))
			target := addressOf(t, o)
			storagetest.TestAppOutage(t, target, func(t *testing.T, proxy *outage.Proxy, apps []*storage.App) storage.AppManager {
				table := "apps_" + strings.ToLower(rand.Text()[:10])
				through := o
				through.DSN = strings.Replace(o.DSN, target, proxy.Addr(), 1)
				m := openTable(t, through, table)
				t.Cleanup(func() {
					again := openTable(t, o, table)
					execute(t, again, "DROP TABLE "+again.quoted)
					_ = again.Close()
				})
				for _, app := range apps {
					if err := m.PutApp(t.Context(), app, storage.NoVersion); err != nil {
						t.Fatal(err)
					}
				}
				return m
			})
		})
	}
}
