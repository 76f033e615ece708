// Package dynamodb keeps apps, histories and the records of push notifications in
// Amazon DynamoDB.
//
// Apps are in the table of Sockudo: the hash key is id, the index KeyIndex finds an app
// by its key, and the policy is JSON in the attribute policy. Rows that Sockudo has
// written are read as they are, those from before there were policies too.
//
// DynamoDB holds nothing unique but the hash key, and an index lags behind. So each
// key of an app has an item of its own beside the app's, its guard, which says whose
// it is and is written in one transaction with the app. Whoever looks for a key
// reads the guard first. Rows without a guard, which Sockudo wrote, are found by the
// index. Sockudo knows no guards; it takes them for apps that are disabled.
//
// Histories are in a table of their own, whose hash key is the log. A log has a head
// and, under the id of the log, entries in the order of their serials, pointers to
// those of each subject, and guards: the newest entry of each subject and the one with
// each Once. Entries are added by transactions that demand that the head and the
// guards are as they were read, so no two nodes give one serial, and a log has no gap.
//
// The records of push notifications are in a third table. Its hash key is a table of an
// app, and its sort key begins with the group. Changes are one transaction of the service
// with all their conditions, and an index has the records that are due some time.
package dynamodb
