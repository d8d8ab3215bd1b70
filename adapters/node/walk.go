package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// walkRun is how many entries of the index are read before Pebble's tables are
// let go.
const walkRun = 4096

// indexWalk goes over the whole index: stream by stream, shorter names first,
// each by revision, its tombstone last. Entries beyond position upTo are left
// out.
type indexWalk struct {
	store  *store
	upTo   uint64
	next   []byte // key to go on at; nil: the end
	names  names
	walked []walked
}

// walked is an entry on the way.
type walked struct {
	stream string
	entry
}

func (s *store) walkIndex(upTo uint64) *indexWalk {
	return &indexWalk{store: s, upTo: upTo, next: []byte{streamKind}}
}

// run returns the entries that come next, none at the end. They are good until
// it is called again.
func (w *indexWalk) run(ctx context.Context) ([]walked, error) {
	for w.walked = w.walked[:0]; len(w.walked) == 0 && w.next != nil; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := w.store.read(w.readSome); err != nil {
			return nil, fmt.Errorf("read the index of streams: %w", err)
		}
	}
	return w.walked, nil
}

func (w *indexWalk) readSome() (err error) {
	it, err := w.store.db.NewIter(&pebble.IterOptions{LowerBound: w.next, UpperBound: []byte{streamKind + 1}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n > walkRun {
			w.next = bytes.Clone(it.Key())
			return nil
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		e, err := indexEntry(it.Key(), value)
		if err != nil {
			return err
		}
		stream, err := streamOfKey(it.Key())
		if err != nil {
			return err
		}
		if e.position <= w.upTo {
			w.walked = append(w.walked, walked{w.names.of(stream), e})
		}
	}
	w.next = nil
	return it.Error()
}

// streamOfKey reads the stream's name out of an index key.
func streamOfKey(key []byte) ([]byte, error) {
	name := key[3 : len(key)-8]
	if int(binary.BigEndian.Uint16(key[1:])) != len(name) {
		return nil, fmt.Errorf("%w: index entry %x is malformed", ErrDamaged, key)
	}
	return name, nil
}
