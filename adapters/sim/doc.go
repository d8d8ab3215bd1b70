// Package sim is a seeded simulator of the whole of Kicau's money: shops and
// buyers, the log, the payment saga and its deadlines, the processor, and all
// that goes wrong between them. The same seed is the same run, to the byte.
//
// What runs is what is shipped: the deciders of the domain, the use cases of
// adapters/command, the saga and the deadlines of adapters/react, the client of
// adapters/stripe and the processor of adapters/sandbox. What is simulated is
// what they stand on: time (kernel.go), the log (log.go), the network and the
// webhooks (stripe.go, world.go), processes that die (process.go), the read model
// of deadlines (deadlines.go) and people (people.go).
//
// Its laws:
//   - there is one flow of control. Whatever waits is an entry in a heap, by
//     virtual time and by a number that the seed draws; code that waits in the
//     middle is a coroutine. No goroutine, no real time, no order of a map
//     decides anything;
//   - each purpose has random numbers of its own, so that more faults do not make
//     other people;
//   - a fault is planned before the run, at the n-th call of a kind; each write
//     fails in two ways: not done, and done but nobody says so;
//   - what the log has acknowledged stays; what a process had in mind when it died
//     is gone;
//   - after every event, and after every call, package domain/oracle is asked; a
//     run ends with the first law that is broken.
//
// See docs/simulation.md for what is simulated and what is not.
package sim
