// Command checklist counts which items of the project's checklists have a test.
//
//	go run ./internal/house/checklist [DIRECTORY]
//
// A test claims items with lines of exactly this form, directly above it, in Go
// and in the conformance scenarios:
//
//	// Checklist: protocol 1, 11, 12
//	// Checklist: http-api 60
//
// The command fails on a line it does not understand, on an item that does not
// exist, and on a line that stands above no test. Items that lack a test are
// listed; they are no failure.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

func main() {
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	found, err := scan(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "checklist:", err)
		os.Exit(1)
	}
	report(os.Stdout, found)
}

// report prints, for each list, how many items in scope have a test, and which
// have none.
func report(w io.Writer, found claims) {
	for _, l := range lists {
		var missing, beyond []int
		tested := 0
		for n := 1; n <= l.items; n++ {
			has, wanted := len(found[l.name][n]) > 0, l.scope[n]
			switch {
			case has && wanted:
				tested++
			case wanted:
				missing = append(missing, n)
			case has:
				beyond = append(beyond, n)
			}
		}
		fmt.Fprintf(w, "%s: %d of %d items in scope have a test\n", l.name, tested, len(l.scope))
		if len(missing) > 0 {
			fmt.Fprintf(w, "  without a test: %s\n", spans(missing))
		}
		if len(beyond) > 0 {
			fmt.Fprintf(w, "  tested beyond the scope: %s\n", spans(beyond))
		}
	}
}

// spans writes rising numbers as "1-3, 7".
func spans(numbers []int) string {
	var b strings.Builder
	for i := 0; i < len(numbers); {
		end := i
		for end+1 < len(numbers) && numbers[end+1] == numbers[end]+1 {
			end++
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(numbers[i]))
		if end > i {
			b.WriteString("-" + strconv.Itoa(numbers[end]))
		}
		i = end + 1
	}
	return b.String()
}
