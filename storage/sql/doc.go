// Package sql keeps app records in SQLite, PostgreSQL, MySQL or MariaDB: one
// implementation, three dialects. It reads the tables of Sockudo as they are
// (configuration, sections 3.3 and 3.4).
package sql
