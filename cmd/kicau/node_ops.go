package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"kicau/adapters/node"
)

// nodeOps are what an operator does with an event store.
type nodeOps struct {
	Verify  nodeVerifyCmd  `cmd:"" help:"Read every event again and compare it with what was written."`
	Backup  nodeBackupCmd  `cmd:"" help:"Make a verified copy, also while it is being served."`
	Restore nodeRestoreCmd `cmd:"" help:"Put a backup in place, verified."`
	Copy    nodeCopyCmd    `cmd:"" help:"Copy the events to an EventStoreDB, verified; can be run again."`

	Scavenge nodeScavengeCmd `cmd:"" help:"Free the space of events that nobody can read any more."`
}

// nodeFlags say which event store is meant.
type nodeFlags struct {
	Node string `help:"The event store that is served there, such as https://host:2113 or a client's connection string. Default: that of --data, served or not. KICAU_NODE_USER and KICAU_NODE_PASSWORD log in." placeholder:"URL"`
}

// eventStore is an event store at an operator's hands: one that is being served,
// then it is asked, or the one in the directory, which nobody else uses then.
type eventStore struct {
	admin *node.Admin // nil: it is in the directory
	desk  desk        // holds the directory
	dir   string
}

// eventStoreDir is where a data directory has its event store.
func eventStoreDir(data string) string { return filepath.Join(data, "events") }

// eventStore finds the event store. Close it.
func (g *Global) eventStore(ctx context.Context, f nodeFlags) (s *eventStore, err error) {
	if g.EventStore != "" {
		return nil, usageError{errors.New("this is about the embedded event store: leave --eventstore out; a cluster has tools of its own")}
	}
	s = &eventStore{dir: eventStoreDir(g.Data)}
	if f.Node != "" {
		s.admin, err = nodeAt(f.Node)
		return s, err
	}
	if _, err := os.Stat(filepath.Join(s.dir, "log")); err != nil {
		return nil, fmt.Errorf("there is no event store in %s: %w", g.Data, err)
	}
	served, err := s.desk.enter(ctx, g.Data)
	if err == nil && served != nil {
		s.admin, err = nodeAt(served.EventStore)
	}
	if err != nil {
		return nil, errors.Join(err, s.desk.close())
	}
	return s, nil
}

func nodeAt(url string) (*node.Admin, error) {
	return node.NewAdmin(url, os.Getenv("KICAU_NODE_USER"), os.Getenv("KICAU_NODE_PASSWORD"))
}

// reading opens the event store of a directory that is not being served, for
// reading only.
func (s *eventStore) reading(g *Global) (*node.Node, error) {
	n, err := node.OpenReadOnly(node.Options{Dir: s.dir, Logger: g.logger()})
	if err == nil {
		s.desk.onClose(n.Close)
	}
	return n, err
}

// open opens the event store of a directory that is not being served.
func (s *eventStore) open(g *Global) (*node.Node, error) {
	n, err := node.Open(node.Options{Dir: s.dir, Logger: g.logger()})
	if err == nil {
		s.desk.onClose(n.Close)
	}
	return n, err
}

// at says which event store it is.
func (s *eventStore) at() string {
	if s.admin != nil {
		return s.admin.String()
	}
	return s.dir
}

// meter shows the progress of something that reads an event store.
func (g *Global) meter(what string) (node.Progress, func()) {
	bar, shown, before := &progress{}, node.Unit(""), uint64(0)
	return func(unit node.Unit, done, total uint64) {
		if unit != shown || done < before {
			bar.done()
			bar, shown = g.progress(int64(total), what, string(unit), unit == node.Bytes), unit
		}
		before = done
		bar.grow(int64(total))
		bar.set(int64(done))
	}, func() { bar.done() }
}

type nodeVerifyCmd struct {
	nodeFlags
	Backup string `type:"path" placeholder:"DIR" help:"Verify this backup instead."`
}

func (nodeVerifyCmd) Help() string {
	return `Every event is read and hashed, and compared with the roots that were stored when it
was written. With 0 it is whole; with 1 it says what is damaged, and where. A damaged log
cannot be repaired: restore a backup. While it is verified it goes on.

Examples:
  kicau node verify --data ./kicau-data
  kicau node verify --backup /backups/monday`
}

func (c *nodeVerifyCmd) Run(ctx context.Context, g *Global) error {
	start := time.Now()
	v, at, err := c.verify(ctx, g)
	if err != nil {
		return err
	}
	out := struct {
		node.Verified
		At      string  `json:"at"`
		Seconds float64 `json:"seconds"`
	}{v, at, time.Since(start).Seconds()}
	return g.say(out, "whole: %s\n  log     %s\n  events  %d\n  root    %s", at, v.Log, v.Events, v.Root)
}

func (c *nodeVerifyCmd) verify(ctx context.Context, g *Global) (v node.Verified, at string, err error) {
	progress, done := g.meter("verifying")
	defer done()
	if c.Backup != "" {
		if c.Node != "" {
			return v, "", usageError{errors.New("--backup is a directory here, --node is elsewhere: name one of them")}
		}
		v, err := node.VerifyBackup(ctx, node.Options{Dir: c.Backup, Logger: g.logger()}, progress)
		return v, c.Backup, err
	}
	s, err := g.eventStore(ctx, c.nodeFlags)
	if err != nil {
		return v, "", err
	}
	defer s.desk.done(g)
	if s.admin != nil {
		v, err := s.admin.Verify(ctx, progress)
		return v, s.at(), err
	}
	n, err := s.reading(g)
	if err == nil {
		v, err = n.VerifyAll(ctx, progress)
	}
	return v, s.at(), err
}

type nodeBackupCmd struct {
	nodeFlags
	To string `required:"" type:"path" placeholder:"DIR" help:"A new directory to make."`
}

func (nodeBackupCmd) Help() string {
	return `The backup holds every event that was acknowledged before it began. A server goes on
meanwhile. It is written to DIR.part, read again and verified, and only then called DIR:
what is called DIR is whole. If the backup is interrupted, run it again.

It is the event store alone: the keys of personal data in vault/ are to be kept elsewhere.

Examples:
  kicau node backup --data ./kicau-data --to /backups/monday
  KICAU_NODE_USER=ops KICAU_NODE_PASSWORD=… kicau node backup --node https://host:2113 --to monday`
}

func (c *nodeBackupCmd) Run(ctx context.Context, g *Global) error {
	start := time.Now()
	s, err := g.eventStore(ctx, c.nodeFlags)
	if err != nil {
		return err
	}
	defer s.desk.done(g)
	var from node.Backuper = s.admin
	if s.admin == nil {
		if from, err = s.reading(g); err != nil {
			return err
		}
	}
	progress, done := g.meter("backing up")
	m, v, err := node.SaveBackup(ctx, from, node.Options{Dir: c.To, Logger: g.logger()}, progress)
	done()
	if err != nil {
		return err
	}
	out := struct {
		node.Verified
		To      string  `json:"to"`
		Bytes   int64   `json:"bytes"`
		Files   int     `json:"files"`
		Seconds float64 `json:"seconds"`
	}{Verified: v, To: c.To, Files: len(m.Files), Seconds: time.Since(start).Seconds()}
	for _, f := range m.Files {
		out.Bytes += f.Bytes
	}
	return g.say(out, "backed up and verified: %s\n  to      %s, %d bytes\n  log     %s\n  events  %d\n  root    %s", s.at(), out.To, out.Bytes, v.Log, v.Events, v.Root)
}

type nodeRestoreCmd struct {
	From string `required:"" type:"path" placeholder:"DIR" help:"The backup."`
}

func (nodeRestoreCmd) Help() string {
	return `The event store of --data must not be there: move it away first, it is not replaced.
The backup is copied to DIR/events.part, each file compared with the backup's manifest, all
events verified, and only then called DIR/events.

Read models that have seen more than the restored log holds are refused at the next start:
remove views.sqlite, views.sqlite-wal and views.sqlite-shm, they are made again from the log.

Example:
  kicau node restore --data ./kicau-data --from /backups/monday`
}

func (c *nodeRestoreCmd) Run(ctx context.Context, g *Global) error {
	if g.EventStore != "" {
		return usageError{errors.New("a restore is into --data: leave --eventstore out")}
	}
	start := time.Now()
	if err := os.MkdirAll(g.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	var d desk
	served, err := d.enter(ctx, g.Data)
	if err != nil {
		return err
	}
	defer d.done(g)
	if served != nil {
		return fmt.Errorf("directory %s is being served by process %d: a restore does not replace an event store", g.Data, served.PID)
	}
	to := eventStoreDir(g.Data)
	progress, done := g.meter("restoring")
	v, err := node.Restore(ctx, c.From, node.Options{Dir: to, Logger: g.logger()}, progress)
	done()
	if err != nil {
		return err
	}
	out := struct {
		node.Verified
		To      string  `json:"to"`
		Seconds float64 `json:"seconds"`
	}{v, to, time.Since(start).Seconds()}
	text := "restored and verified: %s\n  log     %s\n  events  %d\n  root    %s"
	if _, err := os.Stat(filepath.Join(g.Data, "views.sqlite")); err == nil {
		text += "\nRead models that have seen more than that are refused: remove views.sqlite* then."
	}
	return g.say(out, text, to, v.Log, v.Events, v.Root)
}

type nodeScavengeCmd struct {
	nodeFlags
	DryRun bool `help:"Say what would be freed, and free nothing."`
}

func (nodeScavengeCmd) Help() string {
	return `Events that the metadata of their stream hides ($maxCount, $maxAge, $tb), those of deleted
streams and older metadata are emptied: their data and metadata are gone for good, also from
$all. That they were there, and their hash, stays, so the log still verifies. Reads and appends
go on meanwhile. If it is interrupted, run it again.

Examples:
  kicau node scavenge --dry-run
  kicau node scavenge --data ./kicau-data`
}

// scavenger is a node here or elsewhere.
type scavenger interface {
	Scavenge(context.Context, node.ScavengeOptions) (node.ScavengeReport, error)
}

func (c *nodeScavengeCmd) Run(ctx context.Context, g *Global) error {
	s, err := g.eventStore(ctx, c.nodeFlags)
	if err != nil {
		return err
	}
	defer s.desk.done(g)
	var n scavenger = s.admin
	if s.admin == nil {
		if n, err = s.open(g); err != nil {
			return err
		}
	}
	bar := g.progress(-1, "scavenging", "events", false)
	r, err := n.Scavenge(ctx, node.ScavengeOptions{DryRun: c.DryRun, Progress: func(r node.ScavengeReport) { bar.set(int64(r.Events)) }})
	bar.done()
	if err != nil {
		return err
	}
	what := "freed"
	if c.DryRun {
		what = "nothing was done; to be freed"
	}
	return g.say(r, "%s: %d events of %d streams, %d bytes before compression", what, r.Events, r.Streams, r.Bytes)
}
