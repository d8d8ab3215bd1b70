package esdb

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

var filler = bytes.Repeat([]byte("0123456789"), 40)

// BenchmarkAppend64 lets 64 writers append events of 400 bytes to a node on
// loopback, one at a time and at an exact revision.
func BenchmarkAppend64(b *testing.B) {
	for _, connections := range []int{1, 4} {
		b.Run(fmt.Sprint("connections=", connections), func(b *testing.B) {
			l := openLog(b, Options{URL: plain(startNode(b).Addr()), Connections: connections})
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			b.ResetTimer()
			for range 64 {
				all.Go(func() {
					stream := ""
					for n := 0; left.Add(-1) >= 0; n++ {
						if n%8 == 0 {
							stream = "order-" + uuid.NewString()
						}
						e := event.Proposed{ID: uuid.New(), Type: "OrderPlaced", Data: filler[:300], Metadata: filler[300:]}
						if _, err := l.Append(b.Context(), stream, command.Expect(n%8-1), []event.Proposed{e}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkSubscribe reads a log from a node on loopback, as a subscriber that
// is behind.
func BenchmarkSubscribe(b *testing.B) {
	const events = 100_000
	n := openNode(b, b.TempDir())
	batch := make([]event.Proposed, 500)
	for i := range events / len(batch) {
		for k := range batch {
			batch[k] = event.Proposed{ID: uuid.New(), Type: "OrderPlaced", Data: filler[:300], Metadata: filler[300:]}
		}
		if _, err := n.Log().Append(b.Context(), fmt.Sprint("order-", i), command.NoStream, batch); err != nil {
			b.Fatal(err)
		}
	}
	l := openLog(b, Options{URL: plain(serve(b, n, "127.0.0.1:0").Addr())})
	for b.Loop() {
		got := 0
		for page, err := range l.Subscribe(b.Context(), event.Position{}, command.Filter{}) {
			if err != nil {
				b.Fatal(err)
			}
			if got += len(page.Events); page.Live {
				break
			}
		}
		if got != events {
			b.Fatalf("got %d of %d events", got, events)
		}
	}
	b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
}
