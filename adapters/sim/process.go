package sim

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/react"
	"kicau/domain"
	"kicau/domain/event"
)

// process is a running Kicau: use cases, a saga and its deadlines, with what
// they keep in memory. It does one thing at a time; what runs beside it is
// another process. When it dies, all that it had in mind is gone.
type process struct {
	w         *world
	name      string
	up        bool
	commands  *command.Commands
	saga      *react.Saga
	deadlines *react.Deadlines

	queue   []*job
	current *job
	running *task
}

// job is something for a process to do.
type job struct {
	what string
	do   func(p *process) error
	done func(err error) // it came to an end
	lost func()          // the process died before it did
}

var silent = slog.New(slog.DiscardHandler)

// boot a process with empty memory.
func (p *process) boot() {
	w := p.w
	runtime := command.Runtime{Sleep: w.k.pause}
	log := w.plant.log(w, wire{w, p})
	p.commands = command.NewWith(log, read{domain.Events, w.log}, w.plant.deciders(command.Business), runtime)
	p.saga = react.New(react.Options{Commands: p.commands, Payments: w.processor.client(p), Now: w.plant.now(w),
		NewID: func() uuid.UUID { return newID(w.ids) }, Logger: silent})
	p.deadlines = react.NewDeadlines(p.saga, w.view)
	p.up = true
	p.turn()
}

// ask a process to do something, once it has done what it was asked before.
func (p *process) ask(j *job) {
	p.queue = append(p.queue, j)
	p.turn()
}

func (p *process) turn() {
	if !p.up || p.current != nil || len(p.queue) == 0 {
		return
	}
	j := p.queue[0]
	p.queue = p.queue[1:]
	p.current = j
	w := p.w
	p.w.k.after(0, j.what, func() {
		if p.current != j || !p.up {
			return
		}
		p.running = w.k.start(j.what, func() error { return j.do(p) }, func(err error, panicked *broken) {
			p.current, p.running = nil, nil
			if panicked != nil {
				w.breach("nothing panics", p.name, "%s: %v\n%s", j.what, panicked.cause, panicked.stack)
			}
			if j.done != nil {
				j.done(err)
			}
			p.turn()
		})
	})
}

// crash a process: what it was doing is cut off where it stands.
func (p *process) crash(down time.Duration) {
	w := p.w
	if !p.up {
		return
	}
	p.up = false
	w.crashes++
	lost := p.queue
	if p.current != nil {
		lost = append([]*job{p.current}, lost...)
	}
	t := p.running
	p.queue, p.current, p.running = nil, nil, nil
	if t != nil && t != w.k.running {
		t.kill()
	} else if t != nil {
		t.dead = true // it is the one that runs: it unwinds by itself
	}
	w.k.after(down, "process starts again", func() {
		w.k.tell("%s starts again", p.name)
		p.boot()
	})
	for _, j := range lost {
		if j.lost != nil {
			j.lost()
		}
	}
}

// die is how the process whose code runs now ends: in the middle of it.
func (w *world) die(p *process, why fault) {
	w.met(why, p.name)
	p.crash(between(w.k.delays, time.Second, 10*time.Minute))
	panic(killed{})
}

// travel is the way of a request or an answer.
func (w *world) travel(*process) {
	w.k.pause(between(w.k.delays, 100*time.Microsecond, 15*time.Millisecond))
}

// up are the processes that run sagas and are not down.
func (w *world) upSagas() (up []*process) {
	for _, p := range w.sagas {
		if p.up {
			up = append(up, p)
		}
	}
	return up
}

// Redelivery of an event whose handling failed, or whose consumer is gone.
const (
	redeliverFirst = time.Second
	redeliverMost  = 5 * time.Minute
	messageTimeout = 11 * time.Minute
)

// deliver an event of an order to one of the sagas: at least once, in the order
// of its stream as far as nothing fails.
func (w *world) deliver(rec event.Recorded) {
	at := w.k.now.Add(between(w.k.delays, time.Millisecond, 100*time.Millisecond))
	meets := w.faults.next(atDelivery, w.k.now)
	if meets == deliveredLate {
		w.met(meets, rec.Stream)
		at = at.Add(between(w.k.delays, time.Minute, 3*time.Hour))
	}
	if before := w.delivered[rec.Stream]; at.Before(before) {
		at = before
	}
	w.delivered[rec.Stream] = at
	w.k.at(at, "event is delivered", func() { w.give(rec, redeliverFirst) })
	if meets == deliveredTwice {
		w.met(meets, rec.Stream)
		w.k.at(at.Add(between(w.k.delays, 0, time.Second)), "event is delivered again", func() { w.give(rec, redeliverFirst) })
	}
}

func (w *world) give(rec event.Recorded, again time.Duration) {
	up := w.upSagas()
	if len(up) == 0 {
		w.k.after(time.Minute, "event waits for a saga", func() { w.waited++; w.give(rec, again) })
		return
	}
	up[w.k.delays.IntN(len(up))].ask(&job{
		what: "react " + rec.Type,
		do:   func(p *process) error { return p.saga.React(context.Background(), rec) },
		lost: func() { w.k.after(messageTimeout, "event comes again", func() { w.give(rec, again) }) },
		done: func(err error) {
			if err == nil {
				return
			}
			w.failed("saga", err)
			if react.ForGood(err) && again >= redeliverMost {
				w.sometimes("an event was parked")
				return // parked; a deadline of the order comes back to it
			}
			w.k.after(again, "event comes again", func() { w.give(rec, min(2*again, redeliverMost)) })
		},
	})
}
