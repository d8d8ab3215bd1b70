package command

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"kicau/domain/event"
)

// Group names a persistent subscription: a place in the log that the log itself
// remembers, whose events are shared among the consumers that are connected.
type Group struct {
	Stream string // the events of this stream; "": of the whole log
	Name   string
}

func (g Group) String() string {
	stream := g.Stream
	if stream == "" {
		stream = "$all"
	}
	return stream + "::" + g.Name
}

// GroupSettings are given to a group when it is made and stay.
type GroupSettings struct {
	// Filter of a group of the whole log: by prefixes of streams or by types,
	// not both, as the protocol has it. Events of system streams never come.
	Filter Filter
	// FromEnd begins with what is appended after the group was made; otherwise
	// it begins with the first event there is.
	FromEnd bool
	// MessageTimeout is how long a consumer may keep a delivery before it comes
	// again, to it or to another. 0: DefaultMessageTimeout.
	MessageTimeout time.Duration
	// MaxRetries is how often a delivery comes again, after a Retry, a timeout
	// or a lost consumer, before the log parks it. 0: MaxGroupRetries. After a
	// lost consumer EventStoreDB counts, but does not park.
	MaxRetries int
	// Ordered sends everything to one consumer while it keeps up
	// (DispatchToSingle): with a buffer of 1 it sees the events in order, but for
	// those that come again. Otherwise consumers take turns (RoundRobin).
	Ordered bool
}

// Defaults and bounds of groups.
const (
	DefaultMessageTimeout = time.Minute
	MaxGroupRetries       = 1<<31 - 1
	DefaultGroupBuffer    = 32
)

// Delivery is an event that a consumer was given to deal with.
type Delivery struct {
	// Event is the zero value, its Type empty, when the group is of a stream of
	// links and the event is not there any more: Ack it.
	Event event.Recorded
	// Retries is how often it came before.
	Retries int
	// Token is what the log knows the delivery by.
	Token any
}

// Consumer takes part in a group. Its methods may be called from many
// goroutines. Whatever it was given and has not answered when it closes, or
// when its connection is lost, comes again: closing skips nothing.
type Consumer interface {
	// Next waits for a delivery. It ends with the context's error, or with
	// another when the consumer was closed or the connection or the group is
	// gone: consume again.
	Next(ctx context.Context) (Delivery, error)
	// Ack says that a delivery was dealt with. What is lost on the way comes
	// again, so dealing with an event must be repeatable.
	Ack(Delivery) error
	// Retry gives a delivery back at once; wait before it for a backoff.
	Retry(d Delivery, reason string) error
	// Park puts it where an operator finds it with its reason.
	Park(d Delivery, reason string) error
	Close() error
}

// GroupInfo tells how far a group is.
type GroupInfo struct {
	Group Group
	// Seen is the position of the newest event that the group has considered,
	// of a group of a stream as far as the log says.
	Seen event.Position
	// Unsettled counts what it holds: waiting, with consumers, or to come again.
	Unsettled int
	// Parked counts the events in its parked stream.
	Parked int
	// Consumers that are connected.
	Consumers int
}

// Settled tells whether everything up to p was acked or parked.
func (i GroupInfo) Settled(p event.Position) bool {
	return i.Unsettled == 0 && i.Seen.Compare(p) >= 0
}

// ParkedEvent is an event that a group could not deal with.
type ParkedEvent struct {
	Number uint64 // in the parked stream: what replay and drop are told
	Reason string
	At     time.Time // when it was parked, UTC
	// Event is the zero value, its Type empty, when it is not there any more.
	Event event.Recorded
}

// Errors of groups.
var (
	// ErrNoGroup: there is no such group (any more).
	ErrNoGroup = errors.New("there is no such group")
	// ErrNotSupported: EventStoreDB's protocol has no way to do this.
	ErrNotSupported = errors.New("this event store cannot do that")
)

// NoGroup says which group is not there.
func NoGroup(g Group) error { return fmt.Errorf("group %s: %w", g, ErrNoGroup) }

// Groups are the persistent subscriptions of a log: the embedded node's or an
// EventStoreDB cluster's. The contract is tested by logtest.RunGroups.
type Groups interface {
	// EnsureGroup makes a group if it is not there. One that is there stays as
	// it is, whatever the settings say.
	EnsureGroup(ctx context.Context, g Group, s GroupSettings) error
	// DeleteGroup forgets a group, where it was and what it parked; its consumers
	// end with ErrNoGroup.
	DeleteGroup(ctx context.Context, g Group) error
	// Consume connects to a group as a consumer that holds at most buffer
	// deliveries at once; buffer 0: DefaultGroupBuffer. Its context bounds only
	// the connecting.
	Consume(ctx context.Context, g Group, buffer int) (Consumer, error)
	GroupInfo(ctx context.Context, g Group) (GroupInfo, error)
	// Parked yields the parked events of a group, oldest first.
	Parked(ctx context.Context, g Group) iter.Seq2[ParkedEvent, error]
	// ReplayParked delivers parked events again. With numbers only those; an
	// EventStoreDB can only replay all (ErrNotSupported).
	ReplayParked(ctx context.Context, g Group, numbers ...uint64) error
	// DropParked forgets parked events that will never be dealt with: those with
	// these numbers. An EventStoreDB cannot (ErrNotSupported).
	DropParked(ctx context.Context, g Group, numbers ...uint64) error
}
