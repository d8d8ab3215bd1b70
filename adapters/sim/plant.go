package sim

import (
	"time"

	"kicau/adapters/command"
)

// plant is a fault of our own making: a mutation of what runs. The zero plant is
// none. The production code has no switches; ports and deciders are wrapped.
type plant struct {
	name    string
	wrapLog func(command.Log) command.Log
	decide  func(command.Deciders) command.Deciders
	perform func(*world, command.Payments) command.Payments
	ahead   time.Duration // of the saga's clock
}

func (p plant) log(l command.Log) command.Log {
	if p.wrapLog == nil {
		return l
	}
	return p.wrapLog(l)
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
