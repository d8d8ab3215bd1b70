package sim

import (
	"time"

	"kicau/adapters/command"
)

// plant is a bug of our own making, to see that a run finds it. The zero plant is
// none. What Kicau runs has no switches: its ports and deciders are wrapped.
type plant struct {
	wrapLog     func(*world, command.Log) command.Log
	decide      func(command.Deciders) command.Deciders
	perform     func(*world, command.Payments) command.Payments // between the saga and the client
	ahead       time.Duration                                   // of the saga's clock
	noDeadlines bool
	noSweep     bool
}

func (p plant) log(w *world, l command.Log) command.Log {
	if p.wrapLog == nil {
		return l
	}
	return p.wrapLog(w, l)
}

func (p plant) deciders(d command.Deciders) command.Deciders {
	if p.decide == nil {
		return d
	}
	return p.decide(d)
}

func (p plant) payments(w *world, c command.Payments) command.Payments {
	if p.perform == nil {
		return c
	}
	return p.perform(w, c)
}

func (p plant) now(w *world) func() time.Time {
	return func() time.Time { return w.k.now.Add(p.ahead) }
}
