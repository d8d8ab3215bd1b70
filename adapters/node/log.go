package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// log is the engine as the port that the rest of Kicau uses.
type log struct{ engine engine }

var _ command.Log = log{}

func (l log) Append(ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
	switch {
	case isSystem(stream):
		return command.Appended{}, fmt.Errorf("append to stream %s: names that start with $ are the log's own", stream)
	case len(events) == 0:
		return command.Appended{}, fmt.Errorf("append to stream %s: no events", stream)
	case expect < command.Any:
		return command.Appended{}, fmt.Errorf("append to stream %s: %d is no revision to expect", stream, int64(expect))
	}
	write := make([]proposed, len(events))
	for i, e := range events {
		write[i] = proposed{ID: e.ID, Type: e.Type, ContentType: jsonContent, Data: e.Data, Metadata: e.Metadata}
	}
	at, err := l.engine.append(ctx, stream, int64(expect), write)
	var wrong *wrongRevision
	switch {
	case errors.As(err, &wrong):
		return command.Appended{}, &command.WrongRevision{Stream: stream, Expected: expect, Actual: command.Expect(wrong.Actual)}
	case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return command.Appended{}, fmt.Errorf("append to stream %s: %w: %w", stream, command.ErrUnknownOutcome, err)
	case err != nil:
		return command.Appended{}, fmt.Errorf("append to stream %s: %w", stream, err)
	}
	return command.Appended{Revision: uint64(at.Revision), Position: event.At(at.Position)}, nil
}

func (l log) ReadStream(ctx context.Context, stream string, dir command.Direction, from uint64, max int) iter.Seq2[event.Recorded, error] {
	return func(yield func(event.Recorded, error) bool) {
		if isSystem(stream) {
			return
		}
		state, err := l.engine.state(stream)
		switch {
		case err != nil:
			yield(event.Recorded{}, err)
			return
		case state.Tombstoned:
			yield(event.Recorded{}, fmt.Errorf("read stream %s: %w", stream, command.ErrStreamDeleted))
			return
		case !state.Exists:
			return
		case dir == command.Forwards && (state.Last < 0 || from > uint64(state.Last)):
			return // what most readers hear who ask whether there is something newer
		}
		n := 0
		for r, err := range l.engine.readStream(ctx, stream, bool(dir), from) {
			if err != nil {
				yield(event.Recorded{}, err)
				return
			}
			if !yield(recorded(r), nil) {
				return
			}
			if n++; n == max {
				return
			}
		}
	}
}

func (l log) ReadAll(ctx context.Context, dir command.Direction, from command.ReadFrom, filter command.Filter, max int) iter.Seq2[event.Recorded, error] {
	start := from.After.Commit + 1
	if dir == command.Backwards {
		if start = from.Before.Commit; from.Before.IsStart() {
			start = ^uint64(0)
		}
	}
	return func(yield func(event.Recorded, error) bool) {
		n := 0
		for r, err := range l.engine.readAll(ctx, bool(dir), start) {
			if err != nil {
				yield(event.Recorded{}, err)
				return
			}
			if !passes(filter, &r) {
				continue
			}
			if !yield(recorded(r), nil) {
				return
			}
			if n++; n == max {
				return
			}
		}
	}
}

// maxConsidered bounds how many events a subscription goes over for one page,
// so that a filter which lets nothing through still moves on.
const maxConsidered = 16 * command.MaxPageEvents

// Subscribe goes over the log as a long read does, and waits at its end. It
// holds nothing of the engine between pages, so a slow consumer costs nothing.
func (l log) Subscribe(ctx context.Context, after event.Position, filter command.Filter) iter.Seq2[command.Page, error] {
	return func(yield func(command.Page, error) bool) {
		sub := pager{filter: filter, history: l.engine.head(), last: after.Commit, yield: yield}
		for sub.caughtUp() {
			if err := l.engine.waitBeyond(ctx, sub.last); err != nil {
				yield(command.Page{}, err)
				return
			}
			end := l.engine.head()
			for r, err := range l.engine.readAll(ctx, false, sub.last+1) {
				if err != nil {
					yield(command.Page{}, err)
					return
				}
				if !sub.consider(&r) {
					return
				}
			}
			if end > sub.last { // what follows was scavenged
				sub.last = end
				sub.considered++
			}
			if sub.considered > 0 && !sub.handOver() {
				return
			}
		}
	}
}

// pager cuts a long read into pages. Its methods tell whether the
// consumer wants more.
type pager struct {
	filter  command.Filter
	history uint64 // the end of the log when the subscription began
	yield   func(command.Page, error) bool

	events     []event.Recorded // of the next page
	considered int              // for it
	last       uint64           // position considered last
	live       bool             // and announced
}

func (p *pager) consider(r *record) bool {
	p.last = r.Position
	p.considered++
	if passes(p.filter, r) {
		p.events = append(p.events, recorded(*r))
	}
	if len(p.events) < command.MaxPageEvents && p.considered < maxConsidered {
		return true
	}
	return p.handOver() && p.caughtUp()
}

func (p *pager) handOver() bool {
	page := command.Page{Events: p.events, Last: event.At(p.last), Live: p.live}
	p.events, p.considered = nil, 0
	return p.yield(page, nil)
}

// caughtUp announces, once, that the history was handed over: with a page of
// its own, as the next event may be long in coming.
func (p *pager) caughtUp() bool {
	if p.live || p.last < p.history {
		return true
	}
	p.live = true
	return p.handOver()
}

func isSystem(stream string) bool { return strings.HasPrefix(stream, "$") }

func passes(f command.Filter, r *record) bool {
	if isSystem(r.Stream) || len(f.Types) > 0 && !slices.Contains(f.Types, r.Type) {
		return false
	}
	return len(f.StreamPrefixes) == 0 || slices.ContainsFunc(f.StreamPrefixes, func(p string) bool {
		return strings.HasPrefix(r.Stream, p)
	})
}

func recorded(r record) event.Recorded {
	return event.Recorded{
		ID:         r.ID,
		Type:       r.Type,
		Stream:     r.Stream,
		Revision:   r.Revision,
		Position:   event.At(r.Position),
		RecordedAt: r.Created,
		Data:       r.Data,
		Metadata:   r.Metadata,
	}
}
