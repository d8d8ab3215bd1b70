package node

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
)

// benchEvent is an event of 400 bytes, data and metadata together, that
// compresses about as well as JSON with ids in it does.
func benchEvent() proposed {
	id := uuid.New()
	return proposed{
		ID:          id,
		Type:        "OrderPlaced",
		ContentType: jsonContent,
		Data:        benchData(id, 250),
		Metadata:    benchData(id, 150),
	}
}

func benchData(id uuid.UUID, size int) []byte {
	b := make([]byte, 0, size)
	for len(b) < size-60 {
		b = append(append(append(b, `{"subject":"`...), id.String()...), `",`...)
		id = uuid.New()
	}
	return append(b, bytes.Repeat([]byte("abcdefghij"), 12)[:size-len(b)]...)
}

// eventsPerStream is about what the life of an order takes.
const eventsPerStream = 8

func BenchmarkAppend1(b *testing.B)  { benchmarkAppend(b, 1) }
func BenchmarkAppend64(b *testing.B) { benchmarkAppend(b, 64) }

// benchmarkAppend lets writers append one event at a time at an exact revision,
// each to streams of its own.
func benchmarkAppend(b *testing.B, writers int) {
	s, err := openStore(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	race(b, writers, func(writer, n int) error {
		stream := fmt.Sprintf("order-%02d-%016d-%017d", writer, writer, n/eventsPerStream)
		_, err := s.append(b.Context(), stream, int64(n%eventsPerStream)-1, []proposed{benchEvent()})
		return err
	})
}

func BenchmarkRawGroupCommit1(b *testing.B)  { benchmarkRaw(b, 1) }
func BenchmarkRawGroupCommit64(b *testing.B) { benchmarkRaw(b, 64) }

// benchmarkRaw is the limit of the disk and of Go's channels: the same bytes,
// taken in groups, written to a file and synced, and nothing else.
func benchmarkRaw(b *testing.B, writers int) {
	f, err := vfs.Default.Create(filepath.Join(b.TempDir(), "raw"), vfs.WriteCategoryUnspecified)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	type write struct {
		event proposed
		done  chan error
	}
	queue := make(chan write, maxWaiting)
	var committer sync.WaitGroup
	committer.Go(func() {
		var buf []byte
		var taken []write
		for w := range queue {
			taken = append(taken[:0], w)
			for runtime.Gosched(); len(queue) > 0; runtime.Gosched() {
				for len(queue) > 0 {
					taken = append(taken, <-queue)
				}
			}
			buf = buf[:0]
			for _, w := range taken {
				buf = append(append(append(append(buf, w.event.ID[:]...), w.event.Type...), w.event.Data...), w.event.Metadata...)
			}
			_, err := f.Write(buf)
			if err == nil {
				err = f.SyncData()
			}
			for _, w := range taken {
				w.done <- err
			}
		}
	})
	race(b, writers, func(_, _ int) error {
		w := write{benchEvent(), make(chan error, 1)}
		queue <- w
		return <-w.done
	})
	close(queue)
	committer.Wait()
}

// race shares b.N calls among writers and reports calls per second.
func race(b *testing.B, writers int, call func(writer, n int) error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		all.Go(func() {
			for n := 0; left.Add(-1) >= 0; n++ {
				if err := call(w, n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReadAll reads a log of a million events of 400 bytes, KICAU_BENCH_EVENTS
// when set.
func BenchmarkReadAll(b *testing.B) {
	events := benchEvents(b, 1_000_000)
	s, err := openStore(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	fill(b, s, events)
	read := 0
	for b.Loop() {
		n := 0
		for r, err := range s.readAll(b.Context(), false, 0) {
			if err != nil {
				b.Fatal(err)
			}
			n++
			if r.Position != uint64(n) {
				b.Fatalf("position %d comes after %d events", r.Position, n)
			}
		}
		if n != events {
			b.Fatalf("read %d of %d events", n, events)
		}
		read += n
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(read), "ns/event")
}

// BenchmarkReadAllLimit is what reading can be: the same bytes in a file, read in
// large pieces and cut into fields, copied once since a reader may keep them.
func BenchmarkReadAllLimit(b *testing.B) {
	events := benchEvents(b, 1_000_000)
	path := filepath.Join(b.TempDir(), "raw")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range events {
		e := benchEvent()
		stored := make([]byte, recordLen(fillStream(i/eventsPerStream), &e))
		putRecord(stored, fillStream(i/eventsPerStream), uint64(i%eventsPerStream), 0, &e)
		if _, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(stored))), stored...)); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		b.Fatal(err)
	}
	read := 0
	for b.Loop() {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		in := bufio.NewReaderSize(f, 1<<20)
		var r run
		for n := 1; n <= events; n++ {
			if (n-1)%longestRun == 0 {
				r.next()
			}
			head, err := in.Peek(4)
			if err != nil {
				b.Fatal(err)
			}
			size := int(binary.BigEndian.Uint32(head)) + 4
			stored, err := in.Peek(size)
			if err == nil {
				err = r.add(uint64(n), stored[4:])
			}
			if err != nil {
				b.Fatal(err)
			}
			if _, err := in.Discard(size); err != nil {
				b.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
		read += events
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReadStream reads streams of eight events at random places of the log.
func BenchmarkReadStream(b *testing.B) {
	const events = 200_000
	s, err := openStore(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	fill(b, s, events)
	i := 0
	for b.Loop() {
		i += 7919
		n := 0
		for _, err := range s.readStream(b.Context(), fillStream(i%(events/eventsPerStream)), false, 0) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != eventsPerStream {
			b.Fatalf("read %d events of %d", n, eventsPerStream)
		}
	}
}

func fillStream(i int) string { return fmt.Sprintf("order-%036d", i) }

// fill appends events, those of a stream together.
func fill(b *testing.B, s *store, events int) {
	var all sync.WaitGroup
	const writers = 16
	for w := range writers {
		all.Go(func() {
			for i := w; i < events/eventsPerStream; i += writers {
				e := make([]proposed, eventsPerStream)
				for j := range e {
					e[j] = benchEvent()
				}
				if _, err := s.append(b.Context(), fillStream(i), expectNoStream, e); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
