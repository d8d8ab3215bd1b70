package node

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"time"
)

// An event as stored. The position is the key. The bytes are what the chain of
// roots is computed over, so this format is for ever; a new one gets a new
// first byte and is read beside this one.
//
//	1 byte    format, 1
//	1 byte    flags: 1 = the data is JSON
//	8 bytes   created, in 100 ns since 1970 (the protocol's unit)
//	8 bytes   revision
//	16 bytes  id
//	uvarint   length of the stream's name, and the name
//	uvarint   length of the type, and the type
//	uvarint   length of the data, and the data
//	rest      metadata
//
// A scavenge empties an event (scavenge.go): in the place of data and metadata it
// leaves the SHA-256 of the event as it was stored, by which the chain of roots
// still holds.
//
//	1 byte    format, 2
//	          the same, up to the type
//	32 bytes  hash
const (
	recordFormat   = 1
	emptiedFormat  = 2
	recordFixedLen = 1 + 1 + 8 + 8 + 16
	flagJSON       = 1
)

// Content types of the protocol; everything that is not JSON is octets to it.
const (
	jsonContent  = "application/json"
	octetContent = "application/octet-stream"
)

func uvarintLen(n int) int {
	l := 1
	for ; n >= 0x80; n >>= 7 {
		l++
	}
	return l
}

func recordLen(stream string, p *proposed) int {
	return recordFixedLen +
		uvarintLen(len(stream)) + len(stream) +
		uvarintLen(len(p.Type)) + len(p.Type) +
		uvarintLen(len(p.Data)) + len(p.Data) +
		len(p.Metadata)
}

// putRecord writes an event into b, which is recordLen long.
func putRecord(b []byte, stream string, revision uint64, created int64, p *proposed) {
	flags := byte(0)
	if p.ContentType == jsonContent {
		flags = flagJSON
	}
	b = append(b[:0], recordFormat, flags)
	b = binary.BigEndian.AppendUint64(b, uint64(created))
	b = binary.BigEndian.AppendUint64(b, revision)
	b = append(b, p.ID[:]...)
	b = append(binary.AppendUvarint(b, uint64(len(stream))), stream...)
	b = append(binary.AppendUvarint(b, uint64(len(p.Type))), p.Type...)
	b = append(binary.AppendUvarint(b, uint64(len(p.Data))), p.Data...)
	_ = append(b, p.Metadata...)
}

// readRecord reads a stored event. Data and Metadata share b, which must not
// change any more. names may be nil.
func readRecord(position uint64, b []byte, names *names) (record, error) {
	var r record
	if len(b) < recordFixedLen || b[0] != recordFormat && b[0] != emptiedFormat || b[1]&^flagJSON != 0 {
		return r, fmt.Errorf("%w: the event at position %d is not of a known format", ErrDamaged, position)
	}
	r.Position = position
	r.emptied = b[0] == emptiedFormat
	r.ContentType = octetContent
	if b[1] == flagJSON {
		r.ContentType = jsonContent
	}
	r.Created = timeOf(int64(binary.BigEndian.Uint64(b[2:])))
	r.Revision = binary.BigEndian.Uint64(b[10:])
	copy(r.ID[:], b[18:])
	b = b[recordFixedLen:]
	var stream, typ []byte
	var ok [3]bool
	stream, b, ok[0] = cutField(b)
	typ, b, ok[1] = cutField(b)
	if r.emptied {
		ok[2] = len(b) == rootLen
	} else {
		r.Data, r.Metadata, ok[2] = cutField(b)
	}
	if !ok[0] || !ok[1] || !ok[2] {
		return record{}, fmt.Errorf("%w: the event at position %d is cut short", ErrDamaged, position)
	}
	r.Stream, r.Type = names.of(stream), names.of(typ)
	return r, nil
}

// emptied returns what a stored event is replaced with: all but what it said.
func emptied(stored []byte) ([]byte, error) {
	_, b, ok := cutField(stored[recordFixedLen:]) // stream
	if ok {
		_, b, ok = cutField(b) // type
	}
	if !ok {
		return nil, fmt.Errorf("%w: an event is cut short", ErrDamaged)
	}
	head := len(stored) - len(b)
	leaf := leafOf(stored)
	out := append(append(make([]byte, 0, head+len(leaf)), stored[:head]...), leaf[:]...)
	out[0] = emptiedFormat
	return out, nil
}

// cutField splits b into a field with its length in front, and what follows.
func cutField(b []byte) (field, rest []byte, ok bool) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, false
	}
	end := used + int(n)
	return b[used:end:end], b[end:], true
}

func timeOf(ticks int64) time.Time { return time.Unix(ticks/1e7, ticks%1e7*100).UTC() }

func ticksOf(t time.Time) int64 { return t.Unix()*1e7 + int64(t.Nanosecond())/100 }

// names gives the same string for the same bytes, most of the time: types and
// streams repeat, and a string that a reader keeps must not hold the block of
// memory that it was read in.
type names struct{ slots [64]string }

var namesSeed = maphash.MakeSeed()

func (n *names) of(b []byte) string {
	if n == nil {
		return string(b)
	}
	slot := &n.slots[maphash.Bytes(namesSeed, b)%uint64(len(n.slots))]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}
