package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// A log is moved to another event store by its clients' protocol alone: every
// event of users' streams is appended at exactly its revision, so whatever was
// copied before is recognised and nothing can be there twice. What is there
// already is found by reading the target ([copier.look]), which is also how the
// copy is verified in the end. Nothing else is remembered.
//
// Metadata of streams is a state, not a history: a stream's newest is set, before
// the events for the sake of access lists, and again after them. (A server that
// is told of a soft-deleted stream's metadata, or of new events in it, writes
// metadata of its own: EventStoreDB's SoftUndeleteStream.) Streams that were
// deleted for good are deleted at last.

// CopyTarget is the event store that a log is copied to; adapters/esdb has one.
// Errors are those of command.Log.
type CopyTarget interface {
	AppendStored(ctx context.Context, stream string, expect command.Expect, events []command.Stored) (command.Appended, error)
	// AllStored yields the events of users' streams after a position, tombstones
	// too, in order, up to the end.
	AllStored(ctx context.Context, after event.Position) iter.Seq2[command.Stored, error]
	StreamStored(ctx context.Context, stream string, dir command.Direction, from uint64, max int) iter.Seq2[command.Stored, error]
	// Tombstone deletes a stream for good.
	Tombstone(ctx context.Context, stream string) error
}

// CopyOptions say how a log is copied.
type CopyOptions struct {
	// Parallel is how many streams are appended to at once, 1 when 0. With 1 the
	// events come in the order of the log. With more, streams overtake each other
	// by at most copyWindow events.
	Parallel int
	// Fill puts an event of type FillerType where one was scavenged before others
	// of its stream: no event store lets a stream begin at another revision than
	// 0, or skip one. Without it such streams are refused.
	Fill bool
	// Leave are streams that are not copied.
	Leave []string
	// DryRun looks at the target and writes nothing.
	DryRun bool
	// Progress is told of the events that were dealt with in each phase.
	Progress func(phase CopyPhase, done, total uint64)
}

// CopyPhase is what a copy is at.
type CopyPhase string

// The phases of a copy.
const (
	CopyLooking   CopyPhase = "looking at the target"
	CopyCopying   CopyPhase = "copying"
	CopyVerifying CopyPhase = "verifying"
)

// Bounds of a copy.
const (
	// MaxCopyParallel bounds CopyOptions.Parallel.
	MaxCopyParallel = 256
	// copyWindow and copyWindowBytes bound the events in hand.
	copyWindow      = 2048
	copyWindowBytes = 16 << 20
	// maxCopyAppend bounds the events of an append.
	maxCopyAppend = 512
	// copyTries is how often something is said again whose outcome is unknown,
	// with pauses that double from the first to the longest: about a minute, not
	// counting what the target takes to not answer.
	copyTries        = 12
	copyFirstPause   = 100 * time.Millisecond
	copyLongestPause = 8 * time.Second
	// maxGapsTold bounds the streams that are named when there are gaps.
	maxGapsTold = 20
)

// FillerType is the type of an event that stands where one was scavenged.
const FillerType = "$scavenged"

// Copied says what came of a copy. Events that are not user's (of streams whose
// names begin with "$") are not copied, nor are events of the streams left out.
type Copied struct {
	Log    uuid.UUID `json:"log"`
	Events uint64    `json:"events"` // in this log, to be copied
	// Scavenged events of users' streams are not there to be copied.
	Scavenged uint64 `json:"scavenged"`
	Present   uint64 `json:"present"` // of those, in the target before
	Copied    uint64 `json:"copied"`  // of those, appended now
	Fillers   uint64 `json:"fillers"` // in the target, for events that were scavenged
	// Hidden are not in the target, nor can they be: their stream hides them, here
	// too, and the target has scavenged them or has deleted it for good.
	Hidden   uint64 `json:"hidden"`
	Metadata uint64 `json:"metadata"` // streams whose metadata was set now
	Deleted  uint64 `json:"deleted"`  // streams that were deleted for good now
	System   uint64 `json:"system"`   // events that are the log's own
	Others   uint64 `json:"others"`   // events in the target, of streams that this log does not have
	// Moved stand at another place among the copied events of the target than in
	// this log.
	Moved    uint64 `json:"moved"`
	Verified bool   `json:"verified"` // everything is there, the same
}

// ErrGaps: events were scavenged that others of their stream follow on.
var ErrGaps = errors.New("events were scavenged, and no event store lets a stream begin at another revision than 0, or skip one")

// Gaps names streams that lack events.
type Gaps struct {
	Streams []Gap // at most maxGapsTold
	Count   int   // of streams
	Events  uint64
}

// Gap is a stream that lacks events.
type Gap struct {
	Stream string
	Events uint64
}

func (g *Gaps) Error() string {
	text := fmt.Sprintf("%v: %d streams lack %d events", ErrGaps, g.Count, g.Events)
	for _, s := range g.Streams {
		text += fmt.Sprintf("\n  %s lacks %d", s.Stream, s.Events)
	}
	if more := g.Count - len(g.Streams); more > 0 {
		text += fmt.Sprintf("\n  and %d more", more)
	}
	return text
}

// Unwrap makes it an ErrGaps.
func (g *Gaps) Unwrap() error { return ErrGaps }

// CopyTo copies the log to another event store. It can be interrupted and begun
// again, and run again when the log has grown: what is there is not copied again.
// A target that has something else where this log has an event is a [Diverged];
// what was copied before that was found stays there.
//
// Streams, revisions, ids, types, content types, data and metadata are kept.
// Positions and recorded times are the target's own, so $maxAge counts from the
// copy.
func (n *Node) CopyTo(ctx context.Context, target CopyTarget, o CopyOptions) (Copied, error) {
	c := &copier{store: n.store, target: target, o: o, end: n.store.head(), left: map[string]bool{}}
	c.o.Parallel = cmp.Or(o.Parallel, 1)
	if c.o.Parallel < 1 || c.o.Parallel > MaxCopyParallel {
		return Copied{}, fmt.Errorf("copy to %d streams at once: at least 1 and at most %d", o.Parallel, MaxCopyParallel)
	}
	for _, stream := range o.Leave {
		c.left[stream] = true
	}
	c.report.Log = n.ID()
	err := c.run(ctx)
	return c.report, err
}

// copier is a copy under way.
type copier struct {
	*store
	target CopyTarget
	o      CopyOptions
	left   map[string]bool
	end    uint64 // position of the last event to copy

	gone  positionSet    // positions, here, of events that were scavenged
	there positionSet    // positions, here, of events that the target has
	seen  event.Position // in the target: everything up to here was looked at
	found uint64         // events that the target has, scavenged ones not included
	last  uint64         // position, here, of the event that the target has last
	told  uint64         // events of the phase

	mu     sync.Mutex // of what follows
	report Copied
}

// run is the whole copy, in order.
func (c *copier) run(ctx context.Context) error {
	if err := c.survey(ctx); err != nil {
		return err
	}
	if err := c.look(ctx, CopyLooking); err != nil {
		return err
	}
	c.report.Present = c.found
	if err := c.refuseGaps(ctx); err != nil || c.o.DryRun {
		return err
	}
	if err := c.describe(ctx, beforeEvents); err != nil {
		return err
	}
	if err := c.copyEvents(ctx); err != nil {
		return err
	}
	if err := c.describe(ctx, afterEvents); err != nil {
		return err
	}
	if err := c.deleteStreams(ctx); err != nil {
		return err
	}
	return c.verifyTarget(ctx)
}

// copies tells whether events of a stream are copied.
func (c *copier) copies(stream string) bool { return !isSystem(stream) && !c.left[stream] }

// survey counts what is to be copied and what was scavenged.
func (c *copier) survey(ctx context.Context) error {
	for r, err := range c.scan(1, c.end) {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case isSystem(r.Stream):
			c.report.System++
		case !c.copies(r.Stream) || r.Revision == tombstoneRevision:
		case r.emptied:
			c.gone.add(r.Position)
			c.report.Scavenged++
		default:
			c.report.Events++
		}
	}
	return nil
}

// refuseGaps finds scavenged events that the target does not have and that others
// follow on, and refuses them unless they are to be filled.
func (c *copier) refuseGaps(ctx context.Context) error {
	if c.o.Fill || c.report.Scavenged == 0 {
		return nil
	}
	gaps := &Gaps{}
	stream, missing, lacking := "", uint64(0), uint64(0)
	ended := func() {
		if lacking > 0 {
			if gaps.Count++; gaps.Count <= maxGapsTold {
				gaps.Streams = append(gaps.Streams, Gap{stream, lacking})
			}
			gaps.Events += lacking
		}
	}
	for walk := c.walkIndex(c.end); ; {
		entries, err := walk.run(ctx)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.stream != stream {
				ended()
				stream, missing, lacking = e.stream, 0, 0
			}
			switch {
			case c.lacks(e.entry):
				missing++
			case c.copies(e.stream) && e.revision != tombstoneRevision:
				lacking, missing = lacking+missing, 0
			}
		}
		if len(entries) == 0 {
			break
		}
	}
	if ended(); gaps.Count > 0 {
		return gaps
	}
	return nil
}

// lacks tells whether an event was scavenged here and is not in the target.
func (c *copier) lacks(e entry) bool { return c.gone.has(e.position) && !c.there.has(e.position) }
