package node

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestReadersDuringScavenges: while events are appended, hidden and scavenged,
// readers see of each stream an unbroken run up to its end and nothing emptied,
// index streams keep their numbers, and the log verifies.
func TestReadersDuringScavenges(t *testing.T) {
	s, err := openStore(Options{Dir: "data", Logger: quiet, fs: vfs.NewMem(), flushAfter: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	describe(t, s, "order-counted", `{"$maxCount":5}`)
	ctx, stop := context.WithCancel(t.Context())
	var writers, readers sync.WaitGroup
	var scavenged atomic.Uint64
	writers.Go(func() {
		for n := 0; n < 40 || scavenged.Load() < 20 && ctx.Err() == nil; n++ {
			mustAppend(t, s, "order-counted", expectAny, someEvents(2))
		}
	})
	writers.Go(func() {
		for range 15 {
			mustAppend(t, s, "order-deleted", expectAny, someEvents(2))
			if _, err := s.delete(ctx, "order-deleted", expectAny, false); err != nil {
				t.Error(err)
			}
		}
	})
	readers.Go(func() {
		for ctx.Err() == nil {
			done, err := (&Node{engine: s, store: s}).Scavenge(t.Context(), ScavengeOptions{})
			if err != nil {
				t.Error(err)
				stop()
				return
			}
			scavenged.Add(done.Events)
		}
	})
	for _, stream := range []string{"order-counted", "order-deleted", "$ce-order", "$$order-deleted"} {
		for _, backwards := range []bool{false, true} {
			readers.Go(func() {
				for ctx.Err() == nil && !t.Failed() {
					if err := unbroken(t.Context(), s, stream, backwards); err != nil {
						t.Errorf("%s, backwards %v: %v", stream, backwards, err)
					}
				}
			})
		}
	}
	readers.Go(func() {
		for ctx.Err() == nil && !t.Failed() {
			if err := s.verify(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	stop()
	readers.Wait()
}

// unbroken reads a stream and compares it with its state before.
func unbroken(ctx context.Context, s *store, stream string, backwards bool) error {
	st, err := s.state(stream)
	if err != nil {
		return err
	}
	from, step := uint64(0), uint64(1)
	if backwards {
		from, step = math.MaxUint64, math.MaxUint64
	}
	n, last := 0, uint64(0)
	for r, err := range s.readStream(ctx, stream, backwards, from) {
		if err != nil {
			return err
		}
		if len(r.Data) == 0 || n > 0 && r.Revision != last+step {
			return fmt.Errorf("after %d events up to revision %d came %+v", n, last, r)
		}
		if n == 0 && backwards && int64(r.Revision) < st.Last {
			return fmt.Errorf("it begins at revision %d, and was at %d before", r.Revision, st.Last)
		}
		last = r.Revision
		n++
	}
	if stream[0] == '$' && n == 0 && st.Last >= 0 || !backwards && n > 0 && int64(last) < st.Last {
		return fmt.Errorf("%d events up to revision %d were read, and it was at %d before", n, last, st.Last)
	}
	return nil
}
