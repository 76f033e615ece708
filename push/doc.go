// Package push sends notifications to devices that need not be connected: it keeps who
// has which device and who wants what, accepts publishes, plans whom they reach, and
// hands them to the providers of the platforms.
//
// A publish is accepted when the store has it. From there on every step is a change of
// records in the store, which carry the state: what has been planned and what has come
// of each device. Jobs in the queue only say that there is something to do. A job that
// is lost is made again from the records, and one that runs twice finds its work done.
package push
