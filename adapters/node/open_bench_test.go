package node

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkOpen10M opens a log of ten million events of 400 bytes,
// KICAU_BENCH_EVENTS when set. It reports the time to the first event read, what
// the process holds at rest and how much space an event takes. The log is made
// once, or kept and found in KICAU_BENCH_LOG.
func BenchmarkOpen10M(b *testing.B) {
	events := benchEvents(b, 10_000_000)
	dir := os.Getenv("KICAU_BENCH_LOG")
	if dir == "" {
		dir = b.TempDir()
	}
	s, err := openStore(Options{Dir: dir, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	if s.head() == 0 {
		fill(b, s, events)
	}
	if err := s.close(); err != nil {
		b.Fatal(err)
	}
	var opening time.Duration
	var rest uint64
	for b.Loop() {
		began := time.Now()
		s, err := openStore(Options{Dir: dir, Logger: quiet})
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range s.readStream(b.Context(), fillStream(events/eventsPerStream/2), false, 0) {
			if err != nil {
				b.Fatal(err)
			}
			break
		}
		opening += time.Since(began)
		debug.FreeOSMemory()
		rest = max(rest, resident(b))
		if err := s.close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(opening.Seconds()/float64(b.N), "s/open")
	b.ReportMetric(float64(rest)/(1<<20), "MiB")
	b.ReportMetric(float64(sizeOfDir(b, dir))/float64(events), "B/event")
}

func benchEvents(b *testing.B, events int) int {
	if v := os.Getenv("KICAU_BENCH_EVENTS"); v != "" {
		if _, err := fmt.Sscan(v, &events); err != nil {
			b.Fatal(err)
		}
	}
	return events
}

// resident is the memory of this process in bytes.
func resident(b *testing.B) uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		var m runtime.MemStats // not on Linux: what Go knows of
		runtime.ReadMemStats(&m)
		return m.Sys - m.HeapReleased
	}
	pages, err := strconv.ParseUint(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * uint64(os.Getpagesize())
}

func sizeOfDir(b *testing.B, dir string) (size int64) {
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		size += info.Size()
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return size
}
