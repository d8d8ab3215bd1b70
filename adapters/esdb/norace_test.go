//go:build !race

package esdb

const raceEnabled = false
