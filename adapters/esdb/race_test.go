//go:build race

package esdb

// raceEnabled says that the race detector watches.
const raceEnabled = true
