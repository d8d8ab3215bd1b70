package main

// nodeCmd is the event store alone, and what belongs to it.
type nodeCmd struct {
	nodeOps
}
