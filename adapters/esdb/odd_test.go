package esdb

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// oddServer answers as a test tells it to, and remembers what it was asked.
type oddServer struct {
	streams.UnimplementedStreamsServer
	serverfeatures.UnimplementedServerFeaturesServer
	version string
	hasty   bool // it answers an append before it has all of it
	answer  func(context.Context) (*streams.AppendResp, error)
	frames  func(func(*streams.ReadResp)) error
	silent  bool // it does not end a read
	deliver func(persistent.PersistentSubscriptions_ReadServer) error

	mu       sync.Mutex
	contexts []context.Context
	appends  []*streams.AppendReq
	reads    []*streams.ReadReq
	creates  []*persistent.CreateReq
	updates  []*persistent.UpdateReq
}

// oddGroups is its other service: the names of methods clash.
type oddGroups struct {
	persistent.UnimplementedPersistentSubscriptionsServer
	*oddServer
}

func (o *oddServer) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	all := &serverfeatures.SupportedMethods{EventStoreServerVersion: o.version}
	for _, method := range []string{"create", "getinfo", "replayparked", "list", "restartsubsystem"} {
		all.Methods = append(all.Methods, &serverfeatures.SupportedMethod{
			ServiceName: "event_store.client.persistent_subscriptions.persistentsubscriptions", MethodName: method, Features: []string{"stream", "all"},
		})
	}
	return all, nil
}

func (o *oddServer) note(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

// calls are the contexts of appends and reads, in turn.
func (o *oddServer) calls() (all []context.Context) {
	o.note(func() { all = slices.Clone(o.contexts) })
	return all
}

func (o *oddServer) Append(s streams.Streams_AppendServer) error {
	o.note(func() { o.contexts = append(o.contexts, s.Context()) })
	for !o.hasty {
		req, err := s.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		o.note(func() { o.appends = append(o.appends, req) })
	}
	resp, err := o.answer(s.Context())
	if err != nil {
		if status.Code(err) == codes.FailedPrecondition {
			s.SetTrailer(metadata.Pairs("exception", "stream-deleted", "stream-name", "s"))
		}
		return err
	}
	return s.SendAndClose(resp)
}

func (o *oddServer) Read(req *streams.ReadReq, s streams.Streams_ReadServer) error {
	o.note(func() { o.contexts, o.reads = append(o.contexts, s.Context()), append(o.reads, req) })
	err := o.frames(func(r *streams.ReadResp) { _ = s.Send(r) })
	if o.silent {
		<-s.Context().Done()
	}
	return err
}

func (o oddGroups) Create(_ context.Context, req *persistent.CreateReq) (*persistent.CreateResp, error) {
	o.note(func() { o.creates = append(o.creates, req) })
	return &persistent.CreateResp{}, nil
}

func (o oddGroups) Update(_ context.Context, req *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	o.note(func() { o.updates = append(o.updates, req) })
	return &persistent.UpdateResp{}, nil
}

// Read confirms, and then does what the test says.
func (o oddGroups) Read(s persistent.PersistentSubscriptions_ReadServer) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	if err := s.Send(groupConfirmed); err != nil {
		return err
	}
	return o.deliver(s)
}

// start serves it and returns its address.
func (o *oddServer) start(t *testing.T) string {
	t.Helper()
	if o.version == "" {
		o.version = "24.10.0"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	streams.RegisterStreamsServer(s, o)
	serverfeatures.RegisterServerFeaturesServer(s, o)
	persistent.RegisterPersistentSubscriptionsServer(s, oddGroups{oddServer: o})
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

func startOdd(t *testing.T, o *oddServer) *Log {
	t.Helper()
	return openLog(t, Options{URL: plain(o.start(t))})
}

// bareClient is the official client as it comes.
func bareClient(t *testing.T, url string, configure ...func(*esdb.Configuration)) *esdb.Client {
	t.Helper()
	conf, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatal(err)
	}
	conf.Logger = esdb.NoopLogging()
	for _, f := range configure {
		f(conf)
	}
	c, err := esdb.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
