// Package command is the imperative shell that everybody uses: it reads, folds,
// decides and appends. Commands come in through [Commands]; the log is the port
// [Log].
//
// The append is the commit point. Before it nothing happened; after it
// everything did, whoever dies in between.
package command

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/event"
)

// Bounds of a [Handler].
const (
	// MaxTogether bounds the commands to one stream that are decided together.
	MaxTogether = 256
	// MaxWaiting bounds the commands that wait on one stream.
	MaxWaiting = 16384
	// MaxConflicts bounds how often a command is decided again because somebody
	// else wrote to its stream in between.
	MaxConflicts = 16
	// MaxResends bounds how often an append is sent again while its outcome is
	// unknown; the waits between them add up to a quarter of a minute.
	MaxResends = 10
	// MaxCachedStreams bounds the states kept in memory, a handler.
	MaxCachedStreams = 8192
	// MaxCachedCommands bounds the ids of commands kept beside those states, a
	// handler. Beyond it the states used longest ago go; the one used last stays.
	MaxCachedCommands = 1 << 18
	// AppendTimeout bounds one append.
	AppendTimeout = 30 * time.Second
)

// ErrBusy: more commands wait on the stream than [MaxWaiting], or its state
// changed [MaxConflicts] times while the command was being decided. Nothing was
// written. Try again later.
var ErrBusy = errors.New("the stream is too busy; nothing was written, try again")

// Handler decides and records commands on the streams of one kind of aggregate.
//
// Commands that wait on the same stream are decided together: the state is
// folded once, each command sees what the ones before it decided, and all their
// events are appended in one go. That is what keeps a hot offer fast.
//
// It is safe for use by many goroutines, and by many processes on one log.
type Handler[S any] struct {
	log     Log
	events  Events
	initial func() S
	evolve  func(S, event.Data) S
	runtime Runtime

	mu     sync.Mutex
	lanes  map[string]*lane[S]
	recent *list.List // of *folded[S], the most recently used first
	cached map[string]*list.Element
	ids    int // of commands, in all that is cached
}

// NewHandler makes a handler for aggregates with the decider's state.
func NewHandler[S, C any](log Log, events *event.Registry, d decider.Decider[S, C]) *Handler[S] {
	return newHandler(log, events, d, Runtime{})
}

func newHandler[S, C any](log Log, events Events, d decider.Decider[S, C], r Runtime) *Handler[S] {
	return &Handler[S]{log: log, events: events, initial: d.Initial, evolve: d.Evolve, runtime: r.orReal(),
		lanes: map[string]*lane[S]{}, recent: list.New(), cached: map[string]*list.Element{}}
}

// Decide is one decision. It must not change s nor keep it, and it may be asked
// several times: on what is remembered, and on what the log has.
type Decide[S any] func(s S) ([]event.Data, error)

// Result of a command: what it decided, and where that is in the log. Nothing
// decided means the command was in effect already; Position is then zero.
type Result struct {
	Events []event.Data
	// Position of the last event. Of commands that were decided together all
	// but the last may be told a later one: the end of the append they share.
	Position event.Position
	// Next is the revision of the first event of the stream that the decision
	// did not know of and did not make.
	Next uint64
	// Repeated: the command was recorded before. Events are those of then, read
	// back from the log; nothing was written now.
	Repeated bool
}

// lane is the queue of one stream; it exists while somebody is served.
type lane[S any] struct {
	stream  string
	waiting []*waiter[S]
}

type waiter[S any] struct {
	ctx    context.Context
	meta   event.Meta
	decide Decide[S]
	looks  bool // and decides nothing
	// decided are the events of a decision that was just made on the very state
	// that it is to be recorded on.
	decided []event.Data
	result  Result
	first   uint64 // when Repeated: revision of the command's first event
	err     error
	done    chan struct{}
}

// folded is a stream's state at a revision.
type folded[S any] struct {
	stream string
	state  S
	next   uint64 // revision of the first event not folded yet
	// commands are the remembered ones, with the revision of their first event;
	// nil until there is one.
	commands map[uuid.UUID]uint64
}

// Handle decides a command on a stream and records the outcome. meta.Command
// names the command: sent again and decided alike, it proposes the same events
// with the same ids. The error is a refusal of decide's, the context's, ErrBusy,
// ErrTooLarge, or, when the outcome is not known after all re-sends, wraps
// ErrUnknownOutcome.
//
// With meta.Digest set the command is remembered by its id: once its events are
// in the log, it is not decided again but answered with them, whatever happened
// since; with another digest it is refused, ErrCommandReused. While the first is
// under way the second waits in line behind it. A command that was refused or
// was in effect already has recorded nothing, so it is decided anew.
func (h *Handler[S]) Handle(ctx context.Context, stream string, meta event.Meta, decide Decide[S]) (Result, error) {
	return h.wait(stream, &waiter[S]{ctx: ctx, meta: meta, decide: decide, done: make(chan struct{})})
}

func (h *Handler[S]) wait(stream string, w *waiter[S]) (Result, error) {
	ctx := w.ctx
	mine, err := h.enqueue(stream, w)
	if err != nil {
		return Result{}, err
	}
	if mine != nil {
		h.lead(mine, w)
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		if h.withdraw(stream, w) {
			return Result{}, ctx.Err()
		}
		<-w.done // its turn has come; bounded by MaxConflicts, MaxResends and AppendTimeout
	}
	if w.err == nil && w.result.Repeated {
		return h.recorded(ctx, stream, w.meta, w.first)
	}
	return w.result, w.err
}

// Look lets f see the state of a stream as it is now. f must not keep it.
func (h *Handler[S]) Look(ctx context.Context, stream string, f func(s S) error) error {
	_, err := h.wait(stream, &waiter[S]{ctx: ctx, looks: true, decide: func(s S) ([]event.Data, error) { return nil, f(s) }, done: make(chan struct{})})
	return err
}

// enqueue puts a command in its lane. When there is none, nobody is served on the
// stream: then the lane is new and the command's own, and it waits in none.
func (h *Handler[S]) enqueue(stream string, w *waiter[S]) (mine *lane[S], err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, ok := h.lanes[stream]
	if !ok {
		l = &lane[S]{stream: stream}
		h.lanes[stream] = l
		return l, nil
	}
	if len(l.waiting) >= MaxWaiting {
		return nil, fmt.Errorf("stream %s: %w", stream, ErrBusy)
	}
	l.waiting = append(l.waiting, w)
	return nil, nil
}

// lead decides the first command of a lane alone, where it was given: a goroutine for
// every command would cost as much as the command, since its stack grows anew each
// time. Whoever has come meanwhile gets one, also when the decision panics.
func (h *Handler[S]) lead(l *lane[S], w *waiter[S]) {
	defer h.passOn(l)
	h.together(l.stream, []*waiter[S]{w})
}

func (h *Handler[S]) passOn(l *lane[S]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(l.waiting) == 0 {
		delete(h.lanes, l.stream)
		return
	}
	go h.serve(l)
}

// withdraw takes back a command whose turn has not come, so that who gives up
// need not wait for those before.
func (h *Handler[S]) withdraw(stream string, w *waiter[S]) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, ok := h.lanes[stream]
	if !ok {
		return false
	}
	i := slices.Index(l.waiting, w)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return true
}

// serve works a lane off and ends when nobody waits any more.
func (h *Handler[S]) serve(l *lane[S]) {
	for {
		h.mu.Lock()
		if len(l.waiting) == 0 {
			delete(h.lanes, l.stream)
			h.mu.Unlock()
			return
		}
		n := min(len(l.waiting), MaxTogether)
		batch := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		h.mu.Unlock()

		left := h.together(l.stream, batch)
		if len(left) > 0 {
			h.mu.Lock()
			l.waiting = append(left, l.waiting...)
			h.mu.Unlock()
		}
	}
}

// together decides a batch and answers it. It returns the waiters that did not
// fit into one append.
func (h *Handler[S]) together(stream string, batch []*waiter[S]) (left []*waiter[S]) {
	for try := range MaxConflicts {
		f, err := h.stateFor(stream, batch, try)
		if err != nil {
			if gone := batch[0].ctx.Err(); gone != nil {
				fail(batch[:1], gone)
				return batch[1:]
			}
			fail(batch, fmt.Errorf("read stream %s: %w", stream, err))
			return nil
		}
		first := f.next
		proposed, decided, left := h.decideAll(f, batch)
		// Those before the first proposal saw only what is in the log: their
		// answers stand, whatever becomes of the append. The others saw events
		// that are not there yet, and share their fate, refused or not.
		settled := slices.IndexFunc(decided, proposes)
		if settled < 0 {
			h.keep(f)
			answer(decided)
			return left
		}
		answer(decided[:settled])
		decided, batch = decided[settled:], batch[settled:]
		at, err := h.append(stream, first, proposed)
		if err == nil {
			// Committed: from here on everything decided above has happened.
			h.keep(f)
			for _, w := range decided {
				if proposes(w) {
					w.result.Position = at.Position
				}
			}
			answer(decided)
			return left
		}
		if !isConflict(err) {
			fail(decided, err)
			return left
		}
		// Somebody else was faster: look again and decide again. f is dropped,
		// it has folded events that are not in the log.
	}
	fail(batch, fmt.Errorf("stream %s: %w", stream, ErrBusy))
	return nil
}

// stateFor is the state that a batch is decided on. One command alone is tried on
// the state that is remembered, as far as it decides to write something: then
// the append itself says whether that was the newest. Everything else looks at
// the log first.
func (h *Handler[S]) stateFor(stream string, batch []*waiter[S], try int) (*folded[S], error) {
	f := h.take(stream)
	if w := batch[0]; try == 0 && len(batch) == 1 && !w.looks {
		if _, repeated := f.recalls(w.meta); repeated {
			return f, nil // what is in the log stays there
		}
		if f.next > 0 && w.ctx.Err() == nil {
			if events, err := w.decide(f.state); err == nil && len(events) > 0 {
				w.decided = events
				return f, nil
			}
		}
	}
	return f, h.load(batch[0].ctx, f)
}

func proposes[S any](w *waiter[S]) bool { return len(w.result.Events) > 0 }

// decideAll decides waiters in turn on f, which it folds along. It stops before
// the one whose events would make the append too large.
func (h *Handler[S]) decideAll(f *folded[S], batch []*waiter[S]) (proposed []event.Proposed, decided, left []*waiter[S]) {
	size := 0
	for i, w := range batch {
		w.result, w.err = Result{}, nil
		if w.err = w.ctx.Err(); w.err != nil {
			continue
		}
		if w.first, w.result.Repeated = f.recalls(w.meta); w.result.Repeated {
			continue // wait reads the answer, so that the others need not wait for it
		}
		events, err := w.decided, error(nil)
		if w.decided = nil; events == nil {
			events, err = w.decide(f.state)
		}
		if err != nil {
			w.err = err
			continue
		}
		encoded, bytes, err := h.encode(w.meta, events)
		if err != nil {
			w.err = err
			continue
		}
		if size+bytes > MaxAppendBytes {
			if len(proposed) > 0 {
				return proposed, batch[:i], batch[i:]
			}
			w.err = fmt.Errorf("%d bytes of events for stream %s: %w", bytes, f.stream, ErrTooLarge)
			continue
		}
		size += bytes
		proposed = append(proposed, encoded...)
		w.result.Events = events
		if len(events) > 0 {
			f.remember(w.meta, f.next)
		}
		for _, e := range events {
			f.state = h.evolve(f.state, e)
			f.next++
		}
		w.result.Next = f.next
	}
	return proposed, batch, nil
}

func (h *Handler[S]) encode(meta event.Meta, events []event.Data) (proposed []event.Proposed, bytes int, err error) {
	for i, d := range events {
		p, err := h.events.Encode(meta, i, d)
		if err != nil {
			return nil, 0, err
		}
		// To a log the same ids are the same events, see [Log]. Two processes
		// may be sent one command with other content at the same time; so the
		// content is part of the id: the slower one gets a conflict, looks again
		// and sees what the command has become.
		p.ID = uuid.NewSHA1(p.ID, p.Data)
		bytes += len(p.Data) + len(p.Metadata) + 2*len(p.Type)
		proposed = append(proposed, p)
	}
	return proposed, bytes, nil
}

// append sends until the outcome is known: an identical append at an exact
// revision gives the first answer again.
func (h *Handler[S]) append(stream string, next uint64, events []event.Proposed) (Appended, error) {
	expect := NoStream
	if next > 0 {
		expect = At(next - 1)
	}
	wait := 20 * time.Millisecond
	for try := 0; ; try++ {
		// The batch belongs to many callers: none of them may cancel it.
		ctx, cancel := context.WithTimeout(context.Background(), AppendTimeout)
		at, err := h.log.Append(ctx, stream, expect, events)
		cancel()
		if err == nil || isConflict(err) || try == 0 && isKnown(err) {
			return at, err
		}
		// A try before this one may have been done, whatever became of this one.
		if try == MaxResends || errors.Is(err, ErrClosed) {
			return Appended{}, fmt.Errorf("%w: stream %s after %d tries: %v", ErrUnknownOutcome, stream, try+1, err)
		}
		h.runtime.Sleep(wait)
		wait = min(2*wait, 5*time.Second)
	}
}

// isKnown tells whether err says for certain that this append wrote nothing.
func isKnown(err error) bool {
	return isConflict(err) || errors.Is(err, ErrStreamDeleted) || errors.Is(err, ErrTooLarge) ||
		errors.Is(err, ErrReadOnly) || errors.Is(err, ErrClosed)
}

// isConflict tells whether the stream is elsewhere. An exact append that was
// done before gets its first answer again and never this one.
func isConflict(err error) bool {
	var conflict *WrongRevision
	return errors.As(err, &conflict)
}

// load folds what the log has that f has not. After an error f is of no use.
func (h *Handler[S]) load(ctx context.Context, f *folded[S]) error {
	for rec, err := range h.log.ReadStream(ctx, f.stream, Forwards, f.next, 0) {
		if err != nil {
			return err
		}
		e, err := h.events.Decode(rec)
		if err != nil {
			return err
		}
		f.remember(e.Meta, rec.Revision)
		f.state = h.evolve(f.state, e.Body)
		f.next = rec.Revision + 1
	}
	return nil
}

// take removes a state from the cache, so that it has one user.
func (h *Handler[S]) take(stream string) *folded[S] {
	h.mu.Lock()
	defer h.mu.Unlock()
	if el, ok := h.cached[stream]; ok {
		return h.drop(el)
	}
	return &folded[S]{stream: stream, state: h.initial()}
}

func (h *Handler[S]) keep(f *folded[S]) {
	if f.next == 0 {
		return // an absent stream costs nothing to look up again
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cached[f.stream] = h.recent.PushFront(f)
	h.ids += len(f.commands)
	for h.recent.Len() > MaxCachedStreams || h.ids > MaxCachedCommands && h.recent.Len() > 1 {
		h.drop(h.recent.Back())
	}
}

// drop takes a state out of the cache; h.mu is held.
func (h *Handler[S]) drop(el *list.Element) *folded[S] {
	f := h.recent.Remove(el).(*folded[S])
	delete(h.cached, f.stream)
	h.ids -= len(f.commands)
	return f
}

// answer releases waiters with what was decided.
func answer[S any](ws []*waiter[S]) {
	for _, w := range ws {
		close(w.done)
	}
}

// fail releases waiters with an error, whatever was decided.
func fail[S any](ws []*waiter[S], err error) {
	for _, w := range ws {
		w.result, w.err = Result{}, err
	}
	answer(ws)
}
