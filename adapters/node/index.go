package node

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// index looks up which events a stream has, as Pebble was when the index was
// opened. Not for concurrent use.
type index struct {
	it  *pebble.Iterator
	key []byte
}

func (s *store) openIndex() (*index, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{streamKind},
		UpperBound: []byte{streamKind + 1},
		// Most look-ups are of streams that do not exist yet. By default
		// Pebble does not ask the Bloom filters of the bottom level, where
		// nearly all of the log is.
		UseL6Filters: true,
	})
	if err != nil {
		return nil, err
	}
	return &index{it: it}, nil
}

func (x *index) close() error { return x.it.Close() }

// withIndex opens an index for f.
func (s *store) withIndex(f func(*index) error) error {
	x, err := s.openIndex()
	if err != nil {
		return err
	}
	return errors.Join(f(x), x.close())
}

// at reads the entry of one revision.
func (x *index) at(stream string, revision uint64) (entry, bool, error) {
	x.key = appendIndexKey(x.key[:0], stream, revision)
	if !x.it.SeekPrefixGE(x.key) || !bytes.Equal(x.it.Key(), x.key) {
		return entry{}, false, x.it.Error()
	}
	return x.entry()
}

// last finds a stream's last event, not beyond position upTo and not its
// tombstone.
func (x *index) last(stream string, upTo uint64) (entry, bool, error) {
	// Revisions are dense from 0, so this tells whether there is any.
	first, ok, err := x.at(stream, 0)
	if err != nil || !ok || first.position > upTo {
		return entry{}, false, err
	}
	x.key = appendIndexKey(x.key[:0], stream, tombstoneRevision)
	for ok := x.it.SeekLT(x.key); ok; ok = x.it.Prev() {
		if e, ok, err := x.entry(); !ok || e.position <= upTo {
			return e, ok, err
		}
	}
	return entry{}, false, x.it.Error()
}

// between appends to b the entries of a stream with from <= revision < to, at
// most limit of them.
func (x *index) between(b []entry, stream string, from, to uint64, backwards bool, limit int) ([]entry, error) {
	seek, next, at := x.it.SeekGE, x.it.Next, from
	if backwards {
		seek, next, at = x.it.SeekLT, x.it.Prev, to
	}
	x.key = appendIndexKey(x.key[:0], stream, at)
	name := x.key[:len(x.key)-8]
	for ok := seek(x.key); ok && limit > 0 && bytes.HasPrefix(x.it.Key(), name); ok = next() {
		e, _, err := x.entry()
		if err != nil || e.revision < from || e.revision >= to {
			return b, err
		}
		b = append(b, e)
		limit--
	}
	return b, x.it.Error()
}

// entry reads the entry that the iterator is at.
func (x *index) entry() (entry, bool, error) {
	value, err := x.it.ValueAndErr()
	if err != nil {
		return entry{}, false, err
	}
	e, err := indexEntry(x.it.Key(), value)
	return e, err == nil, err
}
