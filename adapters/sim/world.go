package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/react"
	"kicau/adapters/sandbox"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/oracle"
	"kicau/domain/order"
	"kicau/domain/refusal"
	"kicau/projections/deadline"
)

// Options of a run.
type Options struct {
	Seed   uint64
	Orders int // at least 1
	Faults int
	// Story is told what happens, line by line; nil: nobody listens.
	Story io.Writer

	plant plant // a fault of our own making, see plant.go
}

// Result of a run.
type Result struct {
	Seed     uint64          `json:"seed"`
	Orders   int             `json:"orders"`
	Faults   int             `json:"faults"`   // that were asked for
	Happened int             `json:"happened"` // of them
	Crashes  int             `json:"crashes"`
	Steps    uint64          `json:"steps"`
	Events   int             `json:"events"`
	Days     float64         `json:"days"` // of virtual time
	Digest   string          `json:"digest"`
	Breaches []oracle.Breach `json:"breaches,omitempty"`
	// Reached counts how often something worth testing happened.
	Reached map[string]int `json:"reached"`
}

// Replay is the command that tells the story of the run.
func (r Result) Replay() string {
	return fmt.Sprintf("kicau sim --seed %d --orders %d --faults %d --trace", r.Seed, r.Orders, r.Faults)
}

// world is everything of a run.
type world struct {
	k         *kernel
	o         Options
	log       *memory
	oracle    *oracle.Oracle
	processor *processor
	faults    *faults
	plant     plant
	view      *view
	ids       *rand.Rand
	webs      []*process // where people's commands go
	sagas     []*process
	people    *people
	reached   map[string]int
	crashes   int
	waited    uint64 // steps in which an event waited for a process

	delivered map[string]time.Time    // by stream: no delivery before the one before
	hooks     bool                    // webhooks are switched on
	notices   []*notice               // the processor's list of events
	swept     int                     // so many of them somebody took
	said      map[string]time.Time    // when the processor last said something, by intent
	heard     int                     // so many of the notices are in said
	agreed    map[uuid.UUID]time.Time // the newest news of an order after which the books agreed
	healedAt  time.Time
	byHand    map[uuid.UUID]bool // orders somebody meddled with at the processor
	breaches  []oracle.Breach
	seen      int // of the oracle's breaches
}

// The phases of a run. People act in the first; what goes wrong goes wrong until
// the second begins; the third is as long as the slowest bank and the longest
// reserve.
const (
	arrivals  = 10 * 24 * time.Hour
	faultsEnd = 35 * 24 * time.Hour
	converge  = 72 * time.Hour
	longest   = 200 * 24 * time.Hour
)

// maxSteps bounds a run; an ordinary one takes a tenth of it. Who asks again and
// again without end would keep it going for ever. Who waits for a process that is
// down does not count.
func maxSteps(o Options) uint64 { return 50_000 + 1_000*uint64(o.Orders) }

// Run a world from its seed to its end, or to the first law that is broken.
func Run(o Options) Result {
	w := newWorld(o)
	w.k.at(start.Add(faultsEnd), "nothing goes wrong any more", w.heal)
	w.k.after(compareEvery, "the books are compared", w.compareLater)
	for len(w.breaches) == 0 && w.k.step(start.Add(longest)) {
		w.check()
		if w.over() {
			break
		}
		if acts := w.k.steps - w.waited; acts > maxSteps(o) {
			w.breach("nobody acts for ever", "the run", "%d steps, and no end", acts)
		}
	}
	if len(w.breaches) == 0 {
		w.end()
	}
	w.stop()
	return w.result()
}

func newWorld(o Options) *world {
	k := newKernel(o.Seed, o.Story)
	w := &world{k: k, o: o, plant: o.plant, oracle: oracle.New(), reached: map[string]int{}, ids: k.chance("ids"),
		delivered: map[string]time.Time{}, byHand: map[uuid.UUID]bool{}, said: map[string]time.Time{}, agreed: map[uuid.UUID]time.Time{}}
	w.log = newMemory(k, w.appended)
	w.view = &view{w: w, rows: map[string]*deadline.Row{}}
	swarm := k.chance("swarm")
	w.faults = planFaults(k.chance("faults"), o.Orders, o.Faults)
	w.hooks = o.Faults == 0 || !oneIn(swarm, 5)
	w.processor = newProcessor(w)
	for n := range 1 + swarm.IntN(2) {
		p := &process{w: w, name: fmt.Sprintf("web-%d", n+1)}
		w.webs = append(w.webs, p)
		p.boot()
	}
	for n := range 1 + swarm.IntN(3) {
		p := &process{w: w, name: fmt.Sprintf("saga-%d", n+1)}
		w.sagas = append(w.sagas, p)
		p.boot()
	}
	if len(w.sagas) > 1 {
		w.sometimes("several sagas on one account")
	}
	if !w.hooks {
		w.sometimes("webhooks switched off")
	}
	w.processor.fund()
	w.people = newPeople(w)
	w.people.begin()
	w.sweepLater()
	return w
}

// blackout: everything is down for longer than the processor keeps keys, with a
// call in mid air.
func (w *world) blackout(why fault) {
	w.met(why, "all")
	down := between(w.k.delays, 23*time.Hour, 26*time.Hour)
	for _, p := range w.all() {
		p.crash(down)
	}
	panic(killed{})
}

// all processes.
func (w *world) all() []*process { return append(append([]*process{}, w.webs...), w.sagas...) }

func (w *world) appended(events []event.Event) {
	for _, e := range events {
		w.oracle.Appended(e)
		if w.o.Story != nil {
			w.k.tell("  %s %s", shortStream(e.Stream), told(e))
		}
		w.reach(e)
		if strings.HasPrefix(e.Stream, order.Category+"-") {
			w.deliver(e.Recorded)
		}
	}
	w.view.append(events)
}

// check takes over what the oracle has found.
func (w *world) check() {
	for _, b := range w.oracle.Breaches()[w.seen:] {
		w.breaches = append(w.breaches, b)
		w.k.tell("BREACH %s", b)
	}
	w.seen = len(w.oracle.Breaches())
}

func (w *world) breach(law, subject, format string, args ...any) {
	b := oracle.Breach{Law: law, Subject: subject, Text: fmt.Sprintf(format, args...)}
	w.breaches = append(w.breaches, b)
	w.k.tell("BREACH %s", b)
}

func (w *world) met(f fault, what string) {
	w.sometimes(string(f))
	w.k.note(string(f), what)
	w.k.tell("! %s (%s)", f, what)
}

func (w *world) sometimes(what string) { w.reached[what]++ }

// failed: something that was asked came back with an error. What is no refusal
// may only happen when something went wrong.
func (w *world) failed(who string, err error) {
	if err == nil {
		return
	}
	w.k.tell("%s: %v", who, err)
	w.k.note(who, err.Error())
	if refusal.From(err) == nil && w.faults.healed && !isTransient(err) && w.k.now.Sub(w.healedAt) > time.Hour {
		w.breach("nothing fails without a fault", who, "%v", err)
	}
}

func isTransient(err error) bool {
	return errors.Is(err, command.ErrBusy) || errors.Is(err, react.ErrNotOurs) || errors.Is(err, react.ErrNotYet)
}

func (w *world) heal() {
	w.faults.healed = true
	w.healedAt = w.k.now
	w.hooks = true
}

// notice is a webhook on its way.
type notice struct {
	sandbox.Delivery
	at     time.Time
	intent string // that it is about; empty: none
	key    string // of the request that it tells of
	read   bool   // the two are known
	done   bool   // somebody took it
}

// news of the processor: a webhook is sent, and it stands in the list of events.
func (w *world) news(d sandbox.Delivery) {
	w.k.note(d.Event, d.Type)
	w.k.tell("the processor says %s", d.Type)
	n := &notice{Delivery: d, at: w.k.now}
	w.notices = append(w.notices, n)
	if !w.hooks {
		return
	}
	at := w.k.now.Add(between(w.k.delays, 50*time.Millisecond, 10*time.Second))
	meets := w.faults.next(atNotice, w.k.now)
	if meets != none {
		w.met(meets, n.Type)
	}
	switch meets {
	case noticeLost:
		return
	case noticeTwice:
		w.k.at(at.Add(between(w.k.delays, 0, time.Hour)), "webhook comes again", func() { w.notify(n, time.Minute) })
	case noticeLate:
		at = at.Add(between(w.k.delays, time.Hour, 72*time.Hour))
	}
	w.k.at(at, "webhook comes", func() { w.notify(n, time.Minute) })
}

// intent that a notice is about; empty: none. The notice is read once, as the
// production code reads it.
func (w *world) intent(n *notice) string {
	if n.read {
		return n.intent
	}
	seen, err := w.processor.verify.Verify(n.Body, w.processor.server.Sign(n.Delivery))
	if err != nil {
		w.breach("webhooks are authentic", n.Event, "%v", err)
	}
	n.intent, n.key, n.read = seen.Intent, seen.Key, true
	return n.intent
}

// hookMost bounds how long the processor tries to deliver a webhook.
const hookMost = 72 * time.Hour

func (w *world) notify(n *notice, again time.Duration) {
	if !w.hooks {
		return
	}
	retry := func() {
		if w.k.now.Sub(n.at) < hookMost {
			w.k.after(again, "webhook comes again", func() { w.notify(n, 2*again) })
		}
	}
	up := w.upSagas()
	if len(up) == 0 {
		retry()
		return
	}
	up[w.k.delays.IntN(len(up))].ask(&job{what: "webhook " + n.Type, do: func(p *process) error {
		if i := w.intent(n); i != "" {
			if echo, err := p.saga.Echo(context.Background(), n.key); echo || err != nil {
				return err
			}
			return ours(p.saga.Notice(context.Background(), i, event.NameID("notice", n.Event)))
		}
		return nil
	}, lost: retry, done: func(err error) {
		if err != nil {
			w.failed("webhook", err)
			retry()
			return
		}
		n.done = true
	}})
}

// ours: an intent of an order that does not stand is nobody's business.
func ours(err error) error {
	if errors.Is(err, react.ErrNotOurs) {
		return nil
	}
	return err
}

// sweepEvery is how often what webhooks may have missed is read back.
const sweepEvery = 6 * time.Hour

func (w *world) sweepLater() { w.k.after(sweepEvery, "sweep", w.sweep) }

// sweep goes through the processor's list of events that nobody took and reads
// what they are about, each once.
func (w *world) sweep() {
	defer w.sweepLater()
	if w.plant.noSweep {
		return
	}
	var missed []*notice
	for _, n := range w.notices[w.swept:] {
		if !n.done && w.k.now.Sub(n.at) > time.Minute {
			missed = append(missed, n)
		}
	}
	for w.swept < len(w.notices) && w.notices[w.swept].done {
		w.swept++
	}
	up := w.upSagas()
	if len(up) == 0 || len(missed) == 0 {
		return
	}
	w.sometimes("a sweep found what webhooks missed")
	up[w.k.delays.IntN(len(up))].ask(&job{what: "sweep", do: func(p *process) error {
		read := map[string]error{}
		for _, n := range missed {
			i := w.intent(n)
			err, before := read[i]
			if !before && i != "" {
				err = ours(p.saga.Notice(context.Background(), i, newID(w.ids)))
				read[i] = err
			}
			n.done = n.done || err == nil
		}
		for _, err := range read {
			if err != nil && !isTransient(err) {
				return errors.New("some payments could not be read")
			}
		}
		return nil
	}, done: func(err error) { w.failed("sweep", err) }})
}

// latest is when somebody last said something of an order: the processor or we.
func (w *world) latest(id uuid.UUID) time.Time {
	for _, n := range w.notices[w.heard:] {
		w.said[w.intent(n)] = n.at
	}
	w.heard = len(w.notices)
	p, at := &w.oracle.Order(id).Payment, w.oracle.News(id)
	for _, f := range append([]order.Former{{Intent: p.Intent}}, p.Former...) {
		if t := w.said[f.Intent]; t.After(at) {
			at = t
		}
	}
	return at
}

// compareEvery is how often our books and the processor's are compared.
const compareEvery = 24 * time.Hour

func (w *world) compareLater() {
	w.k.after(compareEvery, "the books are compared", w.compareLater)
	w.compare()
}

// compare our books and the processor's: about every order at rest of which
// neither has said anything new for as long as convergence may take. They agree
// then whatever goes wrong elsewhere, and need not be compared again before there
// are news.
func (w *world) compare() {
	for _, id := range w.oracle.Orders() {
		latest := w.latest(id)
		if w.k.now.Sub(latest) >= converge && w.oracle.Order(id).Payment.Pending == nil && !w.agreed[id].Equal(latest) {
			w.oracle.Agree(id, w.processor.theirs(id))
			w.agreed[id] = latest
		}
	}
	w.check()
}

// over: nobody will do anything any more, and nothing is due.
func (w *world) over() bool {
	if !w.faults.healed || w.k.now.Sub(w.healedAt) < converge {
		return false
	}
	for _, e := range w.k.heap {
		if !e.cancelled && e.what != "sweep" && e.what != "the books are compared" {
			return false
		}
	}
	_, due := w.view.next()
	return !due && !slices.ContainsFunc(w.notices[w.swept:], func(n *notice) bool { return !n.done })
}

func (w *world) end() {
	w.oracle.Rest(w.k.now)
	for _, id := range w.oracle.Orders() {
		w.oracle.Agree(id, w.processor.theirs(id))
	}
	theirs := w.processor.balances()
	for _, c := range currencies {
		if ours := w.oracle.AtProcessor(c); ours != theirs[c]-w.processor.funds[c] {
			w.breach("our balance at the processor is ours", string(c), "the books say %d, the processor %d", ours, theirs[c]-w.processor.funds[c])
		}
	}
	if err := w.processor.server.Verify(); err != nil {
		w.breach("the sandbox's own books balance", "sandbox", "%v", err)
	}
	w.replay()
	w.check()
}

// replay folds what was written once more and decides again: the same history
// gives the same state and the same next call.
func (w *world) replay() {
	for _, id := range w.oracle.Orders() {
		s := order.Decider.Initial()
		for _, n := range w.log.streams[order.Stream(id)] {
			e, err := decode(w.log.all[n].Recorded)
			if err != nil {
				w.breach("what was written is read", order.Stream(id), "%v", err)
				return
			}
			s = order.Decider.Evolve(s, e.Body)
		}
		if now := w.oracle.Order(id); !reflect.DeepEqual(*now, s) {
			w.breach("the same history gives the same state", order.Stream(id), "%+v, before %+v", s, *now)
		}
	}
}

func (w *world) stop() {
	for _, p := range w.all() {
		if p.running != nil {
			p.running.kill()
		}
	}
	w.k.close()
}

func (w *world) result() Result {
	return Result{Seed: w.o.Seed, Orders: w.o.Orders, Faults: w.o.Faults, Happened: w.faults.happend, Crashes: w.crashes, Steps: w.k.steps,
		Events: len(w.log.all), Days: float64(w.k.now.Sub(start)/time.Minute) / (24 * 60), Digest: fmt.Sprintf("%016x", w.k.digest.Sum64()),
		Breaches: w.breaches, Reached: w.reached}
}

var currencies = []money.Currency{"EUR", "GBP", "USD", "JPY", "KWD"}

func shortStream(s string) string {
	if i := strings.IndexByte(s, '-'); i > 0 && len(s) > i+9 {
		return s[:i+9]
	}
	return s
}
