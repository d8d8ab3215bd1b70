package node

import (
	"fmt"
	"runtime"
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
	// maxYields and maxGather bound the wait of a batch for who may be about to
	// send, where a sync takes hundreds of microseconds.
	maxYields = 100
	maxGather = 100 * time.Microsecond
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
	end      checkpoint // after it
	filed    []filed    // its events
	lists    bool       // it changed access lists
	tally    tally
}

// committer is the only writer. It takes whatever waits, decides each request
// against those before it, makes one batch of what is to be written, and makes
// that durable while Pebble takes it over:
//
//	take → decide ─┬─► write and sync it in the checkpoint's file ─┬─► publish → answer
//	               └─► apply it to Pebble ─────────────────────────┘
//
// A sync costs much the same for few and for many, so there is one at a time and
// everybody who was answered by the last has time to be in the next. Answers are
// given in the order of the log, refusals too: a refusal may rest on an event of
// the same batch.
type committer struct {
	*store
	file  *checkpointFile
	space space
	heads heads

	// Where the log ends, the batch that is being made included.
	end     logEnd
	batch   *pebble.Batch // being made
	lists   bool          // something of that may change access lists
	full    bool          // nothing may be put in it
	filed   []filed       // its events, for the indexes
	touched []*head       // what it changed
	redo    []byte        // what it writes, for the checkpoint's file
	index   *index        // of the batches before it, once asked for

	answered int // requests of the batch before
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
	for first := range c.queue {
		c.finish(c.gather(first))
	}
	close(c.committed)
}

// gather makes a batch of what waits, within its bounds, and decides each request
// as it comes. An answer to many wakes many, and one sync for all of them is
// cheaper than one for the first few: those who are about to send are let run, and
// whoever the last batch answered is waited for, for a moment.
func (c *committer) gather(first *submission) *batch {
	b := c.begin()
	c.decide(b, first)
	bytes, events, yields := first.size, max(1, first.count), 0
	var waits time.Time // since nobody else was there at first
	for bytes < maxBatchBytes && events < maxBatchEvents {
		select {
		case r, ok := <-c.queue:
			if !ok {
				return c.seal(b)
			}
			c.decide(b, r)
			bytes, events, yields = bytes+r.size, events+max(1, r.count), 0
		default:
			if waits.IsZero() {
				waits = time.Now()
			}
			if yields > 0 && (len(b.requests) >= c.answered || yields == maxYields || time.Since(waits) > maxGather) {
				return c.seal(b)
			}
			runtime.Gosched()
			yields++
		}
	}
	return c.seal(b)
}

// begin a batch.
func (c *committer) begin() *batch {
	c.heads.age()
	c.batch, c.lists, c.full = c.db.NewBatch(), false, !c.space.room()
	return &batch{requests: make([]*submission, 0, 1+len(c.queue))}
}

// decide a request and put in the batch what it writes.
func (c *committer) decide(b *batch, r *submission) {
	// Not earlier than the request was made, and one time for all of it.
	c.end.created = max(c.end.created, ticksOf(c.now()))
	before := c.end.size
	at, err := c.perform(r)
	b.requests, b.answers = append(b.requests, r), append(b.answers, answer{at, err})
	b.tally.events += c.end.size - before
	b.tally.add(r, outcomeOf(c.end.size > before, err))
}

// seal a batch: nothing more is decided in it.
func (c *committer) seal(b *batch) *batch {
	c.closeIndex()
	b.end, b.lists, b.filed = c.end.checkpoint, c.lists, c.filed
	return b
}

// finish makes a batch durable and promises it, publishes it and tells everybody.
func (c *committer) finish(b *batch) {
	var took time.Duration
	if len(b.filed) > 0 {
		began := time.Now()
		// Before this returns nothing of the batch has happened. After a crash
		// in it all of the batch has happened, or nothing.
		if err := c.commit(b); err != nil {
			fatal(c.Logger, "the log cannot be written or synced; the process ends", "dir", c.Dir, "err", err)
		}
		took = time.Since(began)
		// COMMIT POINT. From here on a start without these events is refused.
		// They are published before they are answered, so that who has the
		// answer can read what it wrote, by index streams too.
		c.postings.add(b.filed)
		c.tip.move(b.end.size)
		if b.lists {
			c.listsSince.Store(b.end.size)
		}
	}
	if err := c.batch.Close(); err != nil {
		fatal(c.Logger, "the log cannot be written; the process ends", "dir", c.Dir, "err", err)
	}
	for _, h := range c.touched {
		h.trim()
	}
	c.touched = c.touched[:0]
	clear(c.filed) // so that it keeps nobody's data
	c.filed = c.filed[:0]
	c.answered = len(b.requests)
	c.meters.finished(&b.tally, took)
	for i, r := range b.requests {
		r.answer <- b.answers[i]
	}
}

// commit makes the batch durable together with the promise that it is there, and
// readable; or, when it has no redo, durable in Pebble first.
func (c *committer) commit(b *batch) error {
	c.endBatch(b.filed)
	size := c.batch.Len()
	c.space.written += size
	if c.file.small(size) && c.file.room(size) {
		// Pebble writes into the batch that it takes over (its sequence number).
		c.redo = append(c.redo[:0], c.batch.Repr()...)
		applied := make(chan error, 1)
		go func() { applied <- c.apply(c.batch, pebble.NoSync) }()
		if err := c.file.write(redo{b.end, c.redo}); err != nil {
			return err // the process ends; Pebble may wait for the same disk
		}
		return <-applied
	}
	if err := c.applyNoWait(c.batch); err != nil {
		return err
	}
	began := time.Now()
	if err := c.batch.SyncWait(); err != nil { // others may write meanwhile
		return err
	}
	b.tally.sync = time.Since(began)
	return c.file.promise(b.end)
}
