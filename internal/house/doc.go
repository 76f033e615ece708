// Package house holds the rules of this repository as tests: which package may
// import which, how long a file may be, that exported names are documented, and
// that the documents say what the code does.
//
// The tables in docs/ that stand between "generated" comments are written by
//
//	go test ./internal/house -update
package house
