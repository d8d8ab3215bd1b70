package node

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/google/uuid"
)

// checkpoint says what was promised: the log with this id has at least size
// events, and this root over them. It lives in a file of its own because
// Pebble cannot tell every loss at the end of its write-ahead log from a torn
// write (readAheadForCorruption starts at the next 32 KiB block): a few flipped
// bits there would silently drop events that were acknowledged.
//
// Without the file, such a loss goes unnoticed. Who can change it and the log
// can hide one; the signed checkpoints of adapters/proof are against that.
type checkpoint struct {
	log  uuid.UUID
	size uint64
	root root
}

// promised is what the checkpoint's file says. The file is also where a batch
// becomes durable: one sync for it, and none for Pebble, whose write-ahead log is
// synced when a lap of the file is full.
type promised struct {
	synced checkpoint // Pebble has these events on disk
	end    checkpoint // these were acknowledged, or were about to be
	redo   []redo     // the batches between the two, in order
}

// redo is a batch, to be written to Pebble again if it lost it.
type redo struct {
	end   checkpoint // after it
	batch []byte     // in Pebble's format (pebble.Batch.Repr)
}

// A record of the file begins at a block of its own, so that a torn write can
// spoil only what was not promised yet:
//
//	8 bytes   "kicauckp"
//	1 byte    format, 2
//	8 bytes   number of the record; each has the next one
//	16 bytes  lap
//	16 bytes  log id
//	8 bytes   size
//	32 bytes  root
//	4 bytes   length of the batch; 0: Pebble has everything up to size on disk
//	          batch
//	4 bytes   CRC-32C of all that
//
// The records of a lap follow each other, the first is one without a batch. There
// are two laps, written in turns: while one is written, what it does not hold is
// synced in Pebble, and until its first record is whole the other one counts. And
// each lap is there twice, in distant parts of the file that are synced together:
//
//	first lap │ second lap │ first lap again │ second lap again
//
// That is what makes a promise of one sync: a record that is damaged in one place
// is whole in the other, one that is whole in neither was torn before it was
// acknowledged. Damage to both places and to the end of Pebble's write-ahead log
// would go unnoticed.
//
// A lap has a random id, so that no client can write events which later, when the
// lap over them ends among them, are read as its records.
const (
	recordMagic = "kicauckp"
	lapFormat   = 2
	recordHead  = 8 + 1 + 8 + 16 + 16 + 8 + rootLen + 4
	recordLeast = recordHead + 4
	recordBlock = 4096
	lapPlaces   = 4 // in the file
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// lapRecord is a record as it is read; batch shares the bytes it was read from.
type lapRecord struct {
	number uint64
	lap    uuid.UUID
	redo
}

// recordBytes is how many bytes a record with a batch of so many bytes takes.
func recordBytes(batch int) int {
	return (recordLeast + batch + recordBlock - 1) / recordBlock * recordBlock
}

// appendRecord appends a record, and zeros up to the next block.
func appendRecord(b []byte, r lapRecord) []byte {
	from := len(b)
	b = append(append(b, recordMagic...), lapFormat)
	b = binary.BigEndian.AppendUint64(b, r.number)
	b = append(append(b, r.lap[:]...), r.end.log[:]...)
	b = binary.BigEndian.AppendUint64(b, r.end.size)
	b = append(b, r.end.root[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.batch)))
	b = append(b, r.batch...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
	var zeros [recordBlock]byte
	return append(b, zeros[:from+recordBytes(len(r.batch))-len(b)]...)
}

// readRecordOfLap reads the record at the beginning of b.
func readRecordOfLap(b []byte) (r lapRecord, ok bool) {
	if len(b) < recordLeast || string(b[:8]) != recordMagic || b[8] != lapFormat {
		return r, false
	}
	n := int64(binary.BigEndian.Uint32(b[recordHead-4:]))
	if n > int64(len(b)-recordLeast) {
		return r, false
	}
	sum := recordHead + int(n)
	if crc32.Checksum(b[:sum], castagnoli) != binary.BigEndian.Uint32(b[sum:]) {
		return r, false
	}
	r.number = binary.BigEndian.Uint64(b[9:])
	copy(r.lap[:], b[17:])
	copy(r.end.log[:], b[33:])
	r.end.size = binary.BigEndian.Uint64(b[49:])
	copy(r.end.root[:], b[57:])
	r.batch = b[recordHead:sum]
	return r, true
}

// readPromised reads the file's content.
func readPromised(b []byte) (newest promised, ok bool) {
	if c, ok := readSlots(b); ok {
		return promised{synced: c, end: c}, true
	}
	lap := len(b) / lapPlaces
	number := uint64(0)
	for i := range 2 {
		p, n, whole := readLap(b[i*lap:][:lap], b[(i+2)*lap:][:lap])
		if whole && (!ok || n > number) {
			newest, number, ok = p, n, true
		}
	}
	return newest, ok
}

// readLap reads a lap from both places where it is.
func readLap(here, there []byte) (p promised, number uint64, ok bool) {
	first, ok := eitherRecord(here, there, func(r lapRecord) bool { return len(r.batch) == 0 })
	if !ok {
		return p, 0, false
	}
	p.synced, p.end = first.end, first.end
	last := first
	for at := recordBytes(0); at < len(here); at += recordBytes(len(last.batch)) {
		r, ok := eitherRecord(here[at:], there[at:], func(r lapRecord) bool {
			return r.lap == last.lap && r.number == last.number+1 && r.end.log == last.end.log &&
				r.end.size > last.end.size && len(r.batch) > 0
		})
		if !ok {
			break
		}
		p.end, p.redo, last = r.end, append(p.redo, r.redo), r
	}
	return p, last.number, true
}

// eitherRecord is the record that two places have, or the newer one when one of
// them was not written yet.
func eitherRecord(here, there []byte, fits func(lapRecord) bool) (lapRecord, bool) {
	r, ok := readRecordOfLap(here)
	ok = ok && fits(r)
	if s, also := readRecordOfLap(there); also && fits(s) && (!ok || s.number > r.number) {
		return s, true
	}
	return r, ok
}
