//go:build race

package messaging_test

// raceEnabled says that the race detector watches: everything is slower.
const raceEnabled = true
