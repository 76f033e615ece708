// Package jmespath evaluates JMESPath, the query language for JSON of
// https://jmespath.org, on documents of the types of encoding/json. Expressions may
// come from strangers: their size is bounded when they are compiled, and what an
// evaluation costs while it runs, so that none takes long or grows large.
//
// Where the language leaves something open: the values of an object come in the order
// of their names, numbers are IEEE doubles, and a function that does not exist, a
// wrong number of arguments and a slice with the step 0 are errors of Compile. "!a.b"
// is the negation of "a.b".
package jmespath
