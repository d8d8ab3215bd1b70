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

// Subscribe holds no place in the engine between pages, so a slow consumer
// costs nothing.
func (l log) Subscribe(ctx context.Context, after event.Position, filter command.Filter) iter.Seq2[command.Page, error] {
	return func(yield func(command.Page, error) bool) {
		history := l.engine.head()
		last, live := after.Commit, false
		for {
			if !live && last >= history {
				// Told apart from the page before, which may have been long ago.
				live = true
				if !yield(command.Page{Last: event.At(last), Live: true}, nil) {
					return
				}
			}
			if err := l.engine.waitBeyond(ctx, last); err != nil {
				yield(command.Page{}, err)
				return
			}
			page, err := l.page(ctx, last, filter)
			if err == nil && page.Last.Commit == last {
				err = fmt.Errorf("%w: no event follows position %d though the log goes on", ErrDamaged, last)
			}
			if err != nil {
				yield(command.Page{}, err)
				return
			}
			page.Live = live
			last = page.Last.Commit
			if !yield(page, nil) {
				return
			}
		}
	}
}

// page reads the events after a position.
func (l log) page(ctx context.Context, after uint64, filter command.Filter) (command.Page, error) {
	p := command.Page{Last: event.At(after)}
	considered := 0
	for r, err := range l.engine.readAll(ctx, false, after+1) {
		if err != nil {
			return p, err
		}
		p.Last = event.At(r.Position)
		if passes(filter, &r) {
			p.Events = append(p.Events, recorded(r))
		}
		if considered++; len(p.Events) == command.MaxPageEvents || considered == maxConsidered {
			break
		}
	}
	return p, nil
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
