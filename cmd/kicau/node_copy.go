package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kicau/adapters/esdb"
	"kicau/adapters/node"
	"kicau/domain/event"
)

type nodeCopyCmd struct {
	To       string `required:"" placeholder:"URL" help:"Connection string of the EventStoreDB to copy to, such as esdb://admin:…@host:2113. The user must be one of $admins."`
	From     string `type:"path" placeholder:"DIR" help:"Copy this backup instead of the event store of --data."`
	Parallel int    `default:"1" help:"Streams to append to at once. With 1 the events have the same order in $all; with more it is faster, and streams overtake each other by at most 2048 events."`
	Fill     bool   `help:"Put an event of type $scavenged where one was scavenged. Without it a log with such streams is refused."`
	DryRun   bool   `help:"Say what there is to do, and do nothing."`
}

func (nodeCopyCmd) Help() string {
	return `Every event of users' streams goes to the same stream and revision, with the same id, type,
content type, data and metadata; then streams get their newest metadata, those that were
deleted are deleted, and the target is read and compared. What is there already is not copied
again: if it is interrupted, or the log has grown, run it again. A target that has something
else at the place of an event is refused with the first difference.

What cannot be kept: positions, and the time at which an event was recorded. Both are the
target's own, and so $maxAge counts from the copy. What your program needs of the time belongs
in its own data or metadata, which are copied as they are.

What is not copied: streams whose names begin with $ (settings, users, persistent
subscriptions and what they parked; links of system projections), older metadata of a stream,
and the stream kicau-log, which gives a log its identity: Kicau's read models keep positions, so
they must be made anew from the copy.

A stream whose first events were scavenged cannot begin at another revision than 0 in any
event store: such logs are refused, with the names of the streams, unless --fill puts an event
of type $scavenged in the place of each that is gone. (Another kicau can be given a backup
instead, which keeps everything.)

Nothing should work on the target before the copy is done: a program that acts on events would
act on half a history.

To move without a long pause: back up while it is served and copy the backup; then stop, and
copy what has come since.

Examples:
  kicau node backup --to monday
  kicau node copy --from monday --to 'esdb://admin:…@es1:2113,es2:2113,es3:2113'
  kicau node copy --data ./kicau-data --to 'esdb://admin:…@es1:2113,es2:2113,es3:2113'`
}

func (c *nodeCopyCmd) Run(ctx context.Context, g *Global) error {
	if c.Parallel < 1 || c.Parallel > node.MaxCopyParallel {
		return usageError{fmt.Errorf("--parallel: %d is not between 1 and %d", c.Parallel, node.MaxCopyParallel)}
	}
	start := time.Now()
	from, done, err := c.source(ctx, g)
	if err != nil {
		return err
	}
	defer done()
	to, err := esdb.Open(esdb.Options{URL: c.To, Connections: 1 + c.Parallel/16, Logger: g.logger()})
	if err != nil {
		return err
	}
	defer to.Close()
	bar, phase := &progress{}, node.CopyPhase("")
	r, err := from.CopyTo(ctx, to, node.CopyOptions{
		Parallel: c.Parallel, Fill: c.Fill, DryRun: c.DryRun, Leave: []string{event.LogStream},
		Progress: func(p node.CopyPhase, done, total uint64) {
			if p != phase {
				bar.done()
				bar, phase = g.progress(int64(total), string(p), "events", false), p
			}
			bar.set(int64(done))
		},
	})
	bar.done()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("stopped; run it again to go on: %w", err)
	}
	if err != nil {
		return err
	}
	out := struct {
		node.Copied
		DryRun  bool    `json:"dryRun,omitempty"`
		Seconds float64 `json:"seconds"`
	}{r, c.DryRun, time.Since(start).Seconds()}
	return g.say(out, "%s", copiedText(r, c.DryRun))
}

// source opens what is to be copied.
func (c *nodeCopyCmd) source(ctx context.Context, g *Global) (*node.Node, func(), error) {
	if c.From != "" {
		n, err := node.OpenBackup(node.Options{Dir: c.From, Logger: g.logger()})
		if err != nil {
			return nil, nil, err
		}
		return n, func() {
			if err := n.Close(); err != nil {
				fmt.Fprintln(g.stderr, "kicau: done, but closing failed:", err)
			}
		}, nil
	}
	s, err := g.eventStore(ctx, nodeFlags{})
	if err != nil {
		return nil, nil, err
	}
	var n *node.Node
	if s.admin != nil {
		err = fmt.Errorf("the event store of %s is being served: back it up and copy the backup (--from), then stop it and copy the rest", g.Data)
	} else {
		n, err = s.reading(g)
	}
	if err != nil {
		return nil, nil, errors.Join(err, s.desk.close())
	}
	return n, func() { s.desk.done(g) }, nil
}

func copiedText(r node.Copied, dry bool) string {
	if dry {
		return fmt.Sprintf("%d events of log %s are to be copied, %d of them are there already; nothing was done", r.Events, r.Log, r.Present)
	}
	text := fmt.Sprintf("copied and verified: %d events of log %s\n  there before     %d\n  appended         %d", r.Events, r.Log, r.Present, r.Copied)
	for _, l := range []struct {
		n    uint64
		what string
	}{
		{r.Metadata, "metadata set     %d streams"},
		{r.Deleted, "deleted          %d streams, for good"},
		{r.Fillers, "fillers          %d, for events that were scavenged"},
		{r.Hidden, "hidden           %d, which their streams hide and the target has scavenged"},
		{r.Moved, "other order      %d events"},
		{r.Others, "not of this log  %d events in the target"},
		{r.System, "not copied       %d events of the log's own"},
	} {
		if l.n > 0 {
			text += "\n  " + fmt.Sprintf(l.what, l.n)
		}
	}
	return text
}
