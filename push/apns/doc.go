// Package apns sends notifications to devices of Apple by way of the provider API of
// APNs, over HTTP/2.
//
// The library apns2 makes the requests and sets the header of the provider token. What
// it does not do is done here: tokens by a clock that tests can turn, connections that
// are opened one after another and only as they are needed, the headers of answers, and
// what an answer means for the device, the credentials and the next attempt.
package apns
