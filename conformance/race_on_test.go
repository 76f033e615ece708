//go:build race

package conformance

// raceEnabled makes the server under test a race-detecting one too.
const raceEnabled = true
