// Package sql keeps app records in SQLite, PostgreSQL, MySQL or MariaDB: one
// implementation, three dialects. It reads the tables of Sockudo as they are
// (configuration, sections 3.3 and 3.4). On one box SQLite also keeps the queue,
// and the cache for those who want it to outlive the process.
package sql
