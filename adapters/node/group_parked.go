package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"kicau/adapters/command"
)

// maxReplayNumbers bounds the parked messages named in one request.
const maxReplayNumbers = 10_000

func sortedNumbers(set map[uint64]bool) []uint64 { return slices.Sorted(maps.Keys(set)) }

// parkedBounds are the numbers that are in the parked stream, but for those in
// done.
func (g *group) parkedBounds() (first, next uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.parkedFirst, g.parkedNext
}

// isParked tells whether a number stands in the parked stream and waits there.
func (g *group) isParked(number uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return number >= g.parkedFirst && number < g.parkedNext && !g.done[number]
}

func (g *group) parkedCount() int { return int(g.parkedNext-g.parkedFirst) - len(g.done) }

// readParked yields the links in the parked stream that were not dealt with.
func (g *group) readParked(ctx context.Context, from, to uint64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		first, next := g.parkedBounds()
		if first, next = max(first, from), min(next, to); first >= next {
			return
		}
		for r, err := range g.engine.readStream(ctx, g.key.parkedStream(), false, first) {
			if err != nil {
				yield(record{}, err)
				return
			}
			if r.Revision >= next {
				return
			}
			if g.isParked(r.Revision) && !yield(r, nil) {
				return
			}
		}
	}
}

// replay gives parked messages out again. They stay in the parked stream until a
// consumer has dealt with them, so nothing is lost if that never happens. With
// numbers only those, else all before stopAt. It returns when they are being
// given out.
func (g *group) replay(stopAt uint64, numbers []uint64) error {
	if err := g.checkParked(numbers); err != nil {
		return err
	}
	g.running.Go(func() {
		var err error
		if len(numbers) == 0 {
			err = g.replayRun(0, stopAt)
		}
		for _, n := range numbers {
			err = errors.Join(err, g.replayRun(n, n+1))
		}
		if err != nil && g.ctx.Err() == nil {
			g.logger.Error("parked messages cannot be replayed; those that were not stay parked", "group", g.key, "err", err)
		}
	})
	return nil
}

func (g *group) checkParked(numbers []uint64) error {
	if len(numbers) > maxReplayNumbers {
		return fmt.Errorf("%d parked messages are named, at most %d are allowed at once", len(numbers), maxReplayNumbers)
	}
	for _, n := range numbers {
		if !g.isParked(n) {
			return fmt.Errorf("group %s has no parked message %d", g.key, n)
		}
	}
	return nil
}

func (g *group) replayRun(from, to uint64) error {
	for r, err := range g.readParked(g.ctx, from, to) {
		if err != nil {
			return err
		}
		revision, stream, ok := parseLink(r.Data)
		if !ok {
			return fmt.Errorf("%w: parked message %d of group %s is no link", ErrDamaged, r.Revision, g.key)
		}
		event, err := linkTarget(g.ctx, g.engine, stream, revision)
		if err != nil {
			return err
		}
		g.offerParked(&message{record: r, event: event, isLink: true, parkedAs: int64(r.Revision)})
	}
	return nil
}

// offerParked puts a parked message before what was not given out yet. One whose
// event is gone is done with.
func (g *group) offerParked(m *message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	number := uint64(m.parkedAs)
	if !g.waitForRoom() || g.replaying[number] {
		return
	}
	if m.event == nil {
		g.unparked(number)
		return
	}
	g.replaying[number] = true
	g.retry = append(g.retry, m)
	g.dispatch()
}

// drop forgets parked messages. They are forgotten in the log when it returns.
func (g *group) drop(ctx context.Context, numbers []uint64) error {
	if err := g.checkParked(numbers); err != nil || len(numbers) == 0 {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.room.Broadcast()
	})()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range numbers {
		if g.replaying[n] {
			return fmt.Errorf("parked message %d of group %s is being replayed", n, g.key)
		}
	}
	for _, n := range numbers {
		g.unparked(n)
	}
	for ; g.doneChanged || g.doneWriting; g.room.Wait() {
		if err := cmp.Or(ctx.Err(), context.Cause(g.ctx)); err != nil {
			return err
		}
	}
	return nil
}

// parkedEvents are the parked messages as the port tells of them.
func (g *group) parkedEvents(ctx context.Context) iter.Seq2[command.ParkedEvent, error] {
	return func(yield func(command.ParkedEvent, error) bool) {
		for r, err := range g.readParked(ctx, 0, ^uint64(0)) {
			if err != nil {
				yield(command.ParkedEvent{}, err)
				return
			}
			p, err := g.parkedEvent(ctx, r)
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

func (g *group) parkedEvent(ctx context.Context, r record) (command.ParkedEvent, error) {
	p := command.ParkedEvent{Number: r.Revision, At: r.Created}
	var meta parkedMetadata
	if json.Unmarshal(r.Metadata, &meta) == nil {
		p.Reason, p.At = meta.Reason, meta.Added.UTC()
	}
	revision, stream, ok := parseLink(r.Data)
	if !ok {
		return p, nil
	}
	target, err := linkTarget(ctx, g.engine, stream, revision)
	if target != nil {
		p.Event = recorded(*target)
	}
	return p, err
}
