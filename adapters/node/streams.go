package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// streamMetadata is what a metastream's newest event says about its stream, as far as
// the engine heeds it.
type streamMetadata struct {
	truncateBefore uint64        // $tb
	maxCount       uint64        // $maxCount; 0: no bound
	maxAge         time.Duration // $maxAge; 0: no bound
}

// maxAgeSeconds is the longest $maxAge that fits a time.Duration.
const maxAgeSeconds = int64(1<<63-1) / int64(time.Second)

// parseMetadata takes what it understands: a stream does not become unreadable
// because somebody wrote nonsense about it.
func parseMetadata(data []byte) streamMetadata {
	var keys map[string]json.RawMessage
	if json.Unmarshal(data, &keys) != nil {
		return streamMetadata{}
	}
	number := func(key string) uint64 {
		var n int64
		if json.Unmarshal(keys[key], &n) != nil || n < 0 {
			return 0
		}
		return uint64(n)
	}
	m := streamMetadata{truncateBefore: number("$tb"), maxCount: number("$maxCount")}
	m.maxAge = time.Duration(min(int64(number("$maxAge")), maxAgeSeconds)) * time.Second
	return m
}

// withTruncateBefore sets $tb and keeps the other keys.
func withTruncateBefore(data []byte, revision uint64) ([]byte, error) {
	keys := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, fmt.Errorf("metadata of a deleted stream: %w", err)
	}
	keys["$tb"] = fmt.Appendf(nil, "%d", revision)
	return json.Marshal(keys)
}

// view is what a reader sees of a stream at some head.
type view struct {
	streamState
	maxAge time.Duration
}

// state is described at engine.
func (s *store) state(stream string) (streamState, error) {
	var v view
	err := s.read(func() (err error) {
		v, err = s.view(stream, s.head())
		return err
	})
	if err != nil {
		return streamState{}, fmt.Errorf("state of stream %s: %w", stream, err)
	}
	return v.streamState, nil
}

// view looks at a stream as it was when the log ended at position upTo.
func (s *store) view(stream string, upTo uint64) (view, error) {
	v := view{streamState: streamState{Last: -1}}
	original, isMeta := originalOf(stream)
	if !isMeta {
		original = stream
	}
	tombstone, ok, err := s.indexAt(original, tombstoneRevision)
	if err != nil {
		return v, err
	}
	if ok && tombstone.position <= upTo {
		v.Tombstoned, v.Last = true, tombstoneRevision
		return v, nil
	}
	last, ok, err := s.lastEntry(stream, upTo)
	if err != nil {
		return v, err
	}
	if ok {
		v.Last, v.Exists = int64(last.revision), true
	}
	if isMeta {
		// Of a metastream only the newest event shows, as with $maxCount 1
		// (EventStoreDB: MetaStreamMaxCount).
		v.TruncateBefore = uint64(max(v.Last, 0))
		return v, nil
	}
	data, ok, err := s.newestMetadata(stream, upTo)
	if err != nil || !ok {
		return v, err
	}
	m := parseMetadata(data)
	v.TruncateBefore, v.maxAge = m.truncateBefore, m.maxAge
	if m.truncateBefore == tombstoneRevision {
		v.Exists = false
	} else if m.maxCount > 0 && v.Last >= 0 && uint64(v.Last)+1 > m.maxCount {
		v.TruncateBefore = max(v.TruncateBefore, uint64(v.Last)+1-m.maxCount)
	}
	return v, nil
}

// newestMetadata reads the newest event of a stream's metastream, not beyond
// position upTo.
func (s *store) newestMetadata(stream string, upTo uint64) (data []byte, ok bool, err error) {
	name := metastreamOf(stream)
	e, ok, err := s.lastEntry(name, upTo)
	if err != nil || !ok {
		return nil, false, err
	}
	r, err := s.event(e.position)
	return r.Data, err == nil, err
}

// event reads the event at a position.
func (s *store) event(position uint64) (record, error) {
	value, closer, err := s.db.Get(appendEventKey(nil, position))
	if err != nil {
		return record{}, fmt.Errorf("%w: event at position %d: %w", ErrDamaged, position, err)
	}
	defer closer.Close()
	return readRecord(position, append([]byte{}, value...), nil)
}

// indexAt reads the entry of one revision. A stream that never had it costs a
// look at Bloom filters.
func (s *store) indexAt(stream string, revision uint64) (entry, bool, error) {
	key := appendIndexKey(make([]byte, 0, indexKeyRest+len(stream)), stream, revision)
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, err
	}
	defer closer.Close()
	e, err := indexEntry(key, value)
	return e, err == nil, err
}

// lastEntry finds a stream's last event, not beyond position upTo and not its
// tombstone.
func (s *store) lastEntry(stream string, upTo uint64) (entry, bool, error) {
	// Revisions are dense from 0, and most look-ups are of streams to be.
	first, ok, err := s.indexAt(stream, 0)
	if err != nil || !ok || first.position > upTo {
		return entry{}, false, err
	}
	it, err := s.indexIter(stream, 0, tombstoneRevision)
	if err != nil {
		return entry{}, false, err
	}
	for valid := it.Last(); valid; valid = it.Prev() {
		e, err := indexEntry(it.Key(), it.Value())
		if err != nil || e.position <= upTo {
			return e, err == nil, errors.Join(err, it.Close())
		}
	}
	return entry{}, false, errors.Join(it.Error(), it.Close())
}

// indexIter goes over the entries of a stream with from <= revision < to.
func (s *store) indexIter(stream string, from, to uint64) (*pebble.Iterator, error) {
	return s.db.NewIter(&pebble.IterOptions{
		LowerBound: appendIndexKey(nil, stream, from),
		UpperBound: appendIndexKey(nil, stream, to),
	})
}

// indexRange appends to b the entries of a stream with from <= revision < to,
// at most limit of them.
func (s *store) indexRange(b []entry, stream string, from, to uint64, backwards bool, limit int) (_ []entry, err error) {
	it, err := s.indexIter(stream, from, to)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, it.Error(), it.Close()) }()
	start, next := it.First, it.Next
	if backwards {
		start, next = it.Last, it.Prev
	}
	for valid := start(); valid && limit > 0; valid = next() {
		e, err := indexEntry(it.Key(), it.Value())
		if err != nil {
			return b, err
		}
		b = append(b, e)
		limit--
	}
	return b, nil
}
