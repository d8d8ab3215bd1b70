package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// ErrRewound is a log whose order is not what it was: a position came that does
// not follow the one before it. A cluster that lost its leader can do that with
// events which it had not yet acknowledged (EventStore#3527). Rebuild what was
// folded from it.
var ErrRewound = errors.New("the log went back")

// ReadStream is described at [command.Log].
func (l *Log) ReadStream(ctx context.Context, stream string, dir command.Direction, from uint64, max int) iter.Seq2[event.Recorded, error] {
	if isSystem(stream) {
		return func(func(event.Recorded, error) bool) {}
	}
	return recordedOf(l.StreamStored(ctx, stream, dir, from, max))
}

// recordedOf leaves out what a [command.Log] does not tell.
func recordedOf(events iter.Seq2[command.Stored, error]) iter.Seq2[event.Recorded, error] {
	return func(yield func(event.Recorded, error) bool) {
		for e, err := range events {
			if !yield(e.Recorded, err) {
				return
			}
		}
	}
}

// StreamStored yields the events of any stream, as ReadStream does; links are
// not followed.
func (l *Log) StreamStored(ctx context.Context, stream string, dir command.Direction, from uint64, max int) iter.Seq2[command.Stored, error] {
	o := esdb.ReadStreamOptions{Direction: esdb.Forwards, From: esdb.Revision(from)}
	if dir == command.Backwards {
		o.Direction = esdb.Backwards
		if from == math.MaxUint64 {
			o.From = esdb.End{}
		}
	}
	count := uint64(math.MaxInt64)
	if max > 0 {
		count = uint64(max)
	}
	return func(yield func(command.Stored, error) bool) {
		f, err := l.open(ctx, func(ctx context.Context, c *esdb.Client) (source, error) {
			return counted(c.ReadStream(ctx, stream, o, count))
		})
		if err != nil {
			yield(command.Stored{}, fmt.Errorf("read stream %s: %w", stream, err))
			return
		}
		defer f.close()
		var before *command.Stored
		for it, err := range f.all() {
			var e *esdb.Error
			switch {
			case errors.As(err, &e) && e.Code() == esdb.ErrorCodeResourceNotFound:
				return
			case errors.As(err, &e) && e.Code() == esdb.ErrorCodeStreamDeleted:
				err = fmt.Errorf("%w: %w", command.ErrStreamDeleted, err)
			case err == nil && before != nil && (it.event.Revision > before.Revision) != (dir == command.Forwards):
				err = fmt.Errorf("%w: revision %d after %d", ErrRewound, it.event.Revision, before.Revision)
			}
			if err != nil {
				yield(command.Stored{}, fmt.Errorf("read stream %s: %w", stream, err))
				return
			}
			if !yield(it.event, nil) {
				return
			}
			before = &it.event
		}
	}
}

// ReadAll is described at [command.Log].
//
// Forwards it is a subscription up to where that has caught up, since the
// client can filter on the server only there. Backwards every event of the log
// comes over and is filtered here.
func (l *Log) ReadAll(ctx context.Context, dir command.Direction, from command.ReadFrom, filter command.Filter, max int) iter.Seq2[event.Recorded, error] {
	return recordedOf(l.readAll(ctx, dir, from, filter, max))
}

// AllStored yields the events of all users' streams after a position, up to what
// was the end of the log when it got there.
func (l *Log) AllStored(ctx context.Context, after event.Position) iter.Seq2[command.Stored, error] {
	return l.readAll(ctx, command.Forwards, command.ReadFrom{After: after}, command.Filter{}, 0)
}

func (l *Log) readAll(ctx context.Context, dir command.Direction, from command.ReadFrom, filter command.Filter, max int) iter.Seq2[command.Stored, error] {
	open := func(ctx context.Context, c *esdb.Client) (source, error) {
		return subscribed(c.SubscribeToAll(ctx, subscription(from.After, filter)))
	}
	before := from.After
	if dir == command.Backwards {
		o := esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}
		if before = from.Before; before.IsStart() {
			before = event.At(math.MaxUint64)
		} else {
			o.From = esdb.Position(before)
		}
		open = func(ctx context.Context, c *esdb.Client) (source, error) {
			return counted(c.ReadAll(ctx, o, math.MaxInt64))
		}
	}
	return func(yield func(command.Stored, error) bool) {
		f, err := l.open(ctx, open)
		if err != nil {
			yield(command.Stored{}, fmt.Errorf("read the log: %w", err))
			return
		}
		defer f.close()
		n := 0
		for it, err := range f.all() {
			switch {
			case err != nil:
			case it.caughtUp:
				return
			case !it.checkpoint.IsStart():
				continue
			default:
				err = follows(dir, before, it.event.Position)
				before = it.event.Position
			}
			if err != nil {
				yield(command.Stored{}, fmt.Errorf("read the log: %w", err))
				return
			}
			if !passes(filter, &it.event.Recorded) {
				continue
			}
			if !yield(it.event, nil) {
				return
			}
			if n++; n == max {
				return
			}
		}
	}
}

// follows checks that positions come in the order of the log.
func follows(dir command.Direction, before, position event.Position) error {
	if order := position.Compare(before); order == 0 || order > 0 != (dir == command.Forwards) {
		return fmt.Errorf("%w: position %s after %s", ErrRewound, position, before)
	}
	return nil
}

// all yields what the feed receives, up to its end or its first error.
func (f *feed) all() iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		var items []item
		for {
			var err error
			items, err = f.take(items, f.patience)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(item{}, err)
				return
			}
			for i := range items {
				if !yield(items[i], nil) {
					return
				}
			}
		}
	}
}

// counted is a read of the client as a source of events.
func counted(r *esdb.ReadStream, err error) (source, error) {
	return readAs(r, err, func(e *esdb.ResolvedEvent) item { return item{event: recorded(e)} })
}

// readAs is a read of the client as a source of what each event stands for.
func readAs(r *esdb.ReadStream, err error, as func(*esdb.ResolvedEvent) item) (source, error) {
	if err != nil {
		return source{}, err
	}
	return source{
		next: func() (item, error) {
			e, err := r.Recv()
			if err != nil {
				return item{}, err
			}
			return as(e), nil
		},
		close: r.Close,
	}, nil
}

func recorded(e *esdb.ResolvedEvent) command.Stored {
	r := e.OriginalEvent()
	return command.Stored{JSON: r.ContentType == jsonContent, Recorded: recordedEvent(r)}
}

func recordedEvent(r *esdb.RecordedEvent) event.Recorded {
	return event.Recorded{
		ID:         r.EventID,
		Type:       r.EventType,
		Stream:     r.StreamID,
		Revision:   r.EventNumber,
		Position:   event.Position(r.Position),
		RecordedAt: r.CreatedDate,
		Data:       r.Data,
		Metadata:   r.UserMetadata,
	}
}

// jsonContent is how the server says that data is JSON.
const jsonContent = "application/json"

func isSystem(stream string) bool { return strings.HasPrefix(stream, "$") }

// passes is what a filter means. It is asked of every event, whatever the
// server has let through.
func passes(f command.Filter, r *event.Recorded) bool {
	if isSystem(r.Stream) || len(f.Types) > 0 && !slices.Contains(f.Types, r.Type) {
		return false
	}
	return len(f.StreamPrefixes) == 0 || slices.ContainsFunc(f.StreamPrefixes, func(p string) bool {
		return strings.HasPrefix(r.Stream, p)
	})
}
