package sandbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// The journal is one file of lines. A line is what was written in one go: the
// CRC-32C of the rest, a space, and a JSON array of entries. So a write that a
// crash cut short is always the last line, and whole lines follow only lines
// that were on disk: a bad last line was never acknowledged and is cut off, a
// bad line before a good one is damage, and the sandbox refuses to start.
//
// A nil journal remembers nothing and always answers at once.
type journal struct {
	path string

	mu       sync.Mutex
	changed  sync.Cond // queue, written or err did
	queue    []entry
	snapshot []entry // to be written instead of all there was before queue
	queued   uint64  // entries ever added
	written  uint64  // of them on disk
	size     int64   // of the file
	base     int64   // its size when it was last rewritten
	least    int64   // below which it is not rewritten
	err      error   // sticky: after a failed write nobody knows what the disk holds
	closing  bool

	file *os.File // the writer's alone
	done chan struct{}
}

const (
	journalName   = "sandbox.journal"
	journalFormat = 1
	// The journal is rewritten when it has grown to snapshotGrowth times what
	// it was after the last time, but not below snapshotMin.
	snapshotMin    = 64 << 20
	snapshotGrowth = 2
	// entriesPerLine bounds the lines of a rewritten journal.
	entriesPerLine = 1000
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openJournal replays the journal in dir and begins to write where it ends.
func openJournal(dir string, apply func(entry)) (*journal, error) {
	path := filepath.Join(dir, journalName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	good, err := replay(f, apply)
	if err == nil {
		err = f.Truncate(good) // nothing after the last good line was acknowledged
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err == nil {
		err = syncDir(dir) // the file itself must be found again
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("journal %s: %w", path, err)
	}
	j := &journal{path: path, file: f, size: good, base: good, least: snapshotMin, done: make(chan struct{})}
	j.changed.L = &j.mu
	go j.write()
	return j, nil
}

// replay applies every entry and returns where the last good line ends.
func replay(f io.Reader, apply func(entry)) (good int64, err error) {
	r := bufio.NewReaderSize(f, 1<<20)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return 0, err
		}
		body, whole := checkLine(line)
		if !whole {
			if err == io.EOF || isEOF(r) {
				return good, nil // the end, or a last line cut short
			}
			return 0, fmt.Errorf("line %d is damaged and more lines follow it: restore the file from a copy, or start on a new directory", n)
		}
		var entries []entry
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&entries); err != nil { // a newer version wrote it: do not guess
			return 0, fmt.Errorf("line %d cannot be read by this version: %w", n, err)
		}
		for _, e := range entries {
			if e.Header != nil && e.Header.Format != journalFormat {
				return 0, fmt.Errorf("it has format %d; this version reads %d", e.Header.Format, journalFormat)
			}
			apply(e)
		}
		good += int64(len(line))
	}
}

func isEOF(r *bufio.Reader) bool {
	_, err := r.Peek(1)
	return err == io.EOF
}

// checkLine takes the line's checksum off and tells whether it is right.
func checkLine(line []byte) (body []byte, whole bool) {
	text, ended := bytes.CutSuffix(line, []byte("\n"))
	sum, body, ok := bytes.Cut(text, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	return body, ended && ok && err == nil && uint32(want) == crc32.Checksum(body, castagnoli)
}

func encodeLine(entries []entry) []byte {
	body := mustJSON(entries)
	line := fmt.Appendf(make([]byte, 0, len(body)+10), "%08x ", crc32.Checksum(body, castagnoli))
	return append(append(line, body...), '\n')
}

// add queues entries to be written, in the order of the calls, and returns what
// to wait for: them, and everything that was added before.
func (j *journal) add(entries []entry) uint64 {
	if j == nil {
		return 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue = append(j.queue, entries...)
	j.queued += uint64(len(entries))
	if len(entries) > 0 {
		j.changed.Broadcast()
	}
	return j.queued
}

// wait returns when everything up to seq is on disk, or never will be.
func (j *journal) wait(seq uint64) error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.written < seq && j.err == nil {
		j.changed.Wait()
	}
	if j.written >= seq {
		return nil
	}
	return j.err
}

// broken is why nothing can be written any more, or nil.
func (j *journal) broken() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// fail stops the journal for good.
func (j *journal) fail(err error) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = err
	}
	j.changed.Broadcast()
}

func (j *journal) wantsSnapshot() bool {
	if j == nil {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.snapshot == nil && j.size > max(j.least, snapshotGrowth*j.base)
}

// rewrite replaces the whole journal by a snapshot of the state, which holds
// everything that was added so far.
func (j *journal) rewrite(snapshot []entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.snapshot, j.queue = snapshot, nil
	j.changed.Broadcast()
}

// write is the only goroutine that touches the file. Whatever is queued while it
// syncs goes into its next line together: one sync serves all who wait.
func (j *journal) write() {
	defer close(j.done)
	for {
		j.mu.Lock()
		for len(j.queue) == 0 && j.snapshot == nil && !j.closing && j.err == nil {
			j.changed.Wait()
		}
		if j.err != nil || len(j.queue) == 0 && j.snapshot == nil { // closing
			j.mu.Unlock()
			return
		}
		queue, snapshot, upTo := j.queue, j.snapshot, j.queued
		j.queue, j.snapshot = nil, nil
		j.mu.Unlock()

		size, err := j.size, error(nil)
		if snapshot != nil {
			size, err = j.replace(snapshot)
		}
		if err == nil && len(queue) > 0 {
			var n int
			n, err = j.file.Write(encodeLine(queue))
			size += int64(n)
			if err == nil {
				err = j.file.Sync()
			}
		}

		j.mu.Lock()
		if err != nil && j.err == nil {
			j.err = fmt.Errorf("write %s: %w", j.path, err)
		} else if err == nil {
			j.written, j.size = upTo, size
			if snapshot != nil {
				j.base = size
			}
		}
		j.changed.Broadcast()
		j.mu.Unlock()
	}
}

// replace writes a new journal beside the old one and puts it in its place.
func (j *journal) replace(snapshot []entry) (size int64, err error) {
	next, err := os.OpenFile(j.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(next, 1<<20)
	for len(snapshot) > 0 && err == nil {
		n := min(entriesPerLine, len(snapshot))
		line := encodeLine(snapshot[:n])
		_, err = w.Write(line)
		size += int64(len(line))
		snapshot = snapshot[n:]
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = next.Sync()
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	// Commit point: from here on a restart reads the new journal. Both say the
	// same of everything that was ever acknowledged.
	if err == nil {
		err = syncDir(filepath.Dir(j.path))
	}
	if err != nil {
		next.Close()
		return 0, err
	}
	j.file.Close()
	j.file = next
	return size, nil
}

// close writes what is queued and ends the writer.
func (j *journal) close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	j.closing = true
	j.changed.Broadcast()
	j.mu.Unlock()
	<-j.done
	err := j.broken()
	j.fail(errClosed)
	return errors.Join(err, j.file.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
