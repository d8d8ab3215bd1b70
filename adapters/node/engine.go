package node

import (
	"context"
	"iter"
	"time"

	"github.com/google/uuid"
)

// Expectations of an append that are not a revision; the numbers are the
// protocol's own.
const (
	expectAny      int64 = -2
	expectNoStream int64 = -1
	expectExists   int64 = -4
)

// record is an event as the engine keeps it. Strings and slices are never
// changed after it was handed out.
type record struct {
	Position    uint64 // dense from 1 in the whole log; commit = prepare = Position on the wire
	Stream      string
	Revision    uint64 // dense from 0 in its stream; that of a tombstone is 1<<63-1
	ID          uuid.UUID
	Type        string
	ContentType string    // "application/json" or "application/octet-stream"
	Created     time.Time // UTC, never decreases with Position
	Data        []byte
	Metadata    []byte // the writer's own ("custom metadata")

	emptied bool // by a scavenge: no reader is shown it
}

// proposed is an event to be appended.
type proposed struct {
	ID          uuid.UUID
	Type        string
	ContentType string
	Data        []byte
	Metadata    []byte
}

// part is what an append to several streams writes to one of them.
type part struct {
	stream string
	expect int64
	events []proposed
}

// appended says where the last event of an append is. Revision is -1 after an
// append of nothing to a stream that does not exist.
type appended struct {
	Revision int64
	Position uint64
}

// wrongRevision: the stream is elsewhere than expected; nothing was written.
type wrongRevision struct {
	Stream   string
	Expected int64
	Actual   int64 // -1: no stream
}

// streamState is what a reader must know of a stream before its events.
type streamState struct {
	Exists         bool // has been written and is neither soft-deleted nor tombstoned
	Tombstoned     bool
	Last           int64  // revision of the last event, -1 when it never had one; a tombstone's is 1<<63-1
	TruncateBefore uint64 // events with a smaller revision are not shown ($tb, soft delete)
}

// engine is the embedded event store without its protocol. It is what the
// protocol server and the in-process Log are written against; *store
// implements it on Pebble.
type engine interface {
	// append writes events as one, synced before it returns. Rules of expected
	// revision and idempotency: EventStoreDB's IndexWriter.CheckCommit.
	// No events: nothing is written, Position is 0. The slices are not changed
	// but used until it returns, or after that when the context ended it.
	// Errors: *wrongRevision, command.ErrStreamDeleted, command.ErrTooLarge,
	// command.ErrReadOnly, command.ErrClosed, or the context's error, after
	// which the outcome is unknown.
	append(ctx context.Context, stream string, expect int64, events []proposed) (appended, error)
	// begin is the first half of append: it returns when the append has its place
	// behind those begun before, and wait does the rest. So one caller can have
	// many appends under way and keep their order.
	begin(ctx context.Context, stream string, expect int64, events []proposed) (wait func() (appended, error), err error)
	// appendAll appends to several streams as one: all of it or nothing. Each
	// stream stands in it once. Rules and errors are those of append, of the
	// first part that is refused; a part that was written before is left out.
	appendAll(ctx context.Context, parts []part) error
	// delete soft-deletes a stream, or tombstones it for good.
	delete(ctx context.Context, stream string, expect int64, tombstone bool) (position uint64, err error)
	// state of a stream, from memory or one look-up.
	state(stream string) (streamState, error)
	// readStream yields a stream's events from revision from, inclusive, in
	// either direction (backwards from ^uint64(0): the end), honouring the
	// truncation of streamState and the stream's $maxAge. A metastream ("$$…")
	// shows only its newest event. Index streams are read like others: their
	// events are links, made while reading. It does not check streamState.Exists or Tombstoned; the tombstone
	// shows as the last event.
	readStream(ctx context.Context, stream string, backwards bool, from uint64) iter.Seq2[record, error]
	// readAll yields every event that was not scavenged, system streams included:
	// forwards with
	// Position >= from, backwards with Position < from (^uint64(0): the end).
	readAll(ctx context.Context, backwards bool, from uint64) iter.Seq2[record, error]
	// head is the position of the newest durable event, 0 when there is none.
	head() uint64
	// accessLists is another number after each change of a stream's metadata or
	// of $settings. It changes when that can be read and before it is answered,
	// so what was read after asking for it holds until it changes.
	accessLists() uint64
	// waitBeyond returns when head() > position, or with the context's error,
	// or command.ErrClosed. This is how live subscriptions wait.
	waitBeyond(ctx context.Context, position uint64) error
}

func (w *wrongRevision) Error() string {
	return "stream " + w.Stream + " is not at the expected revision"
}
