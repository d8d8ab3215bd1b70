package node

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
)

// A read goes in runs: Pebble's tables are held only while one is made, so a
// consumer may take as long as it likes over it. The first run is small for
// those who want little, each next is larger.
const (
	firstRun     = 32
	longestRun   = 1024
	runGrowth    = 4
	maxRunBytes  = 1 << 20 // stored bytes in a run, at least one event
	maxRunSeen   = 1 << 15 // events gone over for a run, scavenged ones too
	smallBlock   = 4 << 10
	largestBlock = 64 << 10
)

// run is a piece of a read.
type run struct {
	records []record
	emptied bool // shows those that were scavenged too
	seen    int  // events gone over
	limit   int
	names   names
	blocks  blocks
}

// next empties r for the run that follows.
func (r *run) next() {
	clear(r.records)
	r.records = r.records[:0]
	r.seen = 0
	r.limit = min(max(firstRun, r.limit*runGrowth), longestRun)
	r.blocks.used = 0
}

func (r *run) full() bool {
	return len(r.records) >= r.limit || r.blocks.used >= maxRunBytes || r.seen >= maxRunSeen
}

func (r *run) add(position uint64, stored []byte) error {
	r.seen++
	if len(stored) > 0 && stored[0] == emptiedFormat && !r.emptied {
		return nil
	}
	rec, err := readRecord(position, r.blocks.clone(stored), &r.names)
	if err == nil {
		r.records = append(r.records, rec)
	}
	return err
}

// blocks copies many small slices into few allocations. Who keeps a slice keeps
// its block.
type blocks struct {
	block []byte
	size  int // of the next block
	used  int // bytes copied
}

func (b *blocks) clone(p []byte) []byte {
	if len(p) > cap(b.block)-len(b.block) {
		b.size = min(max(smallBlock, 4*b.size), largestBlock)
		b.block = make([]byte, 0, max(b.size, len(p)))
	}
	start := len(b.block)
	b.block = append(b.block, p...)
	b.used += len(p)
	return b.block[start:len(b.block):len(b.block)]
}

// readAll is described at engine.
func (s *store) readAll(ctx context.Context, backwards bool, from uint64) iter.Seq2[record, error] {
	return s.runs(ctx, backwards, from, false)
}

// scan yields every event from one position to another, those that were
// scavenged too.
func (s *store) scan(from, to uint64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for r, err := range s.runs(context.Background(), false, from, true) {
			if err == nil && r.Position > to || !yield(r, err) {
				return
			}
		}
	}
}

func (s *store) runs(ctx context.Context, backwards bool, from uint64, emptied bool) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		r := run{emptied: emptied}
		for {
			r.next()
			err := ctx.Err()
			if err == nil {
				err = s.read(func() (err error) { from, err = s.allRun(&r, backwards, from); return err })
			}
			for i := range r.records {
				if !yield(r.records[i], nil) {
					return
				}
			}
			if err != nil {
				yield(record{}, fmt.Errorf("read the log: %w", err))
				return
			}
			if r.seen == 0 {
				return
			}
		}
	}
}

// allRun fills r from a position on, and returns where the next run begins.
// Positions are dense: a gap is damage.
func (s *store) allRun(r *run, backwards bool, from uint64) (then uint64, err error) {
	first, end := max(from, 1), s.head()+1
	if backwards {
		first, end = 1, min(from, end)
	}
	if first >= end {
		return from, nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: appendEventKey(nil, first), UpperBound: appendEventKey(nil, end)})
	if err != nil {
		return from, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	start, next, want, step := it.First, it.Next, first, uint64(1)
	if backwards {
		start, next, want, step = it.Last, it.Prev, end-1, ^uint64(0)
	}
	for valid := start(); want >= first && want < end && !r.full(); valid = next() {
		if !valid {
			return from, errors.Join(it.Error(), fmt.Errorf("%w: the event at position %d is missing", ErrDamaged, want))
		}
		position, err := positionOf(it.Key())
		if err != nil {
			return from, err
		}
		if position != want {
			return from, fmt.Errorf("%w: the event at position %d is missing", ErrDamaged, want)
		}
		stored, err := it.ValueAndErr()
		if err != nil {
			return from, err
		}
		if err := r.add(position, stored); err != nil {
			return from, err
		}
		want += step
	}
	if backwards {
		want++ // exclusive
	}
	return want, nil
}

// readStream is described at engine.
func (s *store) readStream(ctx context.Context, stream string, backwards bool, from uint64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		c := cursor{stream: stream, backwards: backwards, from: from}
		c.index, c.isIndex = indexStream(stream)
		c.run.emptied = c.isIndex // its links stay
		for !c.done {
			c.run.next()
			err := ctx.Err()
			if err == nil {
				err = s.read(func() error { return s.streamRun(&c) })
			}
			for i := range c.run.records {
				if !yield(c.run.records[i], nil) {
					return
				}
			}
			if err != nil {
				yield(record{}, fmt.Errorf("read stream %s: %w", stream, err))
				return
			}
		}
	}
}

// cursor is a read of a stream on its way.
type cursor struct {
	stream    string
	backwards bool
	from      uint64 // next revision, inclusive
	index     posted // of an index stream
	isIndex   bool
	run       run
	entries   []entry
	done      bool
}

// streamRun reads the next entries of the index, and the events that they name.
func (s *store) streamRun(c *cursor) error {
	from := c.from
	return s.upToDate(func(upTo uint64) error {
		c.from = from
		return s.streamRunTo(c, upTo)
	})
}

func (s *store) streamRunTo(c *cursor, upTo uint64) error {
	var v view
	err := s.withIndex(func(x *index) (err error) {
		if v, err = s.view(x, c.stream, upTo); err == nil && !c.isIndex {
			err = c.look(v, func(b []entry, from, to uint64) ([]entry, error) {
				return x.between(b, c.stream, from, to, c.backwards, c.run.limit)
			})
		}
		return err
	})
	if err == nil && c.isIndex {
		err = s.postings.list(c.index, upTo, func(l *listing) error {
			return c.look(v, func(b []entry, from, to uint64) ([]entry, error) {
				return l.entries(b, from, to, c.backwards, c.run.limit)
			})
		})
	}
	if err != nil {
		return err
	}
	return s.fetch(c, v, upTo)
}

// look reads the next entries of the index.
func (c *cursor) look(v view, between func(b []entry, from, to uint64) ([]entry, error)) (err error) {
	const end = tombstoneRevision + 1
	first, to := max(c.from, v.TruncateBefore), uint64(end)
	if c.backwards {
		first = v.TruncateBefore
		to = min(c.from, end-1) + 1
	}
	c.entries = c.entries[:0]
	if first < to {
		c.entries, err = between(c.entries, first, to)
	}
	return err
}

// fetch reads the events of c.entries that are not beyond upTo nor too old.
func (s *store) fetch(c *cursor, v view, upTo uint64) (err error) {
	c.done = len(c.entries) < c.run.limit
	if len(c.entries) == 0 {
		return nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{eventKind}, UpperBound: []byte{eventKind + 1}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	oldest := s.now().Add(-v.maxAge)
	var key [eventKeyLen]byte
	for _, e := range c.entries {
		if c.run.full() {
			c.done = false
			return nil
		}
		c.from = e.revision + 1
		if c.backwards {
			c.from = e.revision - 1
			c.done = c.done || e.revision == 0
		}
		if e.position > upTo {
			if c.backwards {
				continue
			}
			c.done = true
			return nil
		}
		if !it.SeekGE(appendEventKey(key[:0], e.position)) || string(it.Key()) != string(key[:]) {
			return errors.Join(it.Error(), fmt.Errorf("%w: the event at position %d, revision %d of the stream, is missing", ErrDamaged, e.position, e.revision))
		}
		stored, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		before := len(c.run.records)
		if err := c.run.add(e.position, stored); err != nil {
			return err
		}
		if len(c.run.records) == before { // scavenged
			if _, meta := originalOf(c.stream); meta && !v.Tombstoned {
				return errReplaced // it was the only one to be seen
			}
			continue
		}
		got := &c.run.records[before]
		if c.isIndex {
			*got = linkTo(c.stream, c.index, e.revision, got)
		}
		if got.Stream != c.stream || got.Revision != e.revision {
			return fmt.Errorf("%w: position %d holds revision %d of %s", ErrDamaged, e.position, got.Revision, got.Stream)
		}
		if v.maxAge > 0 && got.Created.Before(oldest) {
			c.run.records = c.run.records[:len(c.run.records)-1]
			if c.backwards { // what is left is older
				c.done = true
				return nil
			}
		}
	}
	return nil
}
