package node

import (
	"context"
	"errors"
	"fmt"

	"kicau/adapters/command"
)

// stateParallel is how many streams are described or deleted at once.
const stateParallel = 16

// describeWhen says which streams' metadata is set.
type describeWhen int

const (
	beforeEvents describeWhen = iota // but for soft-deleted streams: events would undelete them
	afterEvents
	onlyCompare // none
)

// describe gives the streams of the target the metadata that they have here.
func (c *copier) describe(ctx context.Context, when describeWhen) error {
	return c.eachStream(ctx, func(ctx context.Context, last walked) error {
		original, meta := originalOf(last.stream)
		if !meta || !c.copies(original) {
			return nil
		}
		return c.describeStream(ctx, original, last.position, when)
	})
}

// eachStream does something to the last entry of each stream, the tombstone of
// one that was deleted for good.
func (c *copier) eachStream(ctx context.Context, do func(context.Context, walked) error) error {
	walk := c.walkIndex(c.end)
	var last walked
	for {
		entries, err := walk.run(ctx)
		if err != nil {
			return err
		}
		var lasts []walked
		for _, e := range entries {
			if e.stream != last.stream && last.stream != "" {
				lasts = append(lasts, last)
			}
			last = e
		}
		if len(entries) == 0 && last.stream != "" {
			lasts = append(lasts, last)
		}
		if err := inParallel(ctx, stateParallel, lasts, do); err != nil || len(entries) == 0 {
			return err
		}
	}
}

func (c *copier) describeStream(ctx context.Context, original string, position uint64, when describeWhen) error {
	var (
		here    command.Stored
		deleted bool
	)
	err := c.read(func() error {
		r, err := c.event(position)
		if err != nil {
			return err
		}
		here = storedOf(&r)
		return c.withIndex(func(x *index) (err error) {
			_, deleted, err = x.at(original, tombstoneRevision)
			return err
		})
	})
	softDeleted := parseMetadata(here.Data).truncateBefore == tombstoneRevision
	if err != nil || deleted || when == beforeEvents && softDeleted {
		return err
	}
	for range describeTries {
		err = c.setNewest(ctx, original, &here, when)
		if !errors.As(err, new(*command.WrongRevision)) {
			break
		}
	}
	return err
}

// describeTries is how often a stream is described that somebody else describes
// at the same time, such as a copy that was interrupted a moment ago.
const describeTries = 5

// setNewest makes the newest metadata of a stream in the target what it is here.
func (c *copier) setNewest(ctx context.Context, original string, here *command.Stored, when describeWhen) error {
	expect, same, there := command.NoStream, false, "no metadata"
	for e, err := range c.target.StreamStored(ctx, here.Stream, command.Backwards, ^uint64(0), 1) {
		if err != nil {
			return fmt.Errorf("metadata of stream %s in the target: %w", original, err)
		}
		expect, same, there = command.At(e.Revision), string(e.Data) == string(here.Data) && e.JSON == here.JSON, string(e.Data)
	}
	if same {
		return nil
	}
	if when == onlyCompare {
		return &Diverged{Stream: here.Stream, Revision: here.Revision, Here: string(here.Data), There: there}
	}
	err := insist(ctx, func() error {
		_, err := c.target.AppendStored(ctx, here.Stream, expect, []command.Stored{*here})
		return err
	})
	if err != nil {
		return fmt.Errorf("set the metadata of stream %s in the target: %w", original, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Metadata++
	return nil
}

// deleteStreams deletes for good what is deleted for good here.
func (c *copier) deleteStreams(ctx context.Context) error {
	return c.eachStream(ctx, func(ctx context.Context, last walked) error {
		if last.revision != tombstoneRevision || !c.copies(last.stream) {
			return nil
		}
		c.mu.Lock()
		done := c.there.has(last.position)
		c.mu.Unlock()
		if done {
			return nil
		}
		err := insist(ctx, func() error { return c.target.Tombstone(ctx, last.stream) })
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case errors.Is(err, command.ErrStreamDeleted): // by a try that was not answered
			c.there.add(last.position)
			return nil
		case err == nil:
			c.report.Deleted++
		}
		return err
	})
}
