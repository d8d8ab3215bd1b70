package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
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
	if keys == nil { // it was null
		keys = map[string]json.RawMessage{}
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
	err := s.read(func() error {
		return s.upToDate(func(upTo uint64) error {
			return s.withIndex(func(x *index) (err error) {
				v, err = s.view(x, stream, upTo)
				return err
			})
		})
	})
	if err != nil {
		return streamState{}, fmt.Errorf("state of stream %s: %w", stream, err)
	}
	return v.streamState, nil
}

// errReplaced: where the log ended for the reader, the metadata it found was the
// newest, but a scavenge has taken it. So the log does not end there any more.
var errReplaced = errors.New("the metadata was replaced and scavenged")

// upToDate lets f look at the log up to its head, again when the reader was so
// slow that a scavenge took what it needed. That begins with what is published
// (scavenge.run), so the head has moved.
func (s *store) upToDate(f func(upTo uint64) error) error {
	for {
		upTo := s.head()
		if err := f(upTo); !errors.Is(err, errReplaced) {
			return err
		}
		if s.head() == upTo {
			return fmt.Errorf("%w: a stream's metadata was scavenged, and none follows", ErrDamaged)
		}
	}
}

// view looks at a stream as it was when the log ended at position upTo.
func (s *store) view(x *index, stream string, upTo uint64) (view, error) {
	v := view{streamState: streamState{Last: -1}}
	original, isMeta := originalOf(stream)
	if !isMeta {
		original = stream
	}
	tombstone, ok, err := x.at(original, tombstoneRevision)
	if err != nil {
		return v, err
	}
	if ok && tombstone.position <= upTo {
		v.Tombstoned, v.Last = true, tombstoneRevision
		return v, nil
	}
	if v.Last, err = s.lastRevision(x, stream, upTo); err != nil {
		return v, err
	}
	v.Exists = v.Last >= 0
	if isMeta {
		// Of a metastream only the newest event shows, as with $maxCount 1
		// (EventStoreDB: MetaStreamMaxCount).
		v.TruncateBefore = uint64(max(v.Last, 0))
		return v, nil
	}
	data, ok, err := s.newestMetadata(x, stream, upTo)
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

// lastRevision is of a stream's newest event, -1 when it has none.
func (s *store) lastRevision(x *index, stream string, upTo uint64) (last int64, err error) {
	if name, ok := indexStream(stream); ok {
		err := s.postings.list(name, upTo, func(l *listing) error {
			last = int64(l.count()) - 1
			return nil
		})
		return last, err
	}
	e, ok, err := x.last(stream, upTo)
	if err != nil || !ok {
		return -1, err
	}
	return int64(e.revision), nil
}

// newestMetadata reads the newest event of a stream's metastream, not beyond
// position upTo.
func (s *store) newestMetadata(x *index, stream string, upTo uint64) (data []byte, ok bool, err error) {
	e, ok, err := x.last(metastreamOf(stream), upTo)
	if err != nil || !ok {
		return nil, false, err
	}
	r, err := s.event(e.position)
	if err == nil && r.emptied {
		err = errReplaced
	}
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
