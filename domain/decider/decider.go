// Package decider is the shape of every decision in Kicau: a state is a fold
// of events, and a decision turns a state and a command into more events.
//
// Nothing here or in a decider reads a clock, makes an id or touches the
// world: time and ids are part of the command.
package decider

import "kicau/domain/event"

// Decider decides commands C on states S.
type Decider[S, C any] struct {
	// Initial makes the state before any event. It is a function, since Evolve
	// may change what it is given.
	Initial func() S
	// Evolve is what the state becomes after an event. It may reuse s: the
	// caller must not look at the old state again.
	Evolve func(s S, e event.Data) S
	// Decide answers a command with the events that follow from it, with
	// nothing when it is already in effect, or with a refusal (package
	// refusal). It must not change s.
	Decide func(s S, c C) ([]event.Data, error)
}

// Fold is the state after events, in order.
func Fold[S, C any](d Decider[S, C], events ...event.Data) S {
	s := d.Initial()
	for _, e := range events {
		s = d.Evolve(s, e)
	}
	return s
}
