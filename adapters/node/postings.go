package node

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// postings is the index behind the index streams: for each of them the positions
// of its events, in order. The newest stand in memory; now and then they are
// written to Pebble in blocks, one for each stream that got any. What was in
// memory at a crash is found again in the log, so nothing of this is synced.
//
//	committer goroutine: add the events of a durable batch → publish → …
//	                                └─ when there are many: flush, in the background
type postings struct {
	*store

	mu     sync.RWMutex
	young  window // being filled
	old    window // being written to Pebble
	idle   sync.Cond
	failed error // of a flush; the log is closed then
}

// window is a run of events in the index.
type window struct {
	to    uint64 // position of the last event
	count int    // entries
	lists map[posted][]uint64
}

// flushAfter is how many entries, three or so for an event, are kept in memory
// before they are written: some 2 MiB.
const flushAfter = 1 << 17

const indexFormat = 1

// maxBlock bounds the positions in one block, so that reading one number reads
// little.
const maxBlock = 1024

func newPostings(s *store) *postings {
	p := &postings{store: s}
	p.young.lists = map[posted][]uint64{}
	p.idle.L = &p.mu
	return p
}

// add files events that follow on those before. It is called before a reader can
// see them, and waits while two windows are full.
func (p *postings) add(events []filed) {
	if len(events) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range events {
		e := &events[i]
		e.file(func(to posted) {
			p.young.lists[to] = append(p.young.lists[to], e.position)
			p.young.count++
		})
	}
	p.young.to = events[len(events)-1].position
	if p.young.count < p.flushAfter || p.failed != nil || p.readOnly {
		return
	}
	p.rotate()
}

// rotate lets the young window be written, once the old one is.
func (p *postings) rotate() {
	for p.old.lists != nil {
		p.idle.Wait()
	}
	p.old, p.young = p.young, window{to: p.young.to, lists: map[posted][]uint64{}}
	go p.flush() // p.idle tells when it has ended
}

// settle writes everything that is filed, certain to be there after a crash, and
// returns up to which position that is.
func (p *postings) settle() (upTo uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	upTo = p.young.to
	p.rotate()
	for p.old.lists != nil {
		p.idle.Wait()
	}
	if p.failed != nil {
		return 0, p.failed
	}
	return upTo, p.syncLog(p.applyNoWait)
}

// flush writes the old window. A failed write ends the process in Pebble; what
// can fail here is reading the blocks before.
func (p *postings) flush() {
	batch, err := p.blocks()
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.idle.Broadcast()
	if err == nil {
		// A reader that holds p.mu sees the window or its blocks, never both.
		err = errors.Join(p.apply(batch, pebble.NoSync), batch.Close())
	}
	if err != nil {
		p.Logger.Error("the index of categories and types cannot be written; it is read from memory until the next start", "dir", p.Dir, "err", err)
		p.failed = err
		for to, list := range p.young.lists {
			p.old.lists[to] = append(p.old.lists[to], list...)
		}
		p.young.lists, p.young.count = p.old.lists, 0
	}
	p.old = window{}
}

// blocks are what the old window is written as.
func (p *postings) blocks() (*pebble.Batch, error) {
	batch := p.db.NewBatch()
	names := slices.SortedFunc(maps.Keys(p.old.lists), func(a, b posted) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	err := p.withBlocks(func(x *blockReader) error {
		for _, name := range names {
			number, err := x.count(name, math.MaxUint64)
			if err != nil {
				return err
			}
			for block := range slices.Chunk(p.old.lists[name], maxBlock) {
				if err := batch.Set(appendPostingKey(nil, name, number), encodeBlock(block), nil); err != nil {
					return err
				}
				number += uint64(len(block))
			}
		}
		return nil
	})
	if err == nil {
		err = batch.Set(indexKey, binary.BigEndian.AppendUint64([]byte{indexFormat}, p.old.to), nil)
	}
	return batch, err
}

func appendPostingKey(b []byte, name posted, number uint64) []byte {
	b = append(b, postingKind, name.kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name.name)))
	return binary.BigEndian.AppendUint64(append(b, name.name...), number)
}

// A block is how many positions, the first of them, and the distance of each
// following from the one before, as varints.
func encodeBlock(positions []uint64) []byte {
	b := binary.AppendUvarint(nil, uint64(len(positions)))
	last := uint64(0)
	for _, p := range positions {
		b = binary.AppendUvarint(b, p-last)
		last = p
	}
	return b
}

func decodeBlock(b []byte) ([]uint64, error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n == 0 || n > maxBlock {
		return nil, fmt.Errorf("%w: a block of the index is malformed", ErrDamaged)
	}
	b = b[used:]
	positions := make([]uint64, n)
	last := uint64(0)
	for i := range positions {
		d, used := binary.Uvarint(b)
		if used <= 0 || d == 0 || last+d < last {
			return nil, fmt.Errorf("%w: a block of the index is malformed", ErrDamaged)
		}
		b = b[used:]
		last += d
		positions[i] = last
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: a block of the index is malformed", ErrDamaged)
	}
	return positions, nil
}

// blockReader reads blocks as Pebble was when it was opened.
type blockReader struct {
	it  *pebble.Iterator
	key []byte
}

func (p *postings) openBlocks() (*pebble.Iterator, error) {
	return p.db.NewIter(&pebble.IterOptions{LowerBound: []byte{postingKind}, UpperBound: []byte{postingKind + 1}, UseL6Filters: true})
}

func (p *postings) withBlocks(f func(*blockReader) error) error {
	it, err := p.openBlocks()
	if err != nil {
		return err
	}
	return errors.Join(f(&blockReader{it: it}), it.Close())
}

// count is how many events of an index stream are in blocks, not beyond a
// position.
func (x *blockReader) count(name posted, upTo uint64) (uint64, error) {
	x.key = appendPostingKey(x.key[:0], name, 0)
	// Most correlation ids are new: the Bloom filter knows.
	if !x.it.SeekPrefixGE(x.key) || !bytes.Equal(x.it.Key(), x.key) {
		return 0, x.it.Error()
	}
	for last := ^uint64(0); ; {
		first, positions, ok, err := x.before(name, last)
		if err != nil || !ok {
			return 0, err
		}
		if n := countUpTo(positions, upTo); n > 0 || first == 0 {
			return first + uint64(n), nil
		}
		last = first - 1
	}
}

// countUpTo is how many positions are not beyond one.
func countUpTo(positions []uint64, upTo uint64) int {
	return sort.Search(len(positions), func(i int) bool { return positions[i] > upTo })
}

// before reads the last block of an index stream that begins at or before a
// number.
func (x *blockReader) before(name posted, number uint64) (first uint64, positions []uint64, ok bool, err error) {
	x.key = appendPostingKey(x.key[:0], name, number)
	prefix := x.key[:len(x.key)-8]
	if number != ^uint64(0) {
		x.key = append(x.key, 0) // itself included
	}
	if !x.it.SeekLT(x.key) || !bytes.HasPrefix(x.it.Key(), prefix) || len(x.it.Key()) != len(prefix)+8 {
		return 0, nil, false, x.it.Error()
	}
	value, err := x.it.ValueAndErr()
	if err != nil {
		return 0, nil, false, err
	}
	first = binary.BigEndian.Uint64(x.it.Key()[len(prefix):])
	positions, err = decodeBlock(value)
	return first, positions, err == nil, err
}

// listing is an index stream as it was when the log ended at some position: what
// is in blocks, and what the two windows have, in this order.
type listing struct {
	name    posted
	x       *blockReader
	blocks  uint64      // how many numbers stand in blocks
	windows [2][]uint64 // positions; these slices only grow beyond their length
}

func (l *listing) count() uint64 {
	return l.blocks + uint64(len(l.windows[0])+len(l.windows[1]))
}

// list looks at an index stream, not beyond position upTo, and lets f read it.
func (p *postings) list(name posted, upTo uint64, f func(*listing) error) error {
	l := &listing{name: name}
	p.mu.RLock()
	l.windows = [2][]uint64{p.old.lists[name], p.young.lists[name]}
	it, err := p.openBlocks() // of the same moment as the windows
	p.mu.RUnlock()
	if err != nil {
		return err
	}
	l.x = &blockReader{it: it}
	if l.blocks, err = l.x.count(name, upTo); err == nil {
		for i, w := range l.windows {
			l.windows[i] = w[:countUpTo(w, upTo)]
		}
		err = f(l)
	}
	return errors.Join(err, it.Close())
}

// around returns a run of positions that has a number, and the number of its
// first.
func (l *listing) around(number uint64) (first uint64, run []uint64, err error) {
	if number < l.blocks {
		first, run, ok, err := l.x.before(l.name, number)
		if err == nil && (!ok || number-first >= uint64(len(run))) {
			err = fmt.Errorf("%w: the index has lost number %d of a stream", ErrDamaged, number)
		}
		return first, run, err
	}
	if n := uint64(len(l.windows[0])); number >= l.blocks+n {
		return l.blocks + n, l.windows[1], nil
	}
	return l.blocks, l.windows[0], nil
}

// entries appends to b the events with the numbers from <= number < to, at most
// limit of them, in either direction.
func (l *listing) entries(b []entry, from, to uint64, backwards bool, limit int) ([]entry, error) {
	to = min(to, l.count())
	for from < to && limit > 0 {
		at := from
		if backwards {
			at = to - 1
		}
		first, run, err := l.around(at)
		if err != nil {
			return b, err
		}
		for ; limit > 0 && from < to && at >= first && at-first < uint64(len(run)); limit-- {
			b = append(b, entry{revision: at, position: run[at-first]})
			if !backwards {
				from++
				at++
			} else {
				to--
				at-- // may go below 0 when to is 0, which ends the loop
			}
		}
	}
	return b, nil
}

// recoverIndex files what is in the log and not in Pebble's blocks.
func (p *postings) recoverIndex(head uint64) error {
	value, closer, err := p.db.Get(indexKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		if head > uint64(p.flushAfter) {
			p.Logger.Info("the log has no index of categories and types yet; it is being made, once", "dir", p.Dir, "events", head)
		}
	case err != nil:
		return fmt.Errorf("read how far the index is: %w", err)
	default:
		if len(value) != 9 || value[0] != indexFormat {
			err = fmt.Errorf("%s has an index in a format that this program does not know (%x): open it with the program that wrote it, or a newer one", p.Dir, value)
		} else if p.young.to = binary.BigEndian.Uint64(value[1:]); p.young.to > head {
			err = fmt.Errorf("%w: its index goes up to position %d but it ends at %d", ErrDamaged, p.young.to, head)
		}
		if err = errors.Join(err, closer.Close()); err != nil {
			return err
		}
	}
	return p.fileFrom(p.young.to+1, head)
}

// fileRun is how many events are filed together when the index is made.
const fileRun = 4096

func (p *postings) fileFrom(from, head uint64) error {
	run := make([]filed, 0, fileRun)
	flush := func() error {
		p.add(run)
		run = run[:0]
		p.mu.RLock()
		defer p.mu.RUnlock()
		return p.failed
	}
	for r, err := range p.scan(from, head) {
		if err != nil {
			return err
		}
		run = append(run, filed{entry{r.Revision, r.Position, r.ID}, r.Stream, r.Type, r.Data, r.Metadata})
		if len(run) == fileRun {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// close writes what is in memory, so that the next start need not look for it.
// Nothing is added any more.
func (p *postings) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.young.count > 0 && p.failed == nil && !p.readOnly {
		p.rotate()
	}
	for p.old.lists != nil {
		p.idle.Wait()
	}
}
