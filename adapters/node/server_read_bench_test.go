package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
)

// Reading through the official client, on loopback, events of 400 bytes. The
// limit of each is a bare gRPC server that has the same messages in memory,
// encoded, and does nothing but send them.
const clientReadEvents = 200_000

// fillForClients appends n events of 400 bytes to streams of 500.
func fillForClients(b *testing.B, e engine, n int) {
	const each = 500
	batch := make([]proposed, each)
	for range n / each {
		for k := range batch {
			e := clientEvent()
			batch[k] = proposed{ID: e.EventID, Type: e.EventType, ContentType: jsonContent, Data: e.Data, Metadata: e.Metadata}
		}
		if _, err := e.append(b.Context(), fmt.Sprint("order-", uuid.New()), expectNoStream, batch); err != nil {
			b.Fatal(err)
		}
	}
}

func serveForBench(b *testing.B) (*Node, string) {
	n, err := Open(Options{Dir: b.TempDir(), Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	s := NewServer(n, ServerOptions{Logger: quiet})
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(s.Close(), n.Close()); err != nil {
			b.Error(err)
		}
	})
	return n, "esdb://" + s.Addr() + "?tls=false"
}

// bareServer sends messages from memory: all of them on a read, and on a
// subscription whatever is released.
type bareServer struct {
	streams.UnimplementedStreamsServer
	messages []frame
	released sync.WaitGroup // subscriptions wait for it
	began    chan struct{}
}

// messagesOf are the messages of a read of the whole log.
func messagesOf(b *testing.B, e engine) []frame {
	k := &keep{}
	w := frames{out: k}
	for r, err := range e.readAll(b.Context(), false, 0) {
		if err != nil {
			b.Fatal(err)
		}
		if err := w.send(&r, &r, false); err != nil {
			b.Fatal(err)
		}
	}
	return k.sent
}

// keep is a stream that keeps what is sent on it.
type keep struct {
	grpc.ServerStream
	sent []frame
}

func (k *keep) SendMsg(m any) error {
	k.sent = append(k.sent, *m.(*frame))
	return nil
}

func (s *bareServer) Read(req *streams.ReadReq, out streams.Streams_ReadServer) error {
	if req.GetOptions().GetSubscription() != nil {
		f := frames{out: out}
		if err := f.confirm([16]byte{1}); err != nil {
			return err
		}
		s.began <- struct{}{}
		s.released.Wait()
	}
	for i := range s.messages {
		if err := out.SendMsg(&s.messages[i]); err != nil {
			return err
		}
	}
	if req.GetOptions().GetSubscription() != nil {
		<-out.Context().Done()
	}
	return nil
}

func (s *bareServer) serve(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g := grpc.NewServer(grpc.ForceServerCodecV2(frameCodec{}))
	streams.RegisterStreamsServer(g, s)
	serverfeatures.RegisterServerFeaturesServer(g, features{})
	gossip.RegisterGossipServer(g, &gossiper{})
	go func() {
		if err := g.Serve(l); err != nil {
			b.Error(err)
		}
	}()
	b.Cleanup(g.Stop)
	return "esdb://" + l.Addr().String() + "?tls=false"
}

func BenchmarkReadAllClient(b *testing.B) {
	n, url := serveForBench(b)
	fillForClients(b, n.engine, clientReadEvents)
	benchmarkReadAllClient(b, url)
}

func BenchmarkReadAllClientLimit(b *testing.B) {
	n, _ := serveForBench(b)
	fillForClients(b, n.engine, clientReadEvents)
	s := &bareServer{messages: messagesOf(b, n.engine)}
	benchmarkReadAllClient(b, s.serve(b))
}

func benchmarkReadAllClient(b *testing.B, url string) {
	client := officialClient(b, url)
	for b.Loop() {
		r, err := client.ReadAll(b.Context(), esdb.ReadAllOptions{}, 1<<40)
		if err != nil {
			b.Fatal(err)
		}
		got := 0
		for _, err = r.Recv(); err == nil; _, err = r.Recv() {
			got++
		}
		if !errors.Is(err, io.EOF) || got != clientReadEvents {
			b.Fatalf("read %d of %d events: %v", got, clientReadEvents, err)
		}
		r.Close()
	}
	b.ReportMetric(float64(b.N)*clientReadEvents/b.Elapsed().Seconds(), "events/s")
}

// A hundred subscribers of the whole log on ten connections, each of which gets
// every event that is appended while they are live.
const (
	subscribers           = 100
	subscriberConnections = 10
	liveEvents            = 5_000
)

func BenchmarkSubscribe100(b *testing.B) {
	n, url := serveForBench(b)
	began := func(sub *esdb.Subscription) {
		if e := sub.Recv(); e.CaughtUp == nil {
			b.Errorf("a subscription at the end began with %+v", e)
		}
	}
	benchmarkSubscribe100(b, url, func() {}, began, func() { fillForClients(b, n.engine, liveEvents) })
}

func BenchmarkSubscribe100Limit(b *testing.B) {
	n, _ := serveForBench(b)
	fillForClients(b, n.engine, liveEvents)
	s := &bareServer{messages: messagesOf(b, n.engine), began: make(chan struct{}, subscribers)}
	hold := func() { s.released.Add(1) }
	benchmarkSubscribe100(b, s.serve(b), hold, func(*esdb.Subscription) { <-s.began }, s.released.Done)
}

func benchmarkSubscribe100(b *testing.B, url string, hold func(), began func(*esdb.Subscription), release func()) {
	clients := make([]*esdb.Client, subscriberConnections)
	for i := range clients {
		clients[i] = officialClient(b, url)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	round := func() {
		hold()
		var live, done sync.WaitGroup
		for i := range subscribers {
			live.Add(1)
			done.Go(func() {
				sub, err := clients[i%subscriberConnections].SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.End{}})
				if err != nil {
					b.Error(err)
					live.Done()
					return
				}
				defer sub.Close()
				began(sub)
				live.Done()
				for got := 0; got < liveEvents; {
					e := sub.Recv()
					if e.SubscriptionDropped != nil {
						b.Error(e.SubscriptionDropped.Error)
						return
					}
					if e.EventAppeared != nil {
						got++
					}
				}
			})
		}
		live.Wait()
		b.StartTimer()
		release()
		done.Wait()
		b.StopTimer()
	}
	b.StopTimer()
	for range b.N {
		round()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(b.N)*liveEvents*subscribers/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(m.Sys)/(1<<20), "MiB")
}
