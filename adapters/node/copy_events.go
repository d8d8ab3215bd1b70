package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

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
			if v, err = c.view(x, stream, c.end); errors.Is(err, errReplaced) {
				v, err = c.view(x, stream, c.head()) // a scavenge goes on meanwhile
			}
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
