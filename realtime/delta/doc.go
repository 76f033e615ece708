// Package delta is delta compression (section 6.5) without any connection: the two
// delta formats that clients decode, the numbering of one subscription's messages,
// the frames that carry both, and the conflation key of a message.
//
// A delta turns one text into the next. Its base is what the client holds: the text
// of the last message of the same sequence, exactly as the socket would have got it
// in full. A [Sequence] says for each message of one subscription whether it goes
// out in full or against which base, and computes nothing: the expensive part is
// the same for all sockets that are at the same point, and [Shared] does it once.
//
// Both formats come with a decoder. Servers never need one; clients in tests and in
// the bench do.
package delta
