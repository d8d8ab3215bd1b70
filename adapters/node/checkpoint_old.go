package node

import (
	"encoding/binary"
	"hash/crc32"
)

// The file's first format, which is read and replaced at a start: two slots,
// each in a block of its own, written in turns after Pebble had synced.
//
//	8 bytes   "kicauckp"
//	1 byte    format, 1
//	8 bytes   number of the write
//	16 bytes  log id
//	8 bytes   size
//	32 bytes  root
//	4 bytes   CRC-32C of all that
const (
	slotFormat = 1
	slotLen    = 8 + 1 + 8 + 16 + 8 + rootLen + 4
	slotCount  = 2
)

// readSlots reads the newest slot that is whole.
func readSlots(b []byte) (newest checkpoint, ok bool) {
	number := uint64(0)
	for i := 0; i < slotCount && i*recordBlock < len(b); i++ {
		if n, c, whole := readSlot(b[i*recordBlock:]); whole && (!ok || n > number) {
			number, newest, ok = n, c, true
		}
	}
	return newest, ok
}

func readSlot(b []byte) (number uint64, c checkpoint, ok bool) {
	if len(b) < slotLen || string(b[:8]) != recordMagic || b[8] != slotFormat ||
		crc32.Checksum(b[:slotLen-4], castagnoli) != binary.BigEndian.Uint32(b[slotLen-4:]) {
		return 0, checkpoint{}, false
	}
	number = binary.BigEndian.Uint64(b[9:])
	copy(c.log[:], b[17:])
	c.size = binary.BigEndian.Uint64(b[33:])
	copy(c.root[:], b[41:])
	return number, c, true
}
