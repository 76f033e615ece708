// Package docs tries every fenced block of the documents: configurations are loaded,
// commands are run or compared with what the commands know, scripts are compiled and
// those of the guides run, manifests are held against each other. A block in a
// language that nobody tries is an error.
//
// A comment directly above a block says how it is to be taken:
//
//	<!-- file: NAME -->      it is this file of the guide that it stands in
//	<!-- within: BLOCK -->   it stands inside this block of a Caddyfile
//	<!-- runs -->            the shell runs it, with the example's server
//	<!-- tested: TestName -->  this test is about it
//	<!-- adapted: REASON --> the servers that it names are not here
//	<!-- not run: REASON --> nobody can try it
//
// The last two are exemptions. They are counted, so that another one is a decision.
package docs
