// Package dynamodb keeps apps in Amazon DynamoDB, in the table of Sockudo: the
// hash key is id, the index KeyIndex finds an app by its key, and the policy is
// JSON in the attribute policy. Rows that Sockudo has written are read as they are,
// those from before there were policies too.
//
// DynamoDB holds nothing unique but the hash key, and an index lags behind. So each
// key of an app has an item of its own beside the app's, its guard, which says whose
// it is and is written in one transaction with the app. Whoever looks for a key
// reads the guard first. Rows without a guard, which Sockudo wrote, are found by the
// index. Sockudo knows no guards; it takes them for apps that are disabled.
package dynamodb
