package main

import (
	"fmt"
	"strconv"
	"strings"
)

// list is one checklist: numbered statements, of which some are in the scope of
// this release.
type list struct {
	name  string
	items int
	scope map[int]bool
}

// lists are the checklists.
var lists = []list{
	// Both protocols. Left out: 201, 208 and 210 (an official V2 client).
	{"protocol", 212, items("1-200, 202-207, 209, 211-212")},
	// Everything but webhooks, which are shown in their own list of tests, and what is
	// left out: 5 and 152-157 (AI).
	{"http-api", 166, items(
		"1-4, 6-151, 164-165")},
	// All but what needs upstream's rows (none is left out).
	{"push", 118, items("1-118")},
	// Left out: 66 and 67, because nodes know of each other and are not asked; 70, because there is
	// no falling back; 75 in part, for engines that are not here; 120, because sockets stay.
	{"configuration", 148, items("1-65, 68-69, 71-74, 76-119, 121-138, 140-148")},
}

// items reads numbers and ranges.
func items(text string) map[int]bool {
	numbers := map[int]bool{}
	for part := range strings.SplitSeq(text, ", ") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		low, err1 := strconv.Atoi(first)
		high, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || low > high {
			panic(fmt.Sprintf("bad range %q", part))
		}
		for n := low; n <= high; n++ {
			numbers[n] = true
		}
	}
	return numbers
}
