package node

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"kicau/adapters/command"
)

// Bounds of the committer.
const (
	maxWaiting      = 4096    // requests in the queue; more wait in line for it
	maxBatchBytes   = 4 << 20 // data and metadata of one batch, at least one request
	maxBatchEvents  = 8192    // likewise
	maxAppendEvents = 1 << 16 // events of one append
)

type submissionKind int

const (
	writeEvents submissionKind = iota
	softDelete
	hardDelete
)

// submission is an append or a deletion that waits for the committer.
type submission struct {
	kind   submissionKind
	parts  []part // one, or for writeEvents several
	size   int    // data, metadata and types, in bytes
	count  int    // of events
	answer chan answer
}

// check refuses what can be refused without looking at the log, and measures
// the rest.
func (r *submission) check() error {
	for i := range r.parts {
		p := &r.parts[i]
		if err := checkStreamName(p.stream); err != nil {
			return err
		}
		if _, ok := indexStream(p.stream); ok {
			return fmt.Errorf("stream %s is an index, which the log itself keeps: write to a stream of your own", p.stream)
		}
		if p.expect < expectNoStream && p.expect != expectAny && p.expect != expectExists {
			return fmt.Errorf("append to stream %s: %d is no revision to expect", p.stream, p.expect)
		}
		for j := range p.events {
			e := &p.events[j]
			r.size += len(e.Data) + len(e.Metadata) + 2*len(e.Type)
		}
		r.count += len(p.events)
	}
	if r.size > command.MaxAppendBytes || r.count > maxAppendEvents {
		return fmt.Errorf("%w: %d events with %d bytes to stream %s; at most %d events with %d bytes in one append",
			command.ErrTooLarge, r.count, r.size, r.parts[0].stream, maxAppendEvents, command.MaxAppendBytes)
	}
	return nil
}

type answer struct {
	at  appended
	err error
}

// batch is what one sync makes durable, and whom to tell.
type batch struct {
	requests []*submission
	answers  []answer
	end      checkpoint    // after it
	written  *pebble.Batch // nil: it writes nothing
	small    bool          // written is not being synced: it gets a redo
	filed    []filed       // its events
	lists    bool          // it changed access lists
	tally    tally
}

// committer is the only writer. It takes whatever waits, decides each request
// against those before it, and makes one batch of what is to be written:
//
//	committer goroutine:  take → decide → write the batch to Pebble ─┐
//	finisher goroutine:   write and sync it in the checkpoint's file ◄─┘ → publish → answer
//
// While the finisher syncs one batch, the committer works on the next. Answers
// are given in the order of the log, refusals too: a refusal may rest on an event
// that is not durable yet.
type committer struct {
	*store
	file  *checkpointFile
	space space
	heads heads

	// Where the log ends, batches included that are not durable yet.
	end     logEnd
	batch   *pebble.Batch // being made
	wrote   bool          // something was put in it
	lists   bool          // something of that may change access lists
	full    bool          // nothing may be put in it
	filed   []filed       // its events, for the indexes
	touched []*head       // what it changed
	index   *index        // of the batches before it, once asked for
}

func newCommitter(s *store, end logEnd, file *checkpointFile) *committer {
	return &committer{
		store: s,
		file:  file,
		end:   end,
		space: space{fs: s.fs, dir: s.Dir, reserve: s.Reserve, logger: s.Logger},
	}
}

// run ends when the queue is closed and everybody in it was answered.
func (c *committer) run() {
	// Not buffered: at most two batches are under way, one that is being synced and
	// the next. More would only be smaller, and a sync costs the same for few.
	written := make(chan *batch)
	var finisher sync.WaitGroup
	finisher.Go(func() {
		for b := range written {
			c.finish(b)
		}
	})
	for first := range c.queue {
		b := &batch{requests: c.take(first)}
		c.commit(b)
		written <- b
	}
	close(written)
	finisher.Wait()
	close(c.committed)
}

// take returns what waits, within the bounds of a batch.
func (c *committer) take(first *submission) []*submission {
	taken := append(make([]*submission, 0, 1+len(c.queue)), first)
	bytes, events := first.size, first.count
	for bytes < maxBatchBytes && events < maxBatchEvents {
		select {
		case r, ok := <-c.queue:
			if !ok {
				return taken
			}
			taken = append(taken, r)
			bytes, events = bytes+r.size, events+r.count
		default:
			// Let those run who are about to send: an answer to many wakes many,
			// and one sync for all of them is cheaper than one for the first few.
			runtime.Gosched()
			if len(c.queue) == 0 {
				return taken
			}
		}
	}
	return taken
}

// commit decides the requests of b in order and writes what they write. It is
// not durable when this returns, finish waits for that: the batch after it is
// decided while this one is synced, and what it needs to know of this one it
// finds in Pebble.
func (c *committer) commit(b *batch) {
	c.heads.age()
	c.batch, c.wrote, c.lists, c.full = c.db.NewBatch(), false, false, !c.space.room()
	c.end.created = max(c.end.created, ticksOf(c.now()))
	b.answers = make([]answer, len(b.requests))
	size := c.end.size
	for i, r := range b.requests {
		before := c.end.size
		b.answers[i].at, b.answers[i].err = c.perform(r)
		b.tally.add(r, outcomeOf(c.end.size > before, b.answers[i].err))
	}
	if c.wrote {
		b.written, b.tally.events = c.batch, c.end.size-size
		c.endBatch()
		c.space.written += c.batch.Len()
		b.small = c.file.small(c.batch.Len())
		apply := c.applyNoWait
		if b.small {
			apply = c.applyNoSync
		}
		if err := apply(c.batch); err != nil {
			fatal(c.Logger, "the log cannot be written; the process ends", "dir", c.Dir, "err", err)
		}
	} else if err := c.batch.Close(); err != nil {
		fatal(c.Logger, "the log cannot be written; the process ends", "dir", c.Dir, "err", err)
	}
	for _, h := range c.touched {
		h.trim()
	}
	c.touched = c.touched[:0]
	b.end, b.lists, b.filed = c.end.checkpoint, c.lists, c.filed
	c.filed = make([]filed, 0, len(b.filed))
	c.closeIndex()
}

// finish makes a batch durable, promises it and tells everybody.
func (c *committer) finish(b *batch) {
	began := time.Now()
	if b.written != nil {
		// Before this returns nothing of the batch has happened. After a crash
		// in it all of the batch has happened, or nothing.
		if err := c.promise(b); err != nil {
			fatal(c.Logger, "the log cannot be synced; the process ends", "dir", c.Dir, "err", err)
		}
		if err := b.written.Close(); err != nil {
			fatal(c.Logger, "the log cannot be written; the process ends", "dir", c.Dir, "err", err)
		}
		// COMMIT POINT. From here on a start without these events is refused.
		// They are published before they are answered, so that who has the
		// answer can read what it wrote, by index streams too.
		c.postings.add(b.filed)
		c.tip.move(b.end.size)
		if b.lists {
			c.listsSince.Store(b.end.size)
		}
	}
	c.meters.finished(&b.tally, time.Since(began))
	for i, r := range b.requests {
		r.answer <- b.answers[i]
	}
}

// promise makes a batch durable together with the promise that it is there; or,
// when it has no redo, in Pebble first.
func (c *committer) promise(b *batch) error {
	if b.small && c.file.room(b.written.Len()) {
		return c.file.write(redo{b.end, b.written.Repr()})
	}
	began, sync := time.Now(), b.written.SyncWait
	if b.small {
		sync = func() error { return c.syncLog(c.applyNoWait) }
	}
	if err := sync(); err != nil {
		return err
	}
	b.tally.sync = time.Since(began)
	return c.file.promise(b.end)
}
