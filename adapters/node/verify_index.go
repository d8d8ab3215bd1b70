package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"
)

// The indexes follow from the events. To verify them the log is gone through
// once and each index once, and what they say is compared as two sums of hashes:
// one says nothing of which entry is wrong, and it takes no memory.

// indexSum is a sum over index entries, in any order.
type indexSum struct {
	seed  maphash.Seed
	count uint64
	sum   uint64
	buf   []byte
}

func (t *indexSum) add(key []byte, position uint64) {
	t.buf = binary.BigEndian.AppendUint64(append(t.buf[:0], key...), position)
	t.count++
	t.sum += bits.RotateLeft64(maphash.Bytes(t.seed, t.buf), 7)
}

func (t *indexSum) differs(what string, from *indexSum) error {
	if t.count != from.count || t.sum != from.sum {
		return fmt.Errorf("%w: the index of %s does not follow from the events (%d entries, %d are due)", ErrDamaged, what, t.count, from.count)
	}
	return nil
}

// positionSet is a set of places in the log.
type positionSet []uint64

func (s positionSet) has(p uint64) bool {
	return p/64 < uint64(len(s)) && s[p/64]>>(p%64)&1 == 1
}

func (s *positionSet) add(p uint64) {
	for p/64 >= uint64(len(*s)) {
		*s = append(*s, 0)
	}
	(*s)[p/64] |= 1 << (p % 64)
}

// verifyIndexes compares the indexes with the events up to a position.
func (s *store) verifyIndexes(ctx context.Context, upTo uint64) error {
	v := indexVerifier{store: s, ctx: ctx, upTo: upTo}
	seed := maphash.MakeSeed()
	for _, t := range []*indexSum{&v.streams, &v.postings, &v.dueStreams, &v.duePostings} {
		t.seed = seed
	}
	for _, step := range []func() error{v.due, v.streamIndex, v.postingIndex, v.dueError} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type indexVerifier struct {
	*store
	ctx  context.Context
	upTo uint64

	streams, dueStreams   indexSum
	postings, duePostings indexSum
	// scavenged events do not tell any more in which index streams they stand.
	scavenged positionSet
}

func (v *indexVerifier) dueError() error {
	return errors.Join(v.streams.differs("streams", &v.dueStreams), v.postings.differs("categories and types", &v.duePostings))
}

// due goes through the events.
func (v *indexVerifier) due() error {
	var key []byte
	for r, err := range v.scan(1, v.upTo) {
		if err != nil {
			return err
		}
		if err := v.ctx.Err(); err != nil {
			return err
		}
		key = append(appendIndexKey(key[:0], r.Stream, r.Revision), r.ID[:]...)
		v.dueStreams.add(key, r.Position)
		if r.emptied {
			v.scavenged.add(r.Position)
			continue
		}
		f := filed{entry{r.Revision, r.Position, r.ID}, r.Stream, r.Type, r.Data, r.Metadata}
		f.file(func(to posted) {
			key = appendPostingKey(key[:0], to, 0)
			v.duePostings.add(key[:len(key)-8], r.Position)
		})
	}
	return nil
}

func (v *indexVerifier) streamIndex() error {
	var key []byte
	return v.keys(streamKind, func(k, value []byte) error {
		e, err := indexEntry(k, value)
		if err != nil || e.position > v.upTo {
			return err
		}
		key = append(append(key[:0], k...), e.id[:]...)
		v.streams.add(key, e.position)
		return nil
	})
}

func (v *indexVerifier) postingIndex() error { return v.read(v.allPostings) }

func (v *indexVerifier) allPostings() (err error) {
	p := v.store.postings
	add := func(name []byte, positions []uint64) {
		for _, at := range positions {
			if at <= v.upTo && !v.scavenged.has(at) {
				v.postings.add(name, at)
			}
		}
	}
	// Blocks and windows of one moment, as a reader sees them.
	p.mu.RLock()
	it, err := p.openBlocks()
	if err == nil {
		for _, w := range []*window{&p.old, &p.young} {
			for name, positions := range w.lists {
				key := appendPostingKey(nil, name, 0)
				add(key[:len(key)-8], positions)
			}
		}
	}
	p.mu.RUnlock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var name []byte
	next := uint64(0)
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return damage(err)
		}
		positions, err := decodeBlock(value)
		if err != nil {
			return err
		}
		of := it.Key()[:len(it.Key())-8]
		if !bytes.Equal(of, name) {
			name, next = append(name[:0], of...), 0
		}
		if number := binary.BigEndian.Uint64(it.Key()[len(of):]); number != next {
			return fmt.Errorf("%w: in the index of categories and types, number %d follows on %d", ErrDamaged, number, next)
		}
		next += uint64(len(positions))
		add(name, positions)
	}
	return damage(it.Error())
}

// keys calls f for all keys of a kind, in runs.
func (v *indexVerifier) keys(kind byte, f func(key, value []byte) error) error {
	from, to := []byte{kind}, []byte{kind + 1}
	for from != nil {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		err := v.read(func() (err error) {
			it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, it.Close()) }()
			ok := it.First()
			for n := 0; ok && n < verifyRun; n++ {
				value, err := it.ValueAndErr()
				if err != nil {
					return err
				}
				if err := f(it.Key(), value); err != nil {
					return err
				}
				ok = it.Next()
			}
			from = nil
			if ok {
				from = bytes.Clone(it.Key())
			}
			return it.Error()
		})
		if err != nil {
			return err
		}
	}
	return nil
}
