package node

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/google/uuid"
)

// What is in Pebble, by the first byte of the key. Numbers are big-endian, so
// that the order of keys is the order of numbers.
//
//	e position              → the event as stored (record.go)
//	r position              → root of the chain over events 1…position, at the end of each batch
//	s len(name) name rev    → position and id of the event with that revision in stream name
//	x kind len(name) name n → positions of the events with the numbers n… in an index stream (postings.go)
//	m "log"                 → format of the above and the id of the log
//	m "index"               → format of x, and the position up to which it is written
//
// Nothing is overwritten or deleted, but for the events that a scavenge empties
// (scavenge.go), and every key that a reader follows ends at a position. So a
// consistent view is one number: the head.
const (
	eventKind   = 'e'
	rootKind    = 'r'
	streamKind  = 's'
	postingKind = 'x'
	metaKind    = 'm'
)

// tombstoneRevision is the revision of the "$streamDeleted" event that closes a
// stream for good, and the $tb of a soft-deleted one
// (EventStoreDB: EventNumber.DeletedStream).
const tombstoneRevision = math.MaxInt64

// Types of events that the log gives a meaning.
const (
	tombstoneType     = "$streamDeleted"
	metadataEventType = "$metadata"
)

// softDeletedMetadata hides all of a stream.
const softDeletedMetadata = `{"$tb":9223372036854775807}`

// maxStreamName bounds a stream's name in bytes, as it is part of index keys.
const maxStreamName = 1 << 10

const (
	eventKeyLen  = 1 + 8
	rootKeyLen   = 1 + 8
	indexValLen  = 8 + 16
	rootLen      = 32
	indexKeyRest = 1 + 2 + 8
)

var (
	logKey   = []byte{metaKind, 'l', 'o', 'g'}
	indexKey = []byte{metaKind, 'i', 'n', 'd', 'e', 'x'}
)

func appendEventKey(b []byte, position uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, eventKind), position)
}

func appendRootKey(b []byte, position uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, rootKind), position)
}

// positionOf reads the position out of an event's or a root's key.
func positionOf(key []byte) (uint64, error) {
	if len(key) != eventKeyLen {
		return 0, fmt.Errorf("%w: key %x has no position", ErrDamaged, key)
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

func appendIndexKey(b []byte, stream string, revision uint64) []byte {
	b = binary.BigEndian.AppendUint16(append(b, streamKind), uint16(len(stream)))
	return binary.BigEndian.AppendUint64(append(b, stream...), revision)
}

// entry is what the index holds of an event.
type entry struct {
	revision uint64
	position uint64
	id       uuid.UUID
}

func putIndexValue(b []byte, e entry) {
	binary.BigEndian.PutUint64(b, e.position)
	copy(b[8:], e.id[:])
}

// indexEntry reads an entry; the revision ends the key.
func indexEntry(key, value []byte) (entry, error) {
	if len(key) < indexKeyRest || len(value) != indexValLen {
		return entry{}, fmt.Errorf("%w: index entry %x is malformed", ErrDamaged, key)
	}
	return entry{
		revision: binary.BigEndian.Uint64(key[len(key)-8:]),
		position: binary.BigEndian.Uint64(value),
		id:       uuid.UUID(value[8:]),
	}, nil
}

// metastreamOf names the stream that holds a stream's metadata.
func metastreamOf(stream string) string { return "$$" + stream }

// originalOf tells which stream a metastream describes.
func originalOf(stream string) (string, bool) { return strings.CutPrefix(stream, "$$") }

// checkStreamName refuses names that no stream can have.
func checkStreamName(stream string) error {
	switch {
	case stream == "" || stream == "$$":
		return fmt.Errorf("stream name %q: a stream needs a name", stream)
	case strings.HasPrefix(stream, "$$$$"):
		return fmt.Errorf("stream name %q: a metastream has no metadata of its own", stream)
	case len(stream) > maxStreamName:
		return fmt.Errorf("stream name of %d bytes starting %q: the longest allowed has %d", len(stream), stream[:32], maxStreamName)
	}
	return nil
}
