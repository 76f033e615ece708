// Package filter decides which events a V2 subscription gets: by their names, by
// their tags, and by a JMESPath expression about them (section 6.4). A predicate is
// compiled once, with bounds on its size, and evaluated on each message, with bounds
// on what that costs.
package filter
