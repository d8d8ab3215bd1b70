// Package history imports dated commands: a file of what happened, in time
// order, run through the same deciders at those times, so that a history
// becomes the events that live traffic would have made. Payments in it were
// taken by somebody else; no processor is called.
//
// Its laws:
//   - every line of the input ends as events (perhaps made by an earlier
//     import) or as a [Reject]; the two add up to what was read;
//   - running it again adds nothing, so an interrupted import is run again;
//   - commands to one shop, offer or order take effect in the order of the
//     input; others may be decided at the same time.
package history

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"kicau/domain/refusal"
)

// AtOnce bounds the items that are decided at the same time.
const AtOnce = 64

// Item is a piece of the input that is accepted or rejected as a whole: a line
// of a file of commands, or the lines of an invoice.
type Item struct {
	// Lines of the input that the item accounts for. An item without lines
	// prepares for others and must not be rejected.
	Lines []Place
	// Writes are the streams that the item may write to, Reads those that it
	// looks at. Items that share one that either writes keep their order.
	Writes, Reads []string
	// Alone: the item waits for all before it, and all after it wait for it.
	Alone bool
	// Run decides the item and says how many events were added meanwhile, by it
	// or by another item of the same input.
	Run  func(ctx context.Context) (events int, err error)
	at   time.Time // when it happened; unknown of a line that is none
	size int       // of its text, in bytes
	// check says whether Run would be refused, and changes nothing. Only
	// commands to orders have it.
	check func(ctx context.Context) error
	// Bad is why the item cannot even be decided; Run is nil then.
	Bad error
}

// Place of a line in the input.
type Place struct {
	Line    int64  // number, from 1
	Invoice string // for input that has them
}

// Reject is a line that became no events.
type Reject struct {
	Line    int64  `json:"line"`
	Invoice string `json:"invoice,omitempty"`
	Code    string `json:"code"`
	Field   string `json:"field,omitempty"`
	Reason  string `json:"reason"`
}

// Tally is what became of the input.
type Tally struct {
	Read     int64 `json:"read"` // lines
	Accepted int64 `json:"accepted"`
	Rejected int64 `json:"rejected"`
	// Events that this run added; those of an earlier run do not count.
	Events int64 `json:"eventsAppended"`
	// SoldOut counts the lines that were rejected because an offer was sold
	// out.
	SoldOut int64 `json:"soldOut"`
}

// Run imports items. reject is called for every rejected line, done after every
// item, both from one goroutine at a time. Run stops at the first error that is
// not a refusal: what was imported until then stays, and the next run goes on
// from there. When the input breaks off, all items before that are imported.
//
// The input is read in a goroutine of its own. It ends with the input or when
// the context does; a read that blocks then is left behind.
func Run(ctx context.Context, items iter.Seq2[Item, error], reject func(Reject) error, done func(item Item, accepted bool)) (Tally, error) {
	r := &run{last: map[string]*gate{}, slots: make(chan struct{}, AtOnce), reject: reject, done: done}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var broken error
	next := ahead(ctx, items)
	for more := true; more && broken == nil && ctx.Err() == nil; {
		select {
		case in, ok := <-next:
			if more = ok; !ok {
				break
			}
			if broken = in.err; broken == nil {
				r.start(ctx, in.item, stop)
			}
		case <-ctx.Done():
		}
	}
	r.running.Wait()
	if err := context.Cause(ctx); err != nil {
		return r.tally, err
	}
	return r.tally, broken
}

type input struct {
	item Item
	err  error
}

// ahead reads the input, an item ahead of what is started.
func ahead(ctx context.Context, items iter.Seq2[Item, error]) <-chan input {
	next := make(chan input)
	go func() {
		defer close(next)
		for item, err := range items {
			select {
			case next <- input{item, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return next
}

type run struct {
	slots   chan struct{}
	running sync.WaitGroup
	last    map[string]*gate // by stream; only the reading goroutine looks at it

	mu     sync.Mutex // tally, reject, done
	tally  Tally
	reject func(Reject) error
	done   func(item Item, accepted bool)
}

// gate orders the items of one stream: a writer waits for everybody before it,
// a reader for the writer before it.
type gate struct {
	write   <-chan struct{}
	readers []<-chan struct{}
}

// start waits for a slot and runs the item once those before it are through.
func (r *run) start(ctx context.Context, item Item, stop context.CancelCauseFunc) {
	if item.Alone {
		r.running.Wait()
		if err := r.decide(ctx, item); err != nil {
			stop(err)
		}
		return
	}
	through := make(chan struct{})
	before := r.before(item, through)
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	r.running.Go(func() {
		defer func() { close(through); <-r.slots }()
		for _, b := range before {
			select {
			case <-b:
			case <-ctx.Done():
				return
			}
		}
		if err := r.decide(ctx, item); err != nil {
			stop(err)
		}
	})
}

// before lists what an item has to wait for, and puts it at the end of the
// queues of its streams.
func (r *run) before(item Item, through <-chan struct{}) []<-chan struct{} {
	r.sweep()
	var wait []<-chan struct{}
	at := func(stream string) *gate {
		g, ok := r.last[stream]
		if !ok {
			g = &gate{}
			r.last[stream] = g
		}
		if g.write != nil && g.write != through { // an item may name a stream twice
			wait = append(wait, g.write)
		}
		return g
	}
	for _, s := range item.Writes {
		g := at(s)
		for _, reader := range g.readers {
			if reader != through {
				wait = append(wait, reader)
			}
		}
		g.write, g.readers = through, nil
	}
	for _, s := range item.Reads {
		g := at(s)
		g.readers = append(open(g.readers), through)
	}
	return wait
}

// MaxGates bounds the streams whose queue is remembered; beyond it those that
// nobody waits in are forgotten.
const MaxGates = 100_000

func (r *run) sweep() {
	if len(r.last) < MaxGates {
		return
	}
	r.running.Wait() // then every gate has been passed
	clear(r.last)
}

// open drops the gates that have been passed, so that lists stay short.
func open(gates []<-chan struct{}) []<-chan struct{} {
	if len(gates) < AtOnce {
		return gates
	}
	kept := gates[:0]
	for _, g := range gates {
		select {
		case <-g:
		default:
			kept = append(kept, g)
		}
	}
	return kept
}

func (r *run) decide(ctx context.Context, item Item) error {
	events, err := 0, item.Bad
	if err == nil {
		events, err = item.Run(ctx)
	}
	no := refusal.From(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.Events += int64(events)
	switch {
	case err != nil && len(item.Lines) == 0:
		return fmt.Errorf("prepare the import: %w", err)
	case err != nil && no == nil:
		return fmt.Errorf("line %d: %w", item.Lines[0].Line, err)
	}
	lines := int64(len(item.Lines))
	r.tally.Read += lines
	defer r.done(item, no == nil)
	if no == nil {
		r.tally.Accepted += lines
		return nil
	}
	r.tally.Rejected += lines
	if no.Code == "sold-out" {
		r.tally.SoldOut += lines
	}
	for _, l := range item.Lines {
		if err := r.reject(Reject{l.Line, l.Invoice, no.Code, no.Field, no.Error()}); err != nil {
			return fmt.Errorf("write the rejects: %w", err)
		}
	}
	return nil
}
