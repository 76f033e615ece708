// Package nats carries events between nodes by way of NATS. It uses its plain
// subjects, each message at most once, and no JetStream.
package nats
