package node

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"kicau/adapters/command"
)

// Bounds of the committer.
const (
	maxWaiting      = 4096    // requests in the queue; more wait in line for it
	maxBatchBytes   = 4 << 20 // data and metadata of one batch, at least one request
	maxBatchEvents  = 8192    // likewise
	maxAppendEvents = 1 << 16 // events of one append
	maxInFlight     = 1       // batches that are durable and wait for their checkpoint
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
	stream string
	expect int64
	events []proposed
	size   int
	answer chan answer
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
	wrote    bool
}

// committer is the only writer. It takes whatever waits, decides each request
// against those before it, and makes one batch of what is to be written:
//
//	committer goroutine:  take → decide → write and sync the batch ─┐
//	finisher goroutine:       write and sync the checkpoint ◄───────┘ → publish → answer
//
// While the finisher syncs the checkpoint of one batch, the committer works on
// the next. Answers are given in the order of the log, refusals too: a refusal
// may rest on an event that is not durable yet.
type committer struct {
	*store
	file  *checkpointFile
	space space
	heads heads

	// Where the log ends, batches included that are not durable yet.
	end     logEnd
	batch   *pebble.Batch // being made
	wrote   bool          // something was put in it
	full    bool          // nothing may be put in it
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
	durable := make(chan *batch, maxInFlight)
	var finisher sync.WaitGroup
	finisher.Go(func() {
		for b := range durable {
			c.finish(b)
		}
	})
	for first := range c.queue {
		b := &batch{requests: c.take(first)}
		c.commit(b)
		durable <- b
	}
	close(durable)
	finisher.Wait()
	close(c.committed)
}

// take returns what waits, within the bounds of a batch.
func (c *committer) take(first *submission) []*submission {
	taken := append(make([]*submission, 0, 1+len(c.queue)), first)
	bytes, events := first.size, len(first.events)
	for bytes < maxBatchBytes && events < maxBatchEvents {
		select {
		case r, ok := <-c.queue:
			if !ok {
				return taken
			}
			taken = append(taken, r)
			bytes, events = bytes+r.size, events+len(r.events)
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

// commit decides the requests of b in order and makes durable what they write.
func (c *committer) commit(b *batch) {
	c.heads.age()
	c.batch, c.wrote, c.full = c.db.NewBatch(), false, !c.space.room()
	c.end.created = max(c.end.created, ticksOf(c.now()))
	b.answers = make([]answer, len(b.requests))
	for i, r := range b.requests {
		b.answers[i].at, b.answers[i].err = c.perform(r)
	}
	if c.wrote {
		c.put(appendRootKey(nil, c.end.size), c.end.root[:])
		c.space.written += c.batch.Len()
		// Before this returns nothing of the batch has happened. After a crash
		// in it all of the batch has happened, or nothing.
		if err := c.db.Apply(c.batch, pebble.Sync); err != nil {
			fatal(c.Logger, "the log cannot be written; the process ends", "dir", c.Dir, "err", err)
		}
	}
	for _, h := range c.touched {
		h.trim()
	}
	c.touched = c.touched[:0]
	b.end, b.wrote = c.end.checkpoint, c.wrote
	err := c.batch.Close()
	if c.index != nil {
		err = errors.Join(err, c.index.close())
		c.index = nil
	}
	if err != nil {
		fatal(c.Logger, "the log cannot be written; the process ends", "dir", c.Dir, "err", err)
	}
}

// finish promises a durable batch and tells everybody.
func (c *committer) finish(b *batch) {
	if b.wrote {
		if err := c.file.write(b.end); err != nil {
			fatal(c.Logger, "the log's checkpoint cannot be written; the process ends", "dir", c.Dir, "err", err)
		}
		// COMMIT POINT. From here on a start without these events is refused.
		// They are published before they are answered, so that who has the
		// answer can read what it wrote.
		c.tip.move(b.end.size)
	}
	for i, r := range b.requests {
		r.answer <- b.answers[i]
	}
}

// perform decides a request and puts in the batch what it writes.
func (c *committer) perform(r *submission) (appended, error) {
	h, err := c.headOf(r.stream)
	if err != nil {
		return appended{}, damage(err)
	}
	v, err := c.check(h, r)
	if err != nil {
		return appended{}, damage(err)
	}
	if v.repeated || r.kind == writeEvents && len(r.events) == 0 {
		return v.at, nil
	}
	if c.damaged.Load() {
		return appended{}, fmt.Errorf("%w: %w", command.ErrReadOnly, ErrDamaged)
	}
	if c.full {
		return appended{}, fmt.Errorf("%w: its disk has less than %d bytes free; make room, it goes on by itself", command.ErrReadOnly, c.Reserve)
	}
	switch r.kind {
	case softDelete:
		return c.softDelete(r, h)
	case hardDelete:
		c.write(r.stream, h, tombstoneRevision, &proposed{ID: uuid.New(), Type: "$streamDeleted", ContentType: jsonContent})
		return appended{Revision: tombstoneRevision, Position: c.end.size}, nil
	default:
		return c.appendEvents(r, h)
	}
}

func (c *committer) appendEvents(r *submission, h *head) (appended, error) {
	if h.softDeleted() {
		if err := c.undelete(r.stream, h); err != nil {
			return appended{}, err
		}
	}
	if original, ok := originalOf(r.stream); ok {
		o, err := c.headOf(original)
		if err != nil {
			return appended{}, err
		}
		o.describe(r.events[len(r.events)-1].Data)
	}
	for i := range r.events {
		c.write(r.stream, h, uint64(h.last+1), &r.events[i])
	}
	return appended{Revision: h.last, Position: c.end.size}, nil
}

// softDelete hides all events there are; the stream can be continued.
func (c *committer) softDelete(r *submission, h *head) (appended, error) {
	if h.last < 0 && !h.described {
		return appended{}, &wrongRevision{Stream: r.stream, Expected: r.expect, Actual: h.last}
	}
	return c.setMetadata(r.stream, h, []byte(`{"$tb":9223372036854775807}`))
}

// undelete keeps hidden what was deleted and shows what comes.
func (c *committer) undelete(stream string, h *head) error {
	m, err := withTruncateBefore(h.metadata, uint64(h.last+1))
	if err == nil {
		_, err = c.setMetadata(stream, h, m)
	}
	return err
}

// setMetadata appends to a stream's metastream.
func (c *committer) setMetadata(stream string, h *head, metadata []byte) (appended, error) {
	name := metastreamOf(stream)
	if err := checkStreamName(name); err != nil {
		return appended{}, err
	}
	meta, err := c.headOf(name)
	if err != nil {
		return appended{}, err
	}
	c.write(name, meta, uint64(meta.last+1), &proposed{ID: uuid.New(), Type: "$metadata", ContentType: jsonContent, Data: metadata})
	h.describe(metadata)
	return appended{Revision: meta.last, Position: c.end.size}, nil
}

// write puts an event in the batch, at the end of the log and of its stream.
func (c *committer) write(stream string, h *head, revision uint64, p *proposed) {
	c.wrote = true
	c.end.size++
	op := c.batch.SetDeferred(eventKeyLen, recordLen(stream, p))
	appendEventKey(op.Key[:0], c.end.size)
	putRecord(op.Value, stream, revision, c.end.created, p)
	c.end.root = c.end.root.next(op.Value)
	c.finishOp(op)

	e := entry{revision: revision, position: c.end.size, id: p.ID}
	op = c.batch.SetDeferred(indexKeyRest+len(stream), indexValLen)
	appendIndexKey(op.Key[:0], stream, revision)
	putIndexValue(op.Value, e)
	c.finishOp(op)
	if revision == tombstoneRevision {
		h.tombstoned = true
	} else {
		h.add(e)
	}
	c.touched = append(c.touched, h)
}

func (c *committer) put(key, value []byte) {
	op := c.batch.SetDeferred(len(key), len(value))
	copy(op.Key, key)
	copy(op.Value, value)
	c.finishOp(op)
}

// finishOp ends a deferred write. It can fail only in an indexed batch.
func (c *committer) finishOp(op *pebble.DeferredBatchOp) {
	if err := op.Finish(); err != nil {
		fatal(c.Logger, "the log cannot be written; the process ends", "dir", c.Dir, "err", err)
	}
}

// headOf returns where a stream stands.
func (c *committer) headOf(stream string) (*head, error) {
	if h, ok := c.heads.get(stream); ok {
		return h, nil
	}
	h, err := c.loadHead(stream)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	c.heads.put(stream, h)
	return h, nil
}

func (c *committer) loadHead(stream string) (*head, error) {
	x, err := c.lookup()
	if err != nil {
		return nil, err
	}
	h := &head{last: -1}
	if _, h.tombstoned, err = x.at(stream, tombstoneRevision); err != nil {
		return nil, err
	}
	last, ok, err := x.last(stream, ^uint64(0))
	if err != nil {
		return nil, err
	}
	if ok {
		h.last, h.recent = int64(last.revision), []entry{last}
	}
	h.whole = h.last <= 0
	if _, meta := originalOf(stream); meta {
		return h, nil
	}
	metadata, ok, err := c.newestMetadata(x, stream, ^uint64(0))
	if ok {
		h.describe(metadata)
	}
	return h, err
}

// recall makes h whole.
func (c *committer) recall(stream string, h *head) error {
	if h.whole {
		return nil
	}
	first := max(0, h.last+1-recentEvents)
	known := h.last + 1 - int64(len(h.recent))
	if first < known {
		x, err := c.lookup()
		if err != nil {
			return err
		}
		older, err := x.between(nil, stream, uint64(first), uint64(known), false, recentEvents)
		if err != nil {
			return err
		}
		if len(older) != int(known-first) {
			return fmt.Errorf("%w: stream %s has lost events between revisions %d and %d", ErrDamaged, stream, first, known)
		}
		h.recent = append(older, h.recent...)
	}
	h.whole = true
	return nil
}

// entryAt returns the entry of a revision that the stream has.
func (c *committer) entryAt(stream string, h *head, revision int64) (entry, error) {
	if e, ok := h.at(revision); ok {
		return e, nil
	}
	x, err := c.lookup()
	if err != nil {
		return entry{}, err
	}
	e, ok, err := x.at(stream, uint64(revision))
	if err == nil && !ok {
		err = fmt.Errorf("%w: stream %s has lost revision %d", ErrDamaged, stream, revision)
	}
	return e, err
}

// lookup returns an index of all batches before the one being made.
func (c *committer) lookup() (_ *index, err error) {
	if c.index == nil {
		c.index, err = c.openIndex()
	}
	return c.index, err
}
