package command

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"kicau/domain/event"
)

// Expect is the revision that a stream must be at for an append to be taken:
// a number from 0, or one of the constants.
type Expect int64

// Expectations that are not a revision.
const (
	Any      Expect = -2 // whatever the stream is at; a retry may then append twice, so only for what may be said twice
	NoStream Expect = -1 // the stream has no event
)

// At expects the stream's last event to have revision rev.
func At(rev uint64) Expect { return Expect(rev) }

func (e Expect) String() string {
	switch e {
	case Any:
		return "any"
	case NoStream:
		return "no stream"
	default:
		return fmt.Sprintf("revision %d", int64(e))
	}
}

// Limits of an append. EventStoreDB's default is 1 MiB for all events of an
// append together; a log refuses more with [ErrTooLarge].
const MaxAppendBytes = 1 << 20

// Errors of a Log. Everything else that Append returns is an unknown outcome:
// the events may or may not have been written, and the caller finds out by
// sending the identical append again.
var (
	// ErrUnknownOutcome: the answer was lost. Re-send identically.
	ErrUnknownOutcome = errors.New("the outcome of the append is unknown")
	// ErrStreamDeleted: the stream was tombstoned; nothing was written.
	ErrStreamDeleted = errors.New("the stream has been deleted for good")
	// ErrTooLarge: over [MaxAppendBytes]; nothing was written.
	ErrTooLarge = errors.New("the append is too large")
	// ErrReadOnly: the log takes no writes now (disk full); nothing was written.
	ErrReadOnly = errors.New("the log is read-only for now")
	// ErrClosed: the log was closed by its owner.
	ErrClosed = errors.New("the log is closed")
)

// WrongRevision is a conflict: the stream is not where the append expected it.
// Nothing was written. Read again and decide again.
type WrongRevision struct {
	Stream   string
	Expected Expect
	Actual   Expect // NoStream or the last revision
}

func (w *WrongRevision) Error() string {
	return fmt.Sprintf("stream %s is at %s, expected %s", w.Stream, w.Actual, w.Expected)
}

// Appended is where the events of an append are.
type Appended struct {
	Revision uint64         // of the last event
	Position event.Position // of the last event
}

// Direction of a read.
type Direction bool

// Directions.
const (
	Forwards  Direction = false
	Backwards Direction = true
)

// Filter chooses events of a read of the whole log or of a subscription. The
// zero Filter lets every event of users' streams through. Events of system
// streams (name starts with "$") never come through the port.
type Filter struct {
	StreamPrefixes []string // any of them; empty: all
	Types          []string // any of them, exact; empty: all
}

// ReadFrom is where a read of the whole log begins.
type ReadFrom struct {
	// After is exclusive: forwards begins with the first event after it. The
	// zero position is the start of the log.
	After event.Position
	// Before is for reads backwards, exclusive; the zero position is the end of
	// the log.
	Before event.Position
}

// Page is a run of consecutive events of a subscription.
type Page struct {
	// Events that passed the filter, in log order. May be empty.
	Events []event.Recorded
	// Last is the position of the last event considered, passed or not: the
	// place to resume after, once the events are dealt with.
	Last event.Position
	// Live is set on the first page after everything that was in the log when
	// the subscription began has been handed over, and on all that follow.
	Live bool
}

// Log is an append-only store of streams: the embedded node or an EventStoreDB
// cluster. All methods may be called from many goroutines.
//
// The contract is tested by adapters/command/logtest; every implementation
// passes it.
type Log interface {
	// Append writes events to the end of stream as one: all or none, durable
	// before it returns nil. It writes at most [MaxAppendBytes]. No events is
	// an error.
	//
	// When expect is exact (NoStream or a revision) and the same event ids
	// already stand in the stream right after it, nothing is written and the
	// first answer is given again: an append may be re-sent until its answer
	// arrives. A stream elsewhere is a *WrongRevision.
	Append(ctx context.Context, stream string, expect Expect, events []event.Proposed) (Appended, error)

	// ReadStream yields the events of a stream: forwards from revision from
	// (inclusive), backwards from revision from (inclusive; ^uint64(0) is the
	// end). A stream that does not exist yields nothing. A deleted one yields
	// ErrStreamDeleted. max bounds the number of events; 0 means no bound.
	// After an error nothing more is yielded.
	ReadStream(ctx context.Context, stream string, dir Direction, from uint64, max int) iter.Seq2[event.Recorded, error]

	// ReadAll yields the events of all users' streams that pass filter, in log
	// order or backwards. max bounds the number of events yielded; 0 means no
	// bound. It ends at what was the end of the log when it got there.
	ReadAll(ctx context.Context, dir Direction, from ReadFrom, filter Filter, max int) iter.Seq2[event.Recorded, error]

	// Subscribe yields pages of events after the position given, first what is
	// there and then what comes, for ever: hundreds of events a page when
	// behind, whatever there is when live. It ends with the context's error, or
	// with another error when the connection is lost: the caller subscribes
	// again after the last position it dealt with. A consumer that is slow
	// holds nobody up and loses nothing: the log reads on from disk when it
	// asks for the next page. A page has at most [MaxPageEvents] events.
	Subscribe(ctx context.Context, after event.Position, filter Filter) iter.Seq2[Page, error]
}

// MaxPageEvents bounds a page of a subscription.
const MaxPageEvents = 512
