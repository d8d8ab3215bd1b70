package node

import (
	"cmp"
	"context"
	"encoding/json"
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

// piece is a run of consecutive events of a stream, one append.
type piece struct {
	stream string
	events []command.Stored
	bytes  int
}

func (p *piece) first() uint64 { return p.events[0].Revision }
func (p *piece) last() uint64  { return p.events[len(p.events)-1].Revision }

// takes tells whether e goes on where the piece ends, and fits in.
func (p *piece) takes(e *command.Stored) bool {
	return p.stream == e.Stream && p.first()+uint64(len(p.events)) == e.Revision &&
		len(p.events) < maxCopyAppend && p.bytes+sizeOfStored(e) <= command.MaxAppendBytes
}

func sizeOfStored(e *command.Stored) int { return len(e.Data) + len(e.Metadata) + 2*len(e.Type) }

// copyEvents appends what the target does not have, window by window.
func (c *copier) copyEvents(ctx context.Context) error {
	var window []*piece
	events, bytes := 0, 0
	c.told = c.found
	for r, err := range c.readAll(ctx, false, 1) {
		if err != nil {
			return err
		}
		if r.Position > c.end {
			break
		}
		if !c.copies(r.Stream) || r.Revision == tombstoneRevision || c.there.has(r.Position) {
			continue
		}
		e := storedOf(&r)
		if len(window) == 0 || !window[len(window)-1].takes(&e) {
			window = append(window, &piece{stream: r.Stream})
		}
		p, size := window[len(window)-1], sizeOfStored(&e)
		p.events, p.bytes = append(p.events, e), p.bytes+size
		events, bytes = events+1, bytes+size
		if events >= copyWindow || bytes >= copyWindowBytes {
			if err := c.appendWindow(ctx, window); err != nil {
				return err
			}
			window, events, bytes = nil, 0, 0
		}
	}
	return c.appendWindow(ctx, window)
}

func storedOf(r *record) command.Stored {
	return command.Stored{Recorded: recorded(*r), JSON: r.ContentType == jsonContent}
}

// appendWindow appends pieces: all in order, or those of each stream.
func (c *copier) appendWindow(ctx context.Context, window []*piece) error {
	if c.o.Parallel == 1 {
		return c.appendPieces(ctx, window)
	}
	var lanes [][]*piece
	lane := map[string]int{}
	for _, p := range window {
		i, known := lane[p.stream]
		if !known {
			i = len(lanes)
			lane[p.stream], lanes = i, append(lanes, nil)
		}
		lanes[i] = append(lanes[i], p)
	}
	return inParallel(ctx, c.o.Parallel, lanes, c.appendPieces)
}

// inParallel does something to each of all, at most limit of them at a time. The
// first error stops the rest.
func inParallel[T any](ctx context.Context, limit int, all []T, do func(context.Context, T) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var working sync.WaitGroup
	todo := make(chan T)
	for range min(limit, len(all)) {
		working.Go(func() {
			for one := range todo {
				if err := do(ctx, one); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, one := range all {
		select {
		case todo <- one:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(todo)
	working.Wait()
	return context.Cause(ctx)
}

func (c *copier) appendPieces(ctx context.Context, pieces []*piece) error {
	for _, p := range pieces {
		if err := c.fill(ctx, p); err != nil {
			return err
		}
		if err := c.appendPiece(ctx, p); err != nil {
			return err
		}
		n := uint64(len(p.events))
		c.mu.Lock()
		c.report.Copied += n
		c.told += n
		c.progress(CopyCopying)
		c.mu.Unlock()
	}
	return nil
}

// progress tells how far the phase is; c.mu is held, or nobody else is at work.
func (c *copier) progress(phase CopyPhase) {
	if c.o.Progress != nil {
		c.o.Progress(phase, c.told, max(c.told, c.report.Events))
	}
}

// appendPiece appends a piece at its place and nowhere else.
func (c *copier) appendPiece(ctx context.Context, p *piece) error {
	expect, err := c.expected(ctx, p)
	var at command.Appended
	if err == nil {
		err = insist(ctx, func() (err error) {
			at, err = c.target.AppendStored(ctx, p.stream, expect, p.events)
			return err
		})
	}
	var wrong *command.WrongRevision
	switch {
	case errors.As(err, &wrong):
		return c.beyond(ctx, p, wrong)
	case errors.Is(err, command.ErrStreamDeleted):
		return c.deletedThere(p)
	case err == nil && at.Revision != p.last():
		return &Diverged{Stream: p.stream, Revision: p.last(), Here: describeEvent(&p.events[len(p.events)-1]),
			There: fmt.Sprintf("it came to revision %d: somebody deleted the stream", at.Revision)}
	default:
		return err
	}
}

// expected is where the stream must be for a piece. To who expects no stream, one
// that was soft-deleted is none, and goes on where it was: that is found out
// before.
func (c *copier) expected(ctx context.Context, p *piece) (command.Expect, error) {
	if p.first() > 0 {
		return command.At(p.first() - 1), nil
	}
	described := false
	err := c.read(func() error {
		return c.withIndex(func(x *index) (err error) {
			_, described, err = x.last(metastreamOf(p.stream), c.end)
			return err
		})
	})
	if err != nil || !described {
		return command.NoStream, err
	}
	standing, err := c.standing(ctx, p)
	if err == nil && standing != command.NoStream {
		err = &command.WrongRevision{Stream: p.stream, Expected: command.NoStream, Actual: standing}
	}
	return command.NoStream, err
}

// noRevision is one that no stream is at.
const noRevision = command.Expect(tombstoneRevision - 1)

// standing is where the stream of a piece is in the target, also if it was
// deleted: what the target says to an append that it cannot take.
func (c *copier) standing(ctx context.Context, p *piece) (command.Expect, error) {
	err := insist(ctx, func() error {
		_, err := c.target.AppendStored(ctx, p.stream, noRevision, p.events[:1])
		return err
	})
	var wrong *command.WrongRevision
	if errors.As(err, &wrong) {
		return wrong.Actual, nil
	}
	if err == nil {
		err = fmt.Errorf("stream %s took an event after revision %d", p.stream, int64(noRevision))
	}
	return 0, err
}

// insist says something again until its outcome is known, a bounded number of
// times. It must be the same if it is done twice.
func insist(ctx context.Context, do func() error) (err error) {
	pause := copyFirstPause
	for range copyTries {
		if err = do(); !errors.Is(err, command.ErrUnknownOutcome) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
		pause = min(2*pause, copyLongestPause)
	}
	return fmt.Errorf("after %d tries: %w", copyTries, err)
}

// beyond: the target is elsewhere than before p. That is right if it was here
// before, and has scavenged what the stream hides: the rest goes on after that.
func (c *copier) beyond(ctx context.Context, p *piece, wrong *command.WrongRevision) error {
	n, err := c.hiddenOf(p)
	if err != nil {
		return err
	}
	if n == 0 || wrong.Actual < command.At(p.first()+uint64(n)-1) {
		return c.diverged(ctx, p, wrong)
	}
	c.hide(p.events[:n])
	if n == len(p.events) {
		return nil
	}
	return c.appendPiece(ctx, &piece{stream: p.stream, events: p.events[n:]})
}

// deletedThere: the target takes no more events of a stream. That is right if
// this log deleted it, too; its events cannot be read any more.
func (c *copier) deletedThere(p *piece) error {
	v, err := c.viewOf(p.stream)
	if err == nil && !v.Tombstoned {
		err = &Diverged{Stream: p.stream, Revision: p.first(), Here: describeEvent(&p.events[0]), There: "the stream is deleted for good"}
	}
	if err == nil {
		c.hide(p.events)
	}
	return err
}

// hide counts events as hidden that were counted as copied, or are about to be.
func (c *copier) hide(events []command.Stored) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range events {
		c.there.add(events[i].Position.Commit)
	}
	n := uint64(len(events))
	c.report.Hidden += n
	c.report.Copied -= n
}

// viewOf is what readers of a stream see here.
func (c *copier) viewOf(stream string) (v view, err error) {
	err = c.read(func() error {
		return c.withIndex(func(x *index) (err error) {
			v, err = c.view(x, stream, c.end)
			return err
		})
	})
	return v, err
}

// hides tells whether readers of the stream are not shown an event.
func (v *view) hides(e *command.Stored, now time.Time) bool {
	return v.Tombstoned || e.Revision < v.TruncateBefore || v.maxAge > 0 && e.RecordedAt.Before(now.Add(-v.maxAge))
}

// hiddenOf is how many events, from the first, readers of the stream are not
// shown.
func (c *copier) hiddenOf(p *piece) (n int, err error) {
	v, err := c.viewOf(p.stream)
	if err != nil {
		return 0, err
	}
	now := c.now()
	for n < len(p.events) && v.hides(&p.events[n], now) {
		n++
	}
	return n, nil
}

// fill puts events in the place of those that were scavenged right before p, but
// where the target has something already.
func (c *copier) fill(ctx context.Context, p *piece) error {
	from, err := c.scavengedBefore(p)
	if err != nil || from == p.first() {
		return err
	}
	standing, err := c.standing(ctx, p)
	if errors.Is(err, command.ErrStreamDeleted) {
		return nil // appending p finds that, too
	}
	from = max(from, uint64(standing+1))
	for err == nil && from < p.first() {
		f := &piece{stream: p.stream}
		for ; from < p.first() && len(f.events) < maxCopyAppend; from++ {
			f.events = append(f.events, c.filler(p.stream, from))
		}
		expect := command.Expect(f.first()) - 1 // from 0: no stream
		err = insist(ctx, func() error {
			_, err := c.target.AppendStored(ctx, f.stream, expect, f.events)
			return err
		})
	}
	return err
}

// scavengedBefore is the revision from which on everything before p is lacking.
func (c *copier) scavengedBefore(p *piece) (from uint64, err error) {
	from = p.first()
	if c.report.Scavenged == 0 {
		return from, nil
	}
	err = c.read(func() error {
		return c.withIndex(func(x *index) error {
			for from > 0 {
				before, err := x.between(nil, p.stream, 0, from, true, maxCopyAppend)
				if err != nil {
					return err
				}
				c.mu.Lock()
				i := 0
				for i < len(before) && c.lacks(before[i]) {
					i++
				}
				c.mu.Unlock()
				if from -= uint64(i); i == 0 {
					return nil
				}
			}
			return nil
		})
	})
	return from, err
}

// filler stands for an event that was scavenged. Its id follows from its place,
// so it can be told from other events, and copied again.
func (c *copier) filler(stream string, revision uint64) command.Stored {
	return command.Stored{JSON: true, Recorded: event.Recorded{
		ID:   fillerID(c.id, stream, revision),
		Type: FillerType, Stream: stream, Revision: revision, Data: json.RawMessage("{}"),
	}}
}

func fillerID(log uuid.UUID, stream string, revision uint64) uuid.UUID {
	return uuid.NewSHA1(log, fmt.Appendf(nil, "%s %d@%s", FillerType, revision, stream))
}
