package surrealdb

import "time"

// Validate checks what can be checked without the server.
func (m *PushStoreModule) Validate() error { return checkPush(m.options) }

// Driver is the driver's word in the configuration.
func (*PushStoreModule) Driver() string { return "surrealdb" }

// Key identifies the table and the login.
func (m *PushStoreModule) Key() string { return keyOf(ofPush(m.options)) }

// OpenTimeout allows for a table that has to be made.
func (*PushStoreModule) OpenTimeout() time.Duration { return OpenTimeout }
