package node

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

// Through the official client, on loopback: 64 writers share 4 connections and
// append events of 400 bytes, one at a time and at an exact revision.
const (
	clientWriters     = 64
	clientConnections = 4
	clientEventBytes  = 400
)

func BenchmarkAppendClient64(b *testing.B) {
	n, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	benchmarkAppendClient(b, n.engine)
}

// BenchmarkAppendClientLimit64 is what the protocol leaves: the same server
// over a file to which groups of events are written and synced, nothing else.
func BenchmarkAppendClientLimit64(b *testing.B) {
	raw, err := newRawEngine(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	defer raw.close()
	benchmarkAppendClient(b, raw)
}

func benchmarkAppendClient(b *testing.B, e engine) {
	s := newServer(e, nil, ServerOptions{})
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	clients := make([]*esdb.Client, clientConnections)
	for i := range clients {
		clients[i] = officialClient(b, "esdb://"+s.Addr()+"?tls=false")
		if _, err := clients[i].GetServerVersion(); err != nil {
			b.Fatal(err)
		}
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for w := range clientWriters {
		all.Go(func() {
			client, stream := clients[w%clientConnections], ""
			for n := 0; left.Add(-1) >= 0; n++ {
				var expect esdb.ExpectedRevision = esdb.NoStream{}
				if n%8 == 0 {
					stream = fmt.Sprint("order-", uuid.NewString())
				} else {
					expect = esdb.Revision(uint64(n%8 - 1))
				}
				if _, err := client.AppendToStream(b.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: expect}, clientEvent()); err != nil {
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

var filler = bytes.Repeat([]byte("0123456789abcdef"), clientEventBytes/16)

func clientEvent() esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: "OrderPlaced", ContentType: esdb.ContentTypeJson,
		Data: filler[:clientEventBytes-100], Metadata: filler[:100]}
}

// rawEngine appends to a file and knows nothing else.
type rawEngine struct {
	engine
	f     *os.File
	queue chan rawAppend
	done  sync.WaitGroup
}

type rawAppend struct {
	events []proposed
	done   chan error
}

func newRawEngine(path string) (*rawEngine, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	r := &rawEngine{f: f, queue: make(chan rawAppend, clientWriters)}
	r.done.Go(r.commit)
	return r, nil
}

func (r *rawEngine) commit() {
	var buf []byte
	var taken []rawAppend
	for a := range r.queue {
		taken = append(taken[:0], a)
		for len(r.queue) > 0 {
			taken = append(taken, <-r.queue)
		}
		buf = buf[:0]
		for _, a := range taken {
			for _, e := range a.events {
				buf = append(append(append(append(buf, e.ID[:]...), e.Type...), e.Data...), e.Metadata...)
			}
		}
		_, err := r.f.Write(buf)
		if err == nil {
			err = r.f.Sync()
		}
		for _, a := range taken {
			a.done <- err
		}
	}
}

func (r *rawEngine) append(_ context.Context, _ string, expect int64, events []proposed) (appended, error) {
	a := rawAppend{events, make(chan error, 1)}
	r.queue <- a
	return appended{Revision: expect + 1, Position: 1}, <-a.done
}

func (r *rawEngine) close() {
	close(r.queue)
	r.done.Wait()
	r.f.Close()
}
